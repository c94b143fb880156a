//! The contents of one file as pages of 4096 bytes that copies share: taking a copy is cheap, and stays as it was.
//!
//! What always holds: the bytes of a page beyond the file's length are zero; a page never written is not stored.
//! `memory` keeps files as images, `power` the versions of each that a power cut may leave.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

/// Bytes in a page: the unit that is copied when it changes.
pub const PAGE: usize = 4096;
/// Longest file, in bytes; EFBIG beyond, as on a real filesystem.
const MAX_LENGTH: u64 = 1 << 36;

pub type Page = Arc<[u8; PAGE]>;

/// A file's length and bytes.
#[derive(Clone, Default)]
pub struct Image {
    length: u64,
    pages: Vec<Option<Page>>,
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        let last = self.pages.len().max(other.pages.len());
        self.length == other.length && (0..last).all(|index| self.page(index) == other.page(index))
    }
}

impl Image {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The pages stored, in order; `None` and whatever comes after the last is zeros.
    pub fn pages(&self) -> &[Option<Page>] {
        &self.pages
    }

    /// One page, `None` for zeros.
    pub fn page(&self, index: usize) -> Option<&Page> {
        self.pages.get(index)?.as_ref()
    }

    /// Puts a whole page in place, as far as the file's length goes.
    pub fn set_page(&mut self, index: usize, page: Option<Page>) {
        if index >= pages_of(self.length) {
            return;
        }
        if self.pages.len() <= index {
            self.pages.resize(index + 1, None);
        }
        let (last, end) = locate(self.length);
        self.pages[index] = if index == last { page.map(|page| cleared(&page, end)) } else { page };
    }

    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> usize {
        let wanted = self.length.saturating_sub(offset).min(out.len() as u64) as usize;
        let mut done = 0;
        while done < wanted {
            let (index, start) = locate(offset + done as u64);
            let count = (PAGE - start).min(wanted - done);
            match self.page(index) {
                Some(page) => out[done..done + count].copy_from_slice(&page[start..start + count]),
                None => out[done..done + count].fill(0),
            }
            done += count;
        }
        wanted
    }

    /// Writes the parts one after the other; returns which pages changed.
    ///
    /// # Errors
    ///
    /// EFBIG beyond 64 GiB; nothing is written then.
    pub fn write_at(&mut self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<Range<usize>> {
        let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = checked(offset.saturating_add(total))?;
        if total == 0 {
            return Ok(0..0);
        }
        let mut at = offset;
        for part in parts {
            let mut rest = &part[..];
            while !rest.is_empty() {
                let (index, start) = locate(at);
                let (now, later) = rest.split_at((PAGE - start).min(rest.len()));
                self.page_mut(index)[start..start + now.len()].copy_from_slice(now);
                at += now.len() as u64;
                rest = later;
            }
        }
        self.length = self.length.max(end);
        Ok(locate(offset).0..pages_of(end))
    }

    /// Cuts the file, or makes it longer by zeros. `length`: bytes.
    ///
    /// # Errors
    ///
    /// EFBIG beyond 64 GiB.
    pub fn set_length(&mut self, length: u64) -> io::Result<()> {
        let whole = pages_of(checked(length)?);
        self.pages.truncate(whole);
        let (index, start) = locate(length);
        if length < self.length && start != 0 && self.page(index).is_some() {
            self.page_mut(index)[start..].fill(0);
        }
        self.length = length;
        Ok(())
    }

    fn page_mut(&mut self, index: usize) -> &mut [u8; PAGE] {
        if self.pages.len() <= index {
            self.pages.resize(index + 1, None);
        }
        Arc::make_mut(self.pages[index].get_or_insert_with(|| Arc::new([0; PAGE])))
    }
}

fn checked(end: u64) -> io::Result<u64> {
    if end > MAX_LENGTH { Err(io::Error::from_raw_os_error(libc::EFBIG)) } else { Ok(end) }
}

fn locate(offset: u64) -> (usize, usize) {
    ((offset / PAGE as u64) as usize, (offset % PAGE as u64) as usize)
}

/// How many pages `length` bytes lie in.
pub fn pages_of(length: u64) -> usize {
    length.div_ceil(PAGE as u64) as usize
}

/// A page with nothing but zeros from byte `start` on.
pub fn cleared(page: &Page, start: usize) -> Page {
    if page[start..].iter().all(|byte| *byte == 0) {
        return Arc::clone(page);
    }
    let mut page = Arc::clone(page);
    Arc::make_mut(&mut page)[start..].fill(0);
    page
}
