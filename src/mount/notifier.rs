//! Telling the kernel that what it caches is no longer true, over whichever transport: notifications are written to the
//! device, also where requests come over io_uring or are served by fuser.
//!
//! The kernel waits for whoever works in a directory or on a page: so never from a thread that requests wait for.

use std::fs::File;
use std::io::{IoSlice, Write};

use zerocopy::IntoBytes;

use super::channel::{forget_attributes, invalidate};
use super::protocol::{self as wire, OutHeader};
use crate::fs::ops::{NodeId, Notifier};

pub struct KernelNotifier {
    device: File,
    keeps_sizes: bool,
}

impl KernelNotifier {
    /// `keeps_sizes`: the kernel gathers writes in its cache.
    pub fn new(device: File, keeps_sizes: bool) -> KernelNotifier {
        KernelNotifier { device, keeps_sizes }
    }

    fn send(&self, kind: i32, head: &[u8], name: &[u8]) {
        let length = (size_of::<OutHeader>() + head.len() + name.len() + 1) as u32;
        let header = OutHeader { length, error: kind, unique: 0 };
        let parts = [header.as_bytes(), head, name, b"\0"].map(IoSlice::new);
        if let Err(error) = (&self.device).write_vectored(&parts) {
            // Most often it knows nothing of it.
            log::debug!("a name was not invalidated: {error}");
        }
    }
}

impl Notifier for KernelNotifier {
    fn entry(&self, parent: NodeId, name: &[u8]) {
        let length = name.len() as u32;
        let what = wire::InvalidateEntry { parent: parent.0, length, flags: 0 };
        self.send(wire::NOTIFY_INVALIDATE_ENTRY, what.as_bytes(), name);
    }

    fn removed(&self, parent: NodeId, node: NodeId, name: &[u8]) {
        let length = name.len() as u32;
        let what = wire::DeleteEntry { parent: parent.0, child: node.0, length, padding: 0 };
        self.send(wire::NOTIFY_DELETE, what.as_bytes(), name);
        // It does nothing to a directory that is in use, nor to what was put under that name meanwhile.
        self.entry(parent, name);
    }

    fn attributes(&self, node: NodeId) {
        forget_attributes(&self.device, node.0);
    }

    fn content(&self, node: NodeId) {
        invalidate(&self.device, node.0);
    }

    fn keeps_sizes(&self) -> bool {
        self.keeps_sizes
    }
}
