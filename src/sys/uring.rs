//! One queue of FUSE requests over io_uring (linux/fuse.h 7.42): requests come as completions, a reply and the wish for
//! the next request go out as one submission.
//!
//! Always holds: a [`Request`]'s buffers belong either to the kernel or to whoever holds the `Request`, never to both.
//! Above: `mount`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::event::{EventfdFlags, eventfd};
use zerocopy::IntoBytes;

/// `FUSE_IO_URING_CMD_*`.
const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;
/// How long each of the first two parts of a request's head is.
const PART: usize = 128;
const PAGE: usize = 4096;
/// The wake-up's mark; a request's is its address.
const WAKE: u64 = 0;

/// `fuse_uring_req_header`.
#[repr(C)]
struct Head {
    message: [u8; PART],
    operation: [u8; PART],
    flags: u64,
    commit: u64,
    payload: u32,
    padding: u32,
    reserved: u64,
}

struct Room {
    head: Head,
    /// One page more than asked for, so that a page boundary lies in it.
    payload: Vec<u8>,
    start: usize,
}

/// A request that came, and the room for its reply.
pub struct Request(Box<Room>);

/// The parts of a request.
pub struct Parts<'a> {
    /// `fuse_in_header`, to be replaced by `fuse_out_header`.
    pub message: &'a mut [u8],
    /// The structure that belongs to the kind of request; meaningless where it has none.
    pub operation: &'a [u8],
    /// On a page boundary.
    pub payload: &'a mut [u8],
    /// How much of the payload came with the request.
    pub came: usize,
}

impl Request {
    pub fn parts(&mut self) -> Parts<'_> {
        let Room { head, payload, start } = &mut *self.0;
        let payload = &mut payload[*start..];
        let came = payload.len().min(head.payload as usize);
        Parts { message: &mut head.message, operation: &head.operation, payload, came }
    }

    /// Says how many bytes of the payload are the reply's.
    pub fn reply_with(&mut self, length: usize) {
        self.0.head.payload = length as u32;
    }
}

/// Wakes whoever waits in [`Queue::wait`].
#[derive(Clone)]
pub struct Waker(Arc<File>);

impl Waker {
    /// Wakes it, now or when it waits next.
    ///
    /// # Errors
    ///
    /// write(2)'s; the only one it documents for this, EAGAIN, takes 2⁶⁴ wakes.
    pub fn wake(&self) -> io::Result<()> {
        (&*self.0).write_all(1u64.as_bytes())
    }
}

/// A queue, and the thread's that [`start`](Queue::start)s it from then on.
pub struct Queue {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    number: u16,
    depth: u16,
    rooms: Vec<Request>,
    waker: Waker,
    /// How many requests of this number there are, wherever they are now.
    alive: Arc<AtomicUsize>,
}

/// Why a request's buffers were released.
pub type Lost = io::Error;

impl Queue {
    /// Nothing comes yet. `depth` requests at once, each with `payload` bytes.
    ///
    /// # Errors
    ///
    /// The kernel has no io_uring, or not for us, or not all that is needed of it.
    pub fn new(device: &File, number: u16, depth: u16, payload: usize) -> io::Result<Queue> {
        let room = || {
            let bytes = vec![0; payload + PAGE];
            let start = bytes.as_ptr().align_offset(PAGE);
            let head = Head {
                message: [0; PART],
                operation: [0; PART],
                flags: 0,
                commit: 0,
                payload: 0,
                padding: 0,
                reserved: 0,
            };
            Request(Box::new(Room { head, payload: bytes, start }))
        };
        let rooms = (0..depth).map(|_| room()).collect();
        let alive = Arc::new(AtomicUsize::new(depth.into()));
        Queue::of(device, number, depth, rooms, alive)
    }

    fn of(
        device: &File,
        number: u16,
        depth: u16,
        rooms: Vec<Request>,
        alive: Arc<AtomicUsize>,
    ) -> io::Result<Queue> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_r_disabled()
            .build(u32::from(depth) + 1)?;
        ring.submitter().register_files(&[device.as_raw_fd()])?;
        Ok(Queue { ring, number, depth, rooms, waker: Waker(Arc::new(event()?)), alive })
    }

    /// Another one of the same number, for another thread. Its requests are those of this one that are committed there, each
    /// until it is committed here again.
    ///
    /// # Errors
    ///
    /// As for [`new`](Queue::new).
    pub fn second(&self, device: &File) -> io::Result<Queue> {
        Queue::of(device, self.number, self.depth, Vec::new(), Arc::clone(&self.alive))
    }

    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Has the kernel use this queue, once all the others are started too. Only this thread may use it from now on.
    ///
    /// # Errors
    ///
    /// io_uring_register(2)'s (EBADFD if it was started before) and io_uring_enter(2)'s. That of a request which the
    /// kernel does not take comes from [`wait`](Queue::wait), to `lost`.
    pub fn start(&mut self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()?;
        self.await_wake()?;
        // Each is an iovec: address and length of the head, then of the payload.
        let mut places = Vec::with_capacity(self.rooms.len());
        for Request(mut room) in mem::take(&mut self.rooms) {
            let head = (&raw mut room.head).expose_provenance();
            let payload = &mut room.payload[room.start..];
            let whole_pages = payload.len() - payload.len() % PAGE;
            let payload = payload.as_mut_ptr().expose_provenance();
            let place = Box::new([head, size_of::<Head>(), payload, whole_pages]);
            let room = Box::into_raw(room);
            let mut entry = self.command(REGISTER, 0, room.expose_provenance() as u64);
            // SAFETY: Entry128 is a repr(C) io_uring_sqe, whose `addr` lies at byte 16 and `len` at byte 24.
            unsafe {
                let fields = (&raw mut entry).cast::<u32>();
                fields.add(4).cast::<u64>().write(place.as_ptr().expose_provenance() as u64);
                fields.add(6).write(2);
            }
            places.push(place);
            self.push(&entry)?;
        }
        // The kernel copies the iovecs while it takes the submissions.
        self.ring.submit()?;
        Ok(())
    }

    fn command(&self, command: u32, commit: u64, mark: u64) -> squeue::Entry128 {
        let mut bytes = [0; 80];
        bytes[8..16].copy_from_slice(commit.as_bytes());
        bytes[16..18].copy_from_slice(self.number.as_bytes());
        opcode::UringCmd80::new(types::Fixed(0), command).cmd(bytes).build().user_data(mark)
    }

    fn push(&mut self, entry: &squeue::Entry128) -> io::Result<()> {
        // SAFETY: what an entry points to (a request's room; the iovecs of `start`; nothing for a poll) lives until its
        // completion was seen: rooms are given to the kernel by `into_raw` and taken back only then.
        unsafe { self.ring.submission().push(entry) }.map_err(io::Error::other)
    }

    fn await_wake(&mut self) -> io::Result<()> {
        let poll = opcode::PollAdd::new(types::Fd(self.waker.0.as_raw_fd()), libc::POLLIN as u32);
        self.push(&poll.build().user_data(WAKE).into())
    }

    /// Has the reply sent with the next [`wait`](Queue::wait) or [`flush`](Queue::flush).
    ///
    /// # Errors
    ///
    /// `Other` where the submission queue is full, which `depth` requests cannot make it. The request is lost then.
    pub fn commit(&mut self, request: Request) -> io::Result<()> {
        let commit = request.0.head.commit;
        let room = Box::into_raw(request.0);
        self.push(&self.command(COMMIT_AND_FETCH, commit, room.expose_provenance() as u64))
    }

    /// Sends what was committed.
    ///
    /// # Errors
    ///
    /// io_uring_enter(2)'s, but not EINTR, EAGAIN and EBUSY: what these leave behind goes with the next call.
    pub fn flush(&mut self) -> io::Result<()> {
        passing(self.ring.submit())
    }

    /// Sends what was committed, waits for requests or a wake-up, and adds the requests to `found`. A room that the
    /// kernel does not use any more is given to `lost`.
    ///
    /// Returns whether more can come, here or to the second queue of this number. Requests that were not committed count as more.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Queue::flush).
    pub fn wait(&mut self, found: &mut Vec<Request>, mut lost: impl FnMut(Lost)) -> io::Result<bool> {
        passing(self.ring.submit_and_wait(1))?;
        let mut woken = false;
        for done in self.ring.completion() {
            if done.user_data() == WAKE {
                woken = true;
                continue;
            }
            let room = std::ptr::with_exposed_provenance_mut::<Room>(done.user_data() as usize);
            // SAFETY: the mark is what `into_raw` gave when the room went to the kernel, and each completes once.
            let request = Request(unsafe { Box::from_raw(room) });
            if done.result() == 0 {
                found.push(request);
            } else {
                self.alive.fetch_sub(1, Ordering::AcqRel);
                lost(io::Error::from_raw_os_error(-done.result()));
            }
        }
        if woken {
            let _ = (&*self.waker.0).read(&mut [0; 8]);
            self.await_wake()?;
        }
        Ok(self.alive.load(Ordering::Acquire) > 0)
    }
}

/// What was not submitted for a passing reason goes with the next call.
fn passing(submitted: io::Result<usize>) -> io::Result<()> {
    match submitted {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// An event counter that never blocks.
fn event() -> io::Result<File> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?.into())
}
