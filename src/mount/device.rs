//! Our own transport: requests are read from /dev/fuse one by one, answered in the thread that read them.
//!
//! One thread at a time holds the turn to read. It answers short requests itself, still holding it, so that no other
//! thread is woken for them; before one that may take long, as its like did of late, it passes the turn on. While requests come thick and fast it polls for
//! a moment before it sleeps, since waking a sleeper costs more than most requests. A reply goes to the descriptor
//! that its request came from: one for polling, one for sleeping, both of one connection. No allocation per request.
//!
//! LSEEK under the writeback cache is the exception: the kernel (6.18) asks where data lies without first sending what
//! is dirty, and a copying program would take fresh data for a hole. So the kernel is told to flush the file, by a
//! thread of its own, since the flush comes back as WRITEs that the others must be free to answer.

use std::fs::{File, OpenOptions};
use std::hint;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::dispatch::{self, Dispatcher};
use super::policy::{self, capability};
use super::protocol::{self as wire, Body, InHeader, InitIn, InitOut, OutHeader, opcode};
use super::reply::{Answer, Errno};
use super::{Options, Requests};
use crate::fs::ops::Operations;
use crate::sys::fuse as sys;

/// A wait shorter than this makes it worth polling for the next request.
const SOON: Duration = Duration::from_micros(200);
/// A request that takes longer than this, in nanoseconds, is worth another thread's waking.
const WORTH_PASSING: u64 = 40_000;
const PAGE: usize = 4096;

/// A connection on which INIT was answered.
pub struct Connection {
    sleeping: File,
    /// Opened with O_NONBLOCK; absent where polling is off.
    polling: Option<File>,
    poll_for: Duration,
    threads: usize,
    dispatcher: Dispatcher,
    requests: Arc<Requests>,
    turn: Mutex<Turn>,
    pace: Pace,
}

/// How long requests of each kind took of late, in nanoseconds. Quick until one was not.
struct Pace([AtomicU64; opcode::LIMIT]);

impl Pace {
    /// Whether passing the turn on costs less than waiting: a woken thread takes its time, and moves the work to
    /// another CPU.
    fn is_slow(&self, opcode: u32) -> bool {
        self.0.get(opcode as usize).is_none_or(|pace| pace.load(Ordering::Relaxed) > WORTH_PASSING)
    }

    fn note(&self, opcode: u32, took: Duration) {
        if let Some(pace) = self.0.get(opcode as usize) {
            let before = pace.load(Ordering::Relaxed);
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            pace.store(before - before / 8 + took / 8, Ordering::Relaxed);
        }
    }
}

impl Default for Pace {
    fn default() -> Pace {
        Pace([const { AtomicU64::new(0) }; opcode::LIMIT])
    }
}

/// The right to read the next request.
struct Turn {
    last_wait: Duration,
}

/// Room whose byte `prefix` lies on a page boundary.
struct Buffer {
    room: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new(prefix: usize, length: usize) -> Buffer {
        let room = vec![0; length + prefix + 2 * PAGE];
        let start = room.as_ptr().align_offset(PAGE) + prefix.next_multiple_of(PAGE) - prefix;
        Buffer { room, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[self.start..]
    }
}

/// What one thread reads into and answers from; the data of a WRITE and of a READ lie on page boundaries.
struct Buffers {
    request: Buffer,
    reply: Buffer,
}

impl Buffers {
    fn new() -> Buffers {
        let largest = policy::MAX_REQUEST as usize;
        Buffers {
            request: Buffer::new(size_of::<InHeader>() + size_of::<wire::WriteIn>(), largest),
            reply: Buffer::new(size_of::<OutHeader>(), largest),
        }
    }
}

/// What came of waiting for a request.
enum Received {
    Bytes(usize),
    /// Nothing yet, or one that was taken back.
    Nothing,
    /// Unmounted.
    End,
}

fn receive(mut device: &File, room: &mut [u8]) -> io::Result<Received> {
    match device.read(room) {
        Ok(length) => Ok(Received::Bytes(length)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENODEV) => Ok(Received::End),
            Some(libc::EAGAIN | libc::EINTR | libc::ENOENT) => Ok(Received::Nothing),
            _ => Err(error),
        },
    }
}

/// Sends a reply whose payload already lies behind the room for its header.
fn send(mut device: &File, unique: u64, answer: Answer, reply: &mut [u8]) {
    let (payload, error) = answer.map_or_else(|Errno(number)| (0, -number), |length| (length, 0));
    let length = size_of::<OutHeader>() + payload;
    let header = OutHeader { length: length as u32, error, unique };
    reply[..size_of::<OutHeader>()].copy_from_slice(header.as_bytes());
    if let Err(error) = device.write(&reply[..length]) {
        // ENOENT: whoever asked was killed meanwhile. ENODEV: unmounted.
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) {
            log::error!("a reply of {length} bytes was not taken: {error}");
        }
    }
}

/// Has the kernel write back and drop what it caches of a file. Returns when the WRITEs were answered.
fn invalidate(mut device: &File, node: u64) {
    let what = wire::InvalidateInode { node, ..wire::InvalidateInode::default() };
    let length = size_of::<OutHeader>() + size_of_val(&what);
    let header = OutHeader { length: length as u32, error: wire::NOTIFY_INVALIDATE_INODE, unique: 0 };
    let parts = [header.as_bytes(), what.as_bytes()].map(io::IoSlice::new);
    if let Err(error) = device.write_vectored(&parts) {
        log::debug!("node {node} was not flushed: {error}");
    }
}

/// Answers INIT on a freshly mounted device.
pub fn connect(
    operations: Arc<dyn Operations>,
    device: File,
    options: &Options,
    requests: Arc<Requests>,
) -> io::Result<Connection> {
    let granted = handshake(&device, policy::wanted(options) | capability::SETXATTR_EXT)?;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let polling = (cpus > 1 && !options.poll_for.is_zero()).then(|| polling_clone(&device)).transpose()?;
    let dispatcher = Dispatcher {
        operations,
        opens: !options.kernel_permissions,
        long_setxattr: granted & capability::SETXATTR_EXT != 0,
        writeback: granted & capability::WRITEBACK_CACHE != 0,
    };
    Ok(Connection {
        sleeping: device,
        polling,
        poll_for: options.poll_for,
        threads: options.threads.max(1),
        dispatcher,
        requests,
        turn: Mutex::new(Turn { last_wait: Duration::MAX }),
        pace: Pace::default(),
    })
}

fn polling_clone(device: &File) -> io::Result<File> {
    let fresh = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/fuse")?;
    sys::attach(&fresh, device)?;
    Ok(fresh)
}

/// Reads INIT and answers it; returns the capabilities that both sides have.
fn handshake(device: &File, wanted: u64) -> io::Result<u64> {
    let mut buffers = Buffers::new();
    loop {
        let request = buffers.request.bytes();
        let length = match receive(device, request)? {
            Received::Bytes(length) => length,
            Received::Nothing => continue,
            Received::End => return Err(io::ErrorKind::NotConnected.into()),
        };
        let mut body = Body(&request[..length]);
        let (Some(header), Some(init)) = (body.take::<InHeader>(), body.take::<InitIn>()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if header.opcode != opcode::INIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let reply = buffers.reply.bytes();
        if init.major < wire::MAJOR || (init.major == wire::MAJOR && init.minor < wire::OLDEST_MINOR) {
            send(device, header.unique, Err(Errno(libc::EPROTO)), reply);
            return Err(io::ErrorKind::Unsupported.into());
        }
        let granted = wanted & u64::from(init.flags);
        let answer = super::reply::put(&mut reply[size_of::<OutHeader>()..], &terms(&init, granted));
        send(device, header.unique, answer, reply);
        // A kernel of a later major version asks again in ours.
        if init.major == wire::MAJOR {
            return Ok(granted);
        }
    }
}

fn terms(init: &InitIn, granted: u64) -> InitOut {
    InitOut {
        major: wire::MAJOR,
        minor: wire::MINOR,
        max_readahead: init.max_readahead,
        flags: granted as u32,
        max_background: policy::MAX_BACKGROUND,
        congestion_threshold: policy::MAX_BACKGROUND / 4 * 3,
        max_write: policy::MAX_REQUEST,
        time_granularity: 1,
        max_pages: (policy::MAX_REQUEST as usize / PAGE) as u16,
        ..InitOut::default()
    }
}

impl Connection {
    /// Serves until the connection ends.
    pub fn run(self) -> io::Result<()> {
        thread::scope(|scope| {
            let start = |number| {
                let thread = thread::Builder::new().name(format!("fuse-{number}"));
                let started = thread.spawn_scoped(scope, || self.serve(scope));
                started.inspect_err(|error| log::warn!("one thread less: {error}")).ok()
            };
            let others: Vec<_> = (1..self.threads).filter_map(start).collect();
            let first = self.serve(scope);
            let ended = |thread: thread::ScopedJoinHandle<'_, io::Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a transport thread panicked")))
            };
            others.into_iter().map(ended).fold(first, io::Result::and)
        })
    }

    fn serve<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>) -> io::Result<()> {
        let mut buffers = Buffers::new();
        loop {
            let mut turn = self.turn.lock();
            loop {
                let Some((device, length)) = self.next(&mut turn, buffers.request.bytes())? else {
                    return Ok(());
                };
                let mut body = Body(&buffers.request.bytes()[..length]);
                let header: InHeader = body.take().ok_or(io::ErrorKind::InvalidData)?;
                self.requests.count(header.opcode);
                if header.opcode == opcode::LSEEK && self.dispatcher.writeback {
                    self.seek_later(scope, device, header, body)?;
                    continue;
                }
                let reply = buffers.reply.bytes();
                if !dispatch::may_take_long(&header) {
                    self.answer(device, &header, body, reply);
                } else if !self.pace.is_slow(header.opcode) {
                    self.answer_timed(device, &header, body, reply);
                } else {
                    drop(turn);
                    self.answer_timed(device, &header, body, reply);
                    break;
                }
            }
        }
    }

    /// Waits for a request. `None`: there will be no more.
    fn next(&self, turn: &mut Turn, room: &mut [u8]) -> io::Result<Option<(&File, usize)>> {
        let start = Instant::now();
        let polling = self.polling.as_ref().filter(|_| turn.last_wait < SOON);
        let mut device = polling.unwrap_or(&self.sleeping);
        loop {
            match receive(device, room)? {
                Received::Bytes(length) => {
                    turn.last_wait = start.elapsed();
                    return Ok(Some((device, length)));
                }
                Received::End => return Ok(None),
                Received::Nothing if start.elapsed() < self.poll_for => hint::spin_loop(),
                Received::Nothing => device = &self.sleeping,
            }
        }
    }

    fn seek_later<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        device: &'scope File,
        header: InHeader,
        mut body: Body<'_>,
    ) -> io::Result<()> {
        let asked: wire::LseekIn = body.take().ok_or(io::ErrorKind::InvalidData)?;
        thread::Builder::new().name("fuse-seek".into()).spawn_scoped(scope, move || {
            invalidate(device, header.node);
            let mut reply = [0; size_of::<OutHeader>() + size_of::<wire::LseekOut>()];
            self.answer(device, &header, Body(asked.as_bytes()), &mut reply);
        })?;
        Ok(())
    }

    fn answer_timed(&self, device: &File, header: &InHeader, body: Body<'_>, reply: &mut [u8]) {
        let start = Instant::now();
        self.answer(device, header, body, reply);
        self.pace.note(header.opcode, start.elapsed());
    }

    fn answer(&self, device: &File, header: &InHeader, body: Body<'_>, reply: &mut [u8]) {
        let payload = &mut reply[size_of::<OutHeader>()..];
        let answer = catch_unwind(AssertUnwindSafe(|| self.dispatcher.answer(header, body, payload)));
        let answer = answer.unwrap_or_else(|_| {
            log::error!("operation {} panicked and was answered with EIO", header.opcode);
            Err(Errno(libc::EIO))
        });
        if dispatch::wants_reply(header.opcode) {
            send(device, header.unique, answer, reply);
        }
    }
}

impl Requests {
    fn count(&self, opcode: u32) {
        if let Some(counter) = self.0.get(opcode as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Default for Requests {
    fn default() -> Requests {
        Requests([const { AtomicU64::new(0) }; opcode::LIMIT])
    }
}
