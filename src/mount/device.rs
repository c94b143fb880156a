//! Our own transport: requests are read from /dev/fuse one by one, answered in the thread that read them.
//!
//! One thread at a time holds the turn to read. It answers short requests itself, still holding it, so that no other
//! thread is woken for them; before one that may take long, as its like did of late, it passes the turn on, sooner where
//! others wait already. While requests come thick and fast it polls for a moment before it sleeps, since waking a sleeper
//! costs more than most requests. A reply goes to the descriptor that its request came from: one for polling, one for
//! sleeping, both of one connection. No allocation per request.
//!
//! While most CPUs sleep a thread of the scheduler's idle class has the turn (`idle_class`), on the CPU of whoever asks, and
//! polls for nothing: polling would keep the asker from that CPU.
//!
//! With `ring` beside it, only forgets and what else the kernel does not send there come this way.

use std::fs::{File, OpenOptions};
use std::hint;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use zerocopy::IntoBytes;

use super::channel::{Buffers, Received, forget_attributes, invalidate, receive, send};
use super::dispatch::{self, Dispatcher};
use super::idle_class::{Classes, IdleClass, ServingThread};
use super::policy::{self, capability};
use super::positions::Positions;
use super::protocol::{self as wire, Body, InHeader, OutHeader, ReadIn, opcode};
use super::reply::NO_THREAD;
use super::ring::{self, Rings};
use super::server::Server;
use super::whereabouts::Whereabouts;
use super::{MountError, Options, Requests, Transport, handshake};
use crate::fs::ops::Operations;
use crate::sys::fuse as sys;
use crate::sys::scheduling::cpu_of;

/// A wait shorter than this makes it worth polling for the next request.
const SOON: Duration = Duration::from_micros(200);
/// A request that takes longer than this, in nanoseconds, is worth another thread's waking, where another request waits.
const WORTH_PASSING: u64 = 40_000;
/// The same where none is known to wait: whoever asks alone, as by an fsync after each write, would pay for nobody.
const WORTH_PASSING_ALONE: u64 = 200_000;
/// The same where somebody asks alone and the idle class serves, which has one thread: a wait for a disk ends with two CPUs asleep, and
/// only that thread wakes whoever asks where it runs itself.
const WORTH_PASSING_ON: u64 = 500_000;
/// Whoever asked so often in a row asks alone.
const ALONE: u32 = 64;
/// How long forgets are left to gather where hardly anything else comes this way, so as not to wake for each.
const GATHER: Duration = Duration::from_millis(5);

/// A connection on which INIT was answered.
pub struct Connection {
    device: Device,
    rings: Option<Rings>,
}

struct Device {
    sleeping: File,
    /// Opened with O_NONBLOCK; absent where polling is off.
    polling: Option<File>,
    poll_for: Duration,
    threads: usize,
    server: Server,
    turn: Mutex<Turn>,
    /// Others are to have the turn from now on.
    passed: Condvar,
    /// Hardly anything but forgets comes this way.
    has_rings: bool,
    classes: Classes,
    whereabouts: Whereabouts,
}

/// The right to read the next request.
struct Turn {
    last_wait: Duration,
    /// The last request was there before it was looked for.
    is_crowded: bool,
    /// Nobody needs to wait for the turn any more.
    is_over: bool,
    /// Who asked last, and how often in a row before.
    asker: (u32, u32),
}

/// Answers INIT on a freshly mounted device.
///
/// # Errors
///
/// `Handshake` if the kernel speaks no FUSE protocol known here, `NoRing` if io_uring was asked for and is missing.
pub fn connect(
    operations: Arc<dyn Operations>,
    device: File,
    options: &Options,
    requests: Arc<Requests>,
) -> Result<Connection, MountError> {
    let mut wanted = policy::wanted(options) | capability::SETXATTR_EXT | capability::EXPORT_SUPPORT;
    if options.transport != Transport::Device {
        wanted |= capability::INIT_EXT | capability::OVER_IO_URING;
    }
    let mut rings = None;
    let terms = handshake::agree(&device, wanted, |mut terms| {
        if terms.capabilities & capability::OVER_IO_URING != 0 {
            match Rings::prepare(&device, options.idle_class) {
                Ok(prepared) => terms.largest = rings.insert(prepared).largest(),
                Err(error) => {
                    log::info!("io_uring is not available, /dev/fuse is used: {error}");
                    terms.capabilities &= !capability::OVER_IO_URING;
                }
            }
        }
        terms
    })
    .map_err(MountError::Handshake)?;
    if options.transport == Transport::Uring && rings.is_none() {
        return Err(MountError::NoRing);
    }
    let dispatcher = Dispatcher {
        operations,
        requests,
        transport: if rings.is_some() { Transport::Uring } else { Transport::Device },
        opens: !options.kernel_permissions,
        positions: options.small_positions.then(Positions::default),
        generation: policy::generation(),
        long_setxattr: terms.capabilities & capability::SETXATTR_EXT != 0,
        writeback: terms.capabilities & capability::WRITEBACK_CACHE != 0,
    };
    let polls = rings.is_none() && !options.poll_for.is_zero() && ring::cpus() > 1;
    let device = Device {
        polling: polls.then(|| polling_clone(&device)).transpose().map_err(MountError::Handshake)?,
        sleeping: device,
        poll_for: options.poll_for,
        threads: options.threads.max(1),
        server: Server::new(dispatcher),
        turn: Mutex::new(Turn { last_wait: Duration::MAX, is_crowded: false, is_over: false, asker: (0, 0) }),
        passed: Condvar::new(),
        has_rings: rings.is_some(),
        classes: Classes::new(if rings.is_some() { IdleClass::Never } else { options.idle_class }),
        whereabouts: Whereabouts::new(cpu_of),
    };
    Ok(Connection { device, rings })
}

fn polling_clone(device: &File) -> io::Result<File> {
    let fresh = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/fuse")?;
    sys::attach(&fresh, device)?;
    Ok(fresh)
}

impl Connection {
    /// Serves until the connection ends. `abort` ends it when nobody is left to answer a part of the requests.
    ///
    /// # Errors
    ///
    /// The device could not be read or a thread not be started.
    pub fn run(self, abort: &(dyn Fn() + Sync)) -> io::Result<()> {
        let Connection { device, rings } = self;
        match rings {
            None => device.run(device.threads),
            Some(rings) => thread::scope(|scope| {
                let beside = scope.spawn(|| device.run(1));
                let served = rings.run(&device.server, &device.sleeping, device.threads, abort);
                // Nobody may be left waiting for the queues that were never served.
                let served = served.inspect_err(|_| abort());
                let ended = beside.join().unwrap_or_else(|_| Err(panicked()));
                served.and(ended)
            }),
        }
    }
}

impl Turn {
    fn asks(&mut self, asker: u32) {
        let before = self.asker;
        self.asker =
            if asker == before.0 && asker != 0 { (asker, before.1.saturating_add(1)) } else { (asker, 0) };
    }

    /// Somebody asks alone.
    fn is_of_one(&self) -> bool {
        self.asker.1 >= ALONE
    }
}

/// When a thread that serves ends, in whatever way, nobody is left to wait for it.
struct Leaving<'a>(&'a Device);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.turn.lock().is_over = true;
        self.0.passed.notify_all();
        self.0.whereabouts.end();
    }
}

/// What a thread's join says of a panic outside of any operation.
pub fn panicked() -> io::Error {
    io::Error::other("a transport thread panicked")
}

impl Device {
    fn run(&self, threads: usize) -> io::Result<()> {
        thread::scope(|scope| {
            let start = |name: String, in_idle_class| {
                let thread = thread::Builder::new().name(name);
                let started = thread.spawn_scoped(scope, move || self.serve(scope, in_idle_class));
                started.inspect_err(|error| log::warn!("a worker thread could not be started: {error}")).ok()
            };
            let mut others: Vec<_> =
                (1..threads).filter_map(|number| start(format!("fuse-{number}"), false)).collect();
            if self.classes.has_both() {
                others.extend(start("fuse-idle".into(), true));
                let looks = thread::Builder::new().name("fuse-where".into());
                if let Err(error) = looks.spawn_scoped(scope, || self.whereabouts.run()) {
                    log::warn!("whoever asks is followed nowhere, a thread could not be started: {error}");
                }
            }
            let first = self.serve(scope, false);
            let ended = |thread: thread::ScopedJoinHandle<'_, io::Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(panicked()))
            };
            others.into_iter().map(ended).fold(first, io::Result::and)
        })
    }

    fn serve<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        in_idle_class: bool,
    ) -> io::Result<()> {
        let _leaving = Leaving(self);
        if in_idle_class {
            self.classes.join();
        }
        let mut thread = ServingThread::new(in_idle_class);
        let mut buffers = Buffers::new();
        loop {
            let mut turn = self.await_turn(&thread);
            loop {
                let next = self.next(&mut turn, &thread, buffers.request.bytes())?;
                let Some((device, length)) = next else { return Ok(()) };
                let request = &buffers.request.bytes()[..length];
                let mut body = Body::whole(request);
                let header: InHeader = body.take().ok_or(io::ErrorKind::InvalidData)?;
                self.server.count(&header, in_idle_class);
                let reply = buffers.reply.bytes();
                let worth_passing = if turn.is_crowded { WORTH_PASSING } else { WORTH_PASSING_ALONE };
                let asked = Body::whole(&request[size_of::<InHeader>()..]);
                turn.asks(header.pid);
                let is_for_others = self.is_for_others(&turn, &mut thread, &header, asked);
                if is_for_others {
                    self.passed.notify_all();
                }
                if self.server.needs_flush(&header) {
                    self.seek_later(scope, device, header, body, reply)?;
                } else if is_for_others || self.server.is_slow(&header, worth_passing) {
                    drop(turn);
                    thread.stop_following();
                    self.answer(device, &header, body, reply);
                    break;
                } else {
                    self.answer(device, &header, body, reply);
                }
                if self.has_rings && !dispatch::wants_reply(header.opcode) {
                    thread::sleep(GATHER);
                }
            }
        }
    }

    fn await_turn(&self, thread: &ServingThread) -> MutexGuard<'_, Turn> {
        let mut turn = self.turn.lock();
        while self.classes.in_idle_class() != thread.in_idle_class && !turn.is_over {
            self.passed.wait(&mut turn);
        }
        turn
    }

    /// Whether threads of the other class are to have the turn, now that this request came. The idle class follows whoever
    /// asks to their CPU; the others follow who asks alone, while more want a CPU than there are.
    fn is_for_others(
        &self,
        turn: &Turn,
        thread: &mut ServingThread,
        header: &InHeader,
        mut body: Body<'_>,
    ) -> bool {
        let has_looked = self.classes.look(thread);
        if thread.in_idle_class {
            let is_large = header.opcode == opcode::READ
                && body.take::<ReadIn>().is_some_and(|asked| asked.size >= ring::LARGE_READ);
            let worth_passing = if turn.is_of_one() { WORTH_PASSING_ON } else { WORTH_PASSING_ALONE };
            if is_large
                || self.server.is_slow(header, worth_passing)
                || (has_looked
                    && dispatch::wants_reply(header.opcode)
                    && !thread.follow(self.whereabouts.of(header.pid)))
            {
                self.classes.pause();
            }
        } else if has_looked && self.classes.is_oversubscribed() && turn.is_of_one() {
            thread.follow(self.whereabouts.of(header.pid));
        } else if has_looked {
            thread.stop_following();
        }
        self.classes.in_idle_class() != thread.in_idle_class
    }

    /// Waits for a request. `None`: there will be no more.
    fn next(
        &self,
        turn: &mut Turn,
        thread: &ServingThread,
        room: &mut [u8],
    ) -> io::Result<Option<(&File, usize)>> {
        let start = Instant::now();
        let polling = self.polling.as_ref().filter(|_| turn.last_wait < SOON && !thread.is_beside_asker());
        let mut device = polling.unwrap_or(&self.sleeping);
        turn.is_crowded = polling.is_some();
        loop {
            match receive(device, room)? {
                Received::Bytes(length) => {
                    turn.last_wait = start.elapsed();
                    return Ok(Some((device, length)));
                }
                Received::End => return Ok(None),
                Received::Nothing => {
                    turn.is_crowded = false;
                    match start.elapsed() < self.poll_for {
                        true => hint::spin_loop(),
                        false => device = &self.sleeping,
                    }
                }
            }
        }
    }

    fn seek_later<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        device: &'scope File,
        header: InHeader,
        mut body: Body<'_>,
        room: &mut [u8],
    ) -> io::Result<()> {
        let asked: wire::LseekIn = body.take().ok_or(io::ErrorKind::InvalidData)?;
        let started = thread::Builder::new().name("fuse-seek".into()).spawn_scoped(scope, move || {
            invalidate(device, header.node);
            let mut reply = [0; size_of::<OutHeader>() + size_of::<wire::LseekOut>()];
            self.answer(device, &header, Body::whole(asked.as_bytes()), &mut reply);
        });
        if started.is_err() {
            send(device, header.unique, Err(NO_THREAD), room);
        }
        Ok(())
    }

    fn answer(&self, device: &File, header: &InHeader, body: Body<'_>, reply: &mut [u8]) {
        let answer = self.server.answer(header, body, &mut reply[size_of::<OutHeader>()..]);
        if self.server.changes_blocks(header) {
            forget_attributes(device, header.node);
        }
        if dispatch::wants_reply(header.opcode) {
            send(device, header.unique, answer, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_again_and_again_asks_alone() {
        let mut turn = Turn { last_wait: Duration::ZERO, is_crowded: false, is_over: false, asker: (0, 0) };
        let mut asks = |askers: &[u32]| {
            askers.iter().for_each(|asker| turn.asks(*asker));
            turn.is_of_one()
        };
        assert!(asks(&[7; 65]));
        assert!(!asks(&[8]));
        assert!(!asks(&[7, 8].repeat(65)));
        assert!(!asks(&[0; 100]), "whom this process cannot see may be several");
    }
}
