//! Our own transport over io_uring: a queue per CPU, each served by a thread that stays on that CPU.
//!
//! The kernel puts a request into the queue of the CPU that its caller runs on, so caller and server take turns there
//! and nobody on another CPU has to be woken. A queue's thread answers whatever is quick; what recently took long goes
//! to a worker, and comes back to be sent, so that the others who ask on this CPU need not wait for it.
//! Each queue has a second thread, of the scheduler's idle class: see `idle_class`. Whoever of the two gets a request that
//! is for the other hands it over, and with it the place where the next one comes.
//!
//! Forgets, INIT and notifications still go over /dev/fuse: `device` reads it beside. Below: `sys::uring`.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use parking_lot::Mutex;
use zerocopy::{FromBytes, IntoBytes};

use super::channel::{forget_attributes, invalidate};
use super::dispatch::may_take_long;
use super::idle_class::{Classes, IdleClass, ServingThread};
use super::policy;
use super::protocol::{Body, InHeader, OutHeader, ReadIn, opcode};
use super::reply::{Answer, Errno, NO_THREAD, put_bytes};
use super::server::Server;
use crate::sys::scheduling::pin_to;
use crate::sys::uring::{Parts, Queue, Request, Waker};

/// A request that takes longer than this, in nanoseconds, goes to a worker. It costs the waking of two threads, and the
/// CPU's cache; fsync and 1 MiB on a fast disk stay below.
const WORTH_HANDING_ON: u64 = 500_000;
/// A READ of so many bytes goes to a worker: the kernel reads ahead, and whoever reads can copy what is there meanwhile, which
/// keeps this CPU busy.
pub(super) const LARGE_READ: u32 = 256 << 10;
/// Up to so many queues, requests are of full size; all rooms together are 64 MiB then.
const FEW: usize = 32;
/// With more CPUs than this the rooms would be too much memory: 64 MiB at this number.
const MOST: usize = 128;
/// How many requests there are room for.
const ROOMS: usize = 64;
/// The largest reply to a request that brings data or a name: an extended attribute.
const SCRATCH: usize = 64 << 10;

/// A queue for each CPU that this machine can have, not yet in use, and the second one beside it if there is a use for it.
pub struct Rings {
    queues: Vec<(Queue, Option<Queue>)>,
    largest: u32,
    classes: Classes,
}

/// Where others leave requests for a queue's thread.
struct Home {
    /// Answered by a worker, to be sent.
    finished: Mutex<Vec<Request>>,
    /// To be answered.
    handed: Mutex<Vec<Request>>,
    waker: Waker,
}

/// One of a CPU's threads.
struct QueueThread {
    cpu: usize,
    in_idle_class: bool,
    home: Arc<Home>,
    /// The other thread's, if there is one.
    beside: Option<Arc<Home>>,
}

struct Job {
    request: Request,
    home: Arc<Home>,
}

/// What all threads share.
struct Shared<'a> {
    server: &'a Server,
    device: &'a File,
    classes: &'a Classes,
}

/// How many CPUs this machine can have, which is how many queues the kernel wants.
pub fn cpus() -> usize {
    let listed = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    count(listed.trim()).unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// The members of a list such as `0-3,8`.
fn count(list: &str) -> Option<usize> {
    let members = list.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)? + 1)
    });
    members.sum()
}

impl Rings {
    /// # Errors
    ///
    /// The kernel has no io_uring, or not for this process, or there are too many CPUs.
    pub fn prepare(device: &File, idle_class: IdleClass) -> io::Result<Rings> {
        let classes = Classes::new(idle_class);
        let count = cpus();
        if count > MOST {
            return Err(io::Error::other(format!("too many CPUs: {count}")));
        }
        let largest = if count <= FEW { policy::MAX_REQUEST } else { policy::MAX_REQUEST / 4 };
        let depth = (ROOMS / count).clamp(2, 8) as u16;
        let queue = |number| {
            let queue = Queue::new(device, number as u16, depth, largest as usize)?;
            let second = classes.has_both().then(|| queue.second(device)).transpose()?;
            Ok((queue, second))
        };
        Ok(Rings { queues: (0..count).map(queue).collect::<io::Result<_>>()?, largest, classes })
    }

    /// The largest READ or WRITE, in bytes.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// Serves until the connection ends. `abort` ends it when a queue's thread fails: whoever asks on its CPU would
    /// wait for ever.
    ///
    /// # Errors
    ///
    /// A thread could not be started, or a queue failed.
    pub fn run(
        self,
        server: &Server,
        device: &File,
        workers: usize,
        abort: &(dyn Fn() + Sync),
    ) -> io::Result<()> {
        let shared = &Shared { server, device, classes: &self.classes };
        let (sender, receiver) = channel();
        let receiver = &Mutex::new(receiver);
        // The workers end when the last sender is gone, so it must not outlive this closure.
        thread::scope(move |scope| {
            for number in 0..workers {
                let thread = thread::Builder::new().name(format!("fuse-worker-{number}"));
                thread.spawn_scoped(scope, || shared.work(receiver))?;
            }
            let mut threads = Vec::new();
            for (cpu, (queue, second)) in self.queues.into_iter().enumerate() {
                let home = Home::of(&queue);
                let beside = second.as_ref().map(Home::of);
                let mut start = |queue, own: QueueThread| {
                    let kind = if own.in_idle_class { "idle" } else { "cpu" };
                    let thread = thread::Builder::new().name(format!("fuse-{kind}-{cpu}"));
                    let jobs = sender.clone();
                    let serve = move || {
                        let serve = || shared.serve(scope, &own, queue, &jobs);
                        let served = catch_unwind(AssertUnwindSafe(serve));
                        let served = served.unwrap_or_else(|_| Err(super::device::panicked()));
                        served.inspect_err(|error| {
                            log::error!("the queue of CPU {cpu} failed: {error}");
                            abort();
                        })
                    };
                    threads.push(thread.spawn_scoped(scope, serve).inspect_err(|_| abort())?);
                    io::Result::Ok(())
                };
                let other = beside.clone();
                start(
                    queue,
                    QueueThread { cpu, in_idle_class: false, home: Arc::clone(&home), beside: other },
                )?;
                if let (Some(second), Some(beside)) = (second, beside) {
                    start(
                        second,
                        QueueThread { cpu, in_idle_class: true, home: beside, beside: Some(home) },
                    )?;
                }
            }
            drop(sender);
            let ended = |thread: thread::ScopedJoinHandle<'_, io::Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(super::device::panicked()))
            };
            threads.into_iter().map(ended).fold(Ok(()), io::Result::and)
        })
    }
}

impl Home {
    fn of(queue: &Queue) -> Arc<Home> {
        Arc::new(Home { finished: Mutex::default(), handed: Mutex::default(), waker: queue.waker() })
    }

    fn bring(&self, request: Request) {
        self.finished.lock().push(request);
        self.wake();
    }

    fn hand_over(&self, requests: &mut Vec<Request>) {
        self.handed.lock().append(requests);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("a reply is delayed: {error}");
        }
    }
}

impl Shared<'_> {
    /// Runs a queue's thread until the connection ends.
    fn serve<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        own: &QueueThread,
        mut queue: Queue,
        jobs: &Sender<Job>,
    ) -> io::Result<()> {
        let QueueThread { cpu, in_idle_class, home, beside } = own;
        // A CPU that is off, or not for us: whoever serves its queue may run anywhere.
        let _ = pin_to(*cpu);
        if *in_idle_class {
            self.classes.join();
        }
        queue.start()?;
        let mut thread = ServingThread::new(*in_idle_class);
        let mut scratch = vec![0; SCRATCH];
        let mut found = Vec::new();
        let lost = |error: io::Error| {
            // ENOTCONN, ECONNABORTED: unmounted.
            if !matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)) {
                log::error!("the queue of CPU {cpu} has one entry less: {error}");
            }
        };
        while queue.wait(&mut found, lost)? {
            if !found.is_empty() {
                self.classes.look(&mut thread);
                if let Some(beside) = beside
                    && self.classes.in_idle_class() != *in_idle_class
                {
                    beside.hand_over(&mut found);
                }
            }
            found.append(&mut home.handed.lock());
            let mut unsent = false;
            for mut request in found.drain(..) {
                let header = header(&mut request);
                self.server.count(&header, *in_idle_class);
                if self.server.needs_flush(&header) {
                    let thread = thread::Builder::new().name("fuse-seek".into());
                    let (waiting, home) = (Arc::new(Mutex::new(Some(request))), Arc::clone(home));
                    let taken = Arc::clone(&waiting);
                    let seek = move || taken.lock().take().map(|request| self.seek(request, &header, &home));
                    if thread.spawn_scoped(scope, seek).is_err()
                        && let Some(mut request) = waiting.lock().take()
                    {
                        reply_to(&mut request, &header, Err(NO_THREAD));
                        queue.commit(request)?;
                        unsent = true;
                    }
                } else if self.server.is_slow(&header, WORTH_HANDING_ON)
                    || is_large_read(&mut request, &header)
                {
                    jobs.send(Job { request, home: Arc::clone(home) }).map_err(io::Error::other)?;
                } else {
                    if unsent && may_take_long(&header) {
                        queue.flush()?;
                    }
                    self.answer(&mut request, &mut scratch);
                    queue.commit(request)?;
                    unsent = true;
                }
            }
            for request in home.finished.lock().drain(..) {
                queue.commit(request)?;
            }
        }
        // It may be asleep, and nothing else will come to it.
        beside.iter().for_each(|beside| beside.wake());
        Ok(())
    }

    /// Runs a worker until there are no more jobs.
    fn work(&self, jobs: &Mutex<Receiver<Job>>) {
        let mut scratch = vec![0; SCRATCH];
        loop {
            let job = jobs.lock().recv();
            let Ok(Job { mut request, home }) = job else { return };
            self.answer(&mut request, &mut scratch);
            home.bring(request);
        }
    }

    fn seek(&self, mut request: Request, header: &InHeader, home: &Home) {
        invalidate(self.device, header.node);
        self.answer(&mut request, &mut []);
        home.bring(request);
    }

    /// Replaces the request by its reply. `scratch` is where the reply to one that brings a payload is made.
    fn answer(&self, request: &mut Request, scratch: &mut [u8]) {
        let header = header(request);
        let Parts { operation, payload, came, .. } = request.parts();
        let changes_blocks = self.server.changes_blocks(&header);
        let answer = if came == 0 {
            self.server.answer(&header, Body::parts(operation, &[]), payload)
        } else {
            let answer = self.server.answer(&header, Body::parts(operation, &payload[..came]), scratch);
            answer.and_then(|length| put_bytes(payload, &scratch[..length]))
        };
        if changes_blocks {
            forget_attributes(self.device, header.node);
        }
        reply_to(request, &header, answer);
    }
}

/// Puts the reply into the request's place; its payload is there.
fn reply_to(request: &mut Request, header: &InHeader, answer: Answer) {
    let (payload, error) = answer.map_or_else(|Errno(number)| (0, -number), |length| (length, 0));
    let length = (size_of::<OutHeader>() + payload) as u32;
    let reply = OutHeader { length, error, unique: header.unique };
    request.parts().message[..size_of::<OutHeader>()].copy_from_slice(reply.as_bytes());
    request.reply_with(payload);
}

fn is_large_read(request: &mut Request, header: &InHeader) -> bool {
    header.opcode == opcode::READ
        && Body::parts(request.parts().operation, &[])
            .take::<ReadIn>()
            .is_some_and(|asked| asked.size >= LARGE_READ)
}

fn header(request: &mut Request) -> InHeader {
    InHeader::read_from_prefix(request.parts().message)
        .map_or_else(|_| InHeader::default(), |(header, _)| header)
}

#[cfg(test)]
mod tests {
    #[test]
    fn possible_cpus_are_counted() {
        for (list, expected) in
            [("0", Some(1)), ("0-1", Some(2)), ("0,2-3,9", Some(4)), ("", None), ("3-1", None)]
        {
            assert_eq!(super::count(list), expected, "{list:?}");
        }
    }
}
