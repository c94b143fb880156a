//! Our own transport: requests are read from /dev/fuse one by one, answered in the thread that read them.
//!
//! One thread at a time holds the turn to read. It answers short requests itself, still holding it, so that no other
//! thread is woken for them; before one that may take long, as its like did of late, it passes the turn on, sooner where
//! others wait already. While requests come thick and fast it polls for a moment before it sleeps, since waking a sleeper
//! costs more than most requests. A reply goes to the descriptor that its request came from: one for polling, one for
//! sleeping, both of one connection. No allocation per request.
//!
//! With `ring` beside it, only forgets and what else the kernel does not send there come this way.

use std::fs::{File, OpenOptions};
use std::hint;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::channel::{Buffers, Received, forget_attributes, invalidate, receive, send};
use super::dispatch::{self, Dispatcher};
use super::policy::{self, capability};
use super::protocol::{self as wire, Body, InHeader, OutHeader};
use super::reply::NO_THREAD;
use super::ring::{self, Rings};
use super::server::Server;
use super::{MountError, Options, Requests, Transport, handshake};
use crate::fs::ops::Operations;
use crate::sys::fuse as sys;

/// A wait shorter than this makes it worth polling for the next request.
const SOON: Duration = Duration::from_micros(200);
/// A request that takes longer than this, in nanoseconds, is worth another thread's waking, where another request waits.
const WORTH_PASSING: u64 = 40_000;
/// The same where none is known to wait: whoever asks alone, as by an fsync after each write, would pay for nobody.
const WORTH_PASSING_ALONE: u64 = 200_000;
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
    /// Hardly anything but forgets comes this way.
    has_rings: bool,
}

/// The right to read the next request.
struct Turn {
    last_wait: Duration,
    /// The last request was there before it was looked for.
    is_crowded: bool,
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
            match Rings::prepare(&device) {
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
        turn: Mutex::new(Turn { last_wait: Duration::MAX, is_crowded: false }),
        has_rings: rings.is_some(),
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

/// What a thread's join says of a panic outside of any operation.
pub fn panicked() -> io::Error {
    io::Error::other("a transport thread panicked")
}

impl Device {
    fn run(&self, threads: usize) -> io::Result<()> {
        thread::scope(|scope| {
            let start = |number| {
                let thread = thread::Builder::new().name(format!("fuse-{number}"));
                let started = thread.spawn_scoped(scope, || self.serve(scope));
                started.inspect_err(|error| log::warn!("a worker thread could not be started: {error}")).ok()
            };
            let others: Vec<_> = (1..threads).filter_map(start).collect();
            let first = self.serve(scope);
            let ended = |thread: thread::ScopedJoinHandle<'_, io::Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(panicked()))
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
                let mut body = Body::whole(&buffers.request.bytes()[..length]);
                let header: InHeader = body.take().ok_or(io::ErrorKind::InvalidData)?;
                self.server.count(&header);
                let reply = buffers.reply.bytes();
                let worth_passing = if turn.is_crowded { WORTH_PASSING } else { WORTH_PASSING_ALONE };
                if self.server.needs_flush(&header) {
                    self.seek_later(scope, device, header, body, reply)?;
                } else if self.server.is_slow(&header, worth_passing) {
                    drop(turn);
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

    /// Waits for a request. `None`: there will be no more.
    fn next(&self, turn: &mut Turn, room: &mut [u8]) -> io::Result<Option<(&File, usize)>> {
        let start = Instant::now();
        let polling = self.polling.as_ref().filter(|_| turn.last_wait < SOON);
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
