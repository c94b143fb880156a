//! The contents of a file in memory, in pages. Neighbour: `memory`.

use cryptfs::fs::ops::Seek;
use cryptfs::fs::{Error, Result};

pub const PAGE: usize = 4096;

/// What a file holds; pages that were never written are holes.
#[derive(Default)]
pub struct Pages {
    /// Bytes.
    pub size: u64,
    pages: Vec<Option<Box<[u8; PAGE]>>>,
    /// How many of `pages` are there.
    pub present: u64,
}

impl Pages {
    pub fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let length = (self.size.saturating_sub(offset)).min(out.len() as u64) as usize;
        let (mut done, mut at) = (0, offset);
        while done < length {
            let (page, within) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let part = (PAGE - within).min(length - done);
            match self.pages.get(page) {
                Some(Some(data)) => out[done..done + part].copy_from_slice(&data[within..within + part]),
                _ => out[done..done + part].fill(0),
            }
            (done, at) = (done + part, at + part as u64);
        }
        length
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let needed = end.div_ceil(PAGE as u64) as usize;
        if self.pages.len() < needed {
            self.pages.resize_with(needed, || None);
        }
        let (mut done, mut at) = (0, offset);
        while done < data.len() {
            let (page, within) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let part = (PAGE - within).min(data.len() - done);
            self.present += u64::from(self.pages[page].is_none());
            let target = self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]));
            target[within..within + part].copy_from_slice(&data[done..done + part]);
            (done, at) = (done + part, at + part as u64);
        }
        self.size = self.size.max(end);
    }

    pub fn zero(&mut self, offset: u64, end: u64) {
        let mut at = offset;
        while at < end {
            let (page, within) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let part = ((PAGE - within) as u64).min(end - at) as usize;
            match self.pages.get_mut(page) {
                None => return,
                Some(slot) if part == PAGE => self.present -= u64::from(slot.take().is_some()),
                Some(Some(data)) => data[within..within + part].fill(0),
                Some(None) => {}
            }
            at += part as u64;
        }
    }

    pub fn resize(&mut self, size: u64) {
        if size < self.size {
            self.zero(size, self.size.next_multiple_of(PAGE as u64));
            self.pages.truncate(size.div_ceil(PAGE as u64) as usize);
        }
        self.size = size;
    }

    pub fn seek(&self, offset: u64, whence: Seek) -> Result<u64> {
        if offset >= self.size {
            return Err(Error::NoSuchDeviceOrAddress);
        }
        let mut page = (offset / PAGE as u64) as usize;
        let wanted = whence == Seek::Data;
        while page < self.pages.len() {
            if self.pages[page].is_some() == wanted {
                return Ok(offset.max(page as u64 * PAGE as u64).min(self.size));
            }
            page += 1;
        }
        match whence {
            Seek::Data => Err(Error::NoSuchDeviceOrAddress),
            Seek::Hole => Ok(offset.max(page as u64 * PAGE as u64).min(self.size)),
        }
    }
}
