//! /dev/fuse, message by message: what is read from it, what is written to it, and the room for both.
//!
//! Neighbours: `handshake` and `device` read requests with it.

use std::fs::File;
use std::io::{self, Read, Write};

use zerocopy::IntoBytes;

use super::policy;
use super::protocol::{self as wire, InHeader, OutHeader};
use super::reply::{Answer, Errno};

const PAGE: usize = 4096;

/// Room whose byte `prefix` lies on a page boundary.
pub struct Buffer {
    room: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new(prefix: usize, length: usize) -> Buffer {
        let room = vec![0; length + prefix + 2 * PAGE];
        let start = room.as_ptr().align_offset(PAGE) + prefix.next_multiple_of(PAGE) - prefix;
        Buffer { room, start }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[self.start..]
    }
}

/// What one thread reads into and answers from; the data of a WRITE and of a READ lie on page boundaries.
pub struct Buffers {
    pub request: Buffer,
    pub reply: Buffer,
}

impl Buffers {
    pub fn new() -> Buffers {
        let largest = policy::MAX_REQUEST as usize;
        Buffers {
            request: Buffer::new(size_of::<InHeader>() + size_of::<wire::WriteIn>(), largest),
            reply: Buffer::new(size_of::<OutHeader>(), largest),
        }
    }
}

/// The outcome of waiting for a request.
pub enum Received {
    Bytes(usize),
    /// None yet, or it was cancelled.
    Nothing,
    /// Unmounted.
    End,
}

/// # Errors
///
/// What the kernel answers, except interruptions and requests that were taken back.
pub fn receive(mut device: &File, room: &mut [u8]) -> io::Result<Received> {
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
pub fn send(mut device: &File, unique: u64, answer: Answer, reply: &mut [u8]) {
    let (payload, error) = answer.map_or_else(|Errno(number)| (0, -number), |length| (length, 0));
    let length = size_of::<OutHeader>() + payload;
    let header = OutHeader { length: length as u32, error, unique };
    reply[..size_of::<OutHeader>()].copy_from_slice(header.as_bytes());
    if let Err(error) = device.write(&reply[..length]) {
        // ENOENT: whoever asked was killed meanwhile. ENODEV: unmounted.
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) {
            log::error!("the kernel refused a reply of {length} bytes: {error}");
        }
    }
}

/// Has the kernel write back and drop what it caches of a file. Returns when the WRITEs were answered.
pub fn invalidate(device: &File, node: u64) {
    notify(device, wire::InvalidateInode { node, ..wire::InvalidateInode::default() });
}

/// Has the kernel ask anew for a file's attributes; what it caches of the content stays.
pub fn forget_attributes(device: &File, node: u64) {
    notify(device, wire::InvalidateInode { node, offset: -1, ..wire::InvalidateInode::default() });
}

fn notify(mut device: &File, what: wire::InvalidateInode) {
    let length = size_of::<OutHeader>() + size_of_val(&what);
    let header = OutHeader { length: length as u32, error: wire::NOTIFY_INVALIDATE_INODE, unique: 0 };
    let parts = [header.as_bytes(), what.as_bytes()].map(io::IoSlice::new);
    if let Err(error) = device.write_vectored(&parts) {
        log::debug!("node {} was not flushed: {error}", what.node);
    }
}
