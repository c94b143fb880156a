//! INIT: what kernel and filesystem agree on before the first request.
//!
//! Neighbours: `device` has it done, `policy` says what is wanted.

use std::fs::File;
use std::io;

use super::channel::{Buffers, Received, receive, send};
use super::policy::{self, capability};
use super::protocol::{self as wire, Body, InHeader, InitIn, InitMoreIn, InitOut, OutHeader, opcode};
use super::reply::{self, Errno};

/// What both sides can.
#[derive(Clone, Copy)]
pub struct Terms {
    /// Of `capability`.
    pub capabilities: u64,
    /// The largest READ or WRITE, in bytes.
    pub largest: u32,
}

/// Reads INIT and answers it. `narrow` may take back some of what both sides can before the kernel is told.
///
/// # Errors
///
/// The device could not be read or written, or the kernel's protocol is older than 7.31.
pub fn agree(device: &File, wanted: u64, narrow: impl FnOnce(Terms) -> Terms) -> io::Result<Terms> {
    let mut buffers = Buffers::new();
    let (unique, init, offered) = loop {
        let request = buffers.request.bytes();
        let length = match receive(device, request)? {
            Received::Bytes(length) => length,
            Received::Nothing => continue,
            Received::End => return Err(io::ErrorKind::NotConnected.into()),
        };
        let mut body = Body::whole(&request[..length]);
        let (Some(header), Some(init)) = (body.take::<InHeader>(), body.take::<InitIn>()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if header.opcode != opcode::INIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if init.major < wire::MAJOR || (init.major == wire::MAJOR && init.minor < wire::OLDEST_MINOR) {
            send(device, header.unique, Err(Errno(libc::EPROTO)), buffers.reply.bytes());
            return Err(io::ErrorKind::Unsupported.into());
        }
        if init.major == wire::MAJOR {
            break (header.unique, init, offered(&init, body));
        }
        // A kernel of a later major version asks again in ours.
        let ours = InitOut { major: wire::MAJOR, minor: wire::MINOR, ..InitOut::default() };
        let reply = buffers.reply.bytes();
        let answer = reply::put(&mut reply[size_of::<OutHeader>()..], &ours);
        send(device, header.unique, answer, reply);
    };
    let terms = narrow(Terms { capabilities: wanted & offered, largest: policy::MAX_REQUEST });
    let reply = buffers.reply.bytes();
    let answer = reply::put(&mut reply[size_of::<OutHeader>()..], &told(&init, terms));
    send(device, unique, answer, reply);
    Ok(terms)
}

fn offered(init: &InitIn, mut rest: Body<'_>) -> u64 {
    let lower = u64::from(init.flags);
    let more = if lower & capability::INIT_EXT != 0 { rest.take::<InitMoreIn>() } else { None };
    lower | more.map_or(0, |more| u64::from(more.flags2) << 32)
}

fn told(init: &InitIn, terms: Terms) -> InitOut {
    InitOut {
        major: wire::MAJOR,
        minor: wire::MINOR,
        max_readahead: init.max_readahead,
        flags: terms.capabilities as u32,
        flags2: (terms.capabilities >> 32) as u32,
        max_background: policy::MAX_BACKGROUND,
        congestion_threshold: policy::MAX_BACKGROUND / 4 * 3,
        max_write: terms.largest,
        time_granularity: 1,
        max_pages: (terms.largest / policy::BLOCK_SIZE) as u16,
        ..InitOut::default()
    }
}
