//! One file's contents: on disk, in the page cache, and every change between the two.
//!
//! What always holds: the changes, applied in order to what is durable, give what is live (unless a failed sync lost
//! some); page versions are shared, so copies are cheap. The rules are those at the head of the parent module.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::choose::{Choose, SECTOR, SECTORS};
use crate::store::image::{Image, PAGE, Page, cleared, pages_of};

/// One write or change of length.
#[derive(Clone)]
struct Change {
    /// Bytes, afterwards.
    length: u64,
    /// Whether it threw away what lay beyond `length`.
    shrinks: bool,
    /// The pages it wrote, as they were afterwards.
    pages: Vec<(usize, Option<Page>)>,
}

/// See the module.
#[derive(Clone, Default)]
pub struct History {
    durable: Image,
    pending: Vec<Change>,
    live: Image,
    /// Changes that were made durable, ever: with `pending`, numbers each change.
    synced: u64,
}

/// The versions that a page can have after a power cut, the durable one first.
type Versions = BTreeMap<usize, Vec<Option<Page>>>;

impl History {
    /// A file that is durable as it is.
    pub fn of(image: Image) -> History {
        History { durable: image.clone(), live: image, pending: Vec::new(), synced: 0 }
    }

    pub fn live(&self) -> &Image {
        &self.live
    }

    /// Writes the parts one after the other, to what is live.
    ///
    /// # Errors
    ///
    /// As for [`Image::write_at`].
    pub fn write_at(&mut self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let written = self.live.write_at(offset, parts)?;
        let pages = written.map(|index| (index, self.live.page(index).cloned())).collect();
        self.pending.push(Change { length: self.live.length(), shrinks: false, pages });
        Ok(())
    }

    /// Cuts the file, or makes it longer by zeros: what is live. `length`: bytes.
    ///
    /// # Errors
    ///
    /// As for [`Image::set_length`].
    pub fn set_length(&mut self, length: u64) -> io::Result<()> {
        let shrinks = length < self.live.length();
        self.live.set_length(length)?;
        self.pending.push(Change { length, shrinks, pages: Vec::new() });
        Ok(())
    }

    /// The number of the newest change.
    pub fn newest(&self) -> u64 {
        self.synced + self.pending.len() as u64
    }

    /// Makes all changes up to that number durable.
    pub fn sync(&mut self, newest: u64) {
        let count = newest.saturating_sub(self.synced) as usize;
        for change in self.pending.drain(..count.min(self.pending.len())) {
            self.durable.set_length(change.length).expect("was a length before");
            for (index, page) in change.pages {
                self.durable.set_page(index, page);
            }
            self.synced += 1;
        }
    }

    /// Another process changes the whole file where it is, durably.
    pub fn overwrite(&mut self, image: Image) {
        self.synced += self.pending.len() as u64;
        *self = History { synced: self.synced, ..History::of(image) };
    }

    pub fn sync_everything(&mut self) {
        self.sync(self.newest());
    }

    /// Forgets what is not synced, except what is chosen to have arrived; reads still show it.
    pub fn lose_pending(&mut self, choose: &mut dyn Choose) {
        self.durable = self.cut(choose);
        self.synced += self.pending.len() as u64;
        self.pending.clear();
    }

    /// One state that a power cut can leave.
    pub fn cut(&self, choose: &mut dyn Choose) -> Image {
        if self.pending.is_empty() {
            return self.durable.clone();
        }
        let lengths = self.length_changes();
        let reached = lengths[if lengths.len() > 1 { choose.choose(lengths.len()) } else { 0 }];
        let (mut image, versions) = self.after(reached);
        for (index, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
            // Torn comes last but one, so that the last choice is the newest version.
            let newest = versions.len() - 1;
            let page = match choose.choose(versions.len() + 1) {
                choice if choice < newest => versions[choice].clone(),
                choice if choice == newest => torn(&versions, choose.tear(versions.len())),
                _ => versions[newest].clone(),
            };
            image.set_page(index, page);
        }
        image
    }

    /// How many states [`History::cut`] can give, of torn pages counting one each.
    pub fn states(&self) -> u128 {
        let after = |reached| {
            let (_, versions) = self.after(reached);
            let pages = versions.values().filter(|versions| versions.len() > 1);
            pages.map(|versions| versions.len() as u128 + 1).fold(1, u128::saturating_mul)
        };
        self.length_changes().into_iter().map(after).fold(0, u128::saturating_add)
    }

    /// How many changes the disk may have made to the file's length, in order: after each number of these it differs.
    fn length_changes(&self) -> Vec<usize> {
        let mut length = self.durable.length();
        let mut reached = vec![0];
        for (index, change) in self.pending.iter().enumerate() {
            if change.length != length {
                reached.push(index + 1);
            }
            length = change.length;
        }
        reached
    }

    /// The file when the lengths of the first `reached` changes arrived and no data did, and the versions that each of
    /// its pages can have instead.
    fn after(&self, reached: usize) -> (Image, Versions) {
        let mut image = self.durable.clone();
        let mut versions = Versions::new();
        for (number, change) in self.pending.iter().enumerate() {
            if number < reached {
                image.set_length(change.length).expect("was a length before");
                if change.shrinks {
                    forget_beyond(&mut versions, change.length);
                }
            }
            for (index, page) in &change.pages {
                versions.entry(*index).or_default().push(page.clone());
            }
        }
        versions.retain(|index, _| *index < pages_of(image.length()));
        for (index, versions) in &mut versions {
            versions.insert(0, image.page(*index).cloned());
            versions.dedup();
        }
        (image, versions)
    }

    pub fn hash_live(&self, hasher: &mut dyn Hasher) {
        hasher.write_u64(self.live.length());
        for (index, page) in self.live.pages().iter().enumerate() {
            if let Some(page) = page.as_ref().filter(|page| ***page != [0; PAGE]) {
                hasher.write_usize(index);
                hasher.write(&page[..]);
            }
        }
    }
}

fn forget_beyond(versions: &mut Versions, length: u64) {
    drop(versions.split_off(&pages_of(length)));
    let start = (length % PAGE as u64) as usize;
    if start != 0
        && let Some(last) = versions.get_mut(&(pages_of(length) - 1))
    {
        for page in last.iter_mut().flatten() {
            *page = cleared(page, start);
        }
    }
}

fn torn(versions: &[Option<Page>], sources: [usize; SECTORS]) -> Option<Page> {
    let mut page = [0; PAGE];
    for (sector, source) in sources.into_iter().enumerate() {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        if let Some(version) = &versions[source] {
            page[range.clone()].copy_from_slice(&version[range]);
        }
    }
    Some(Arc::new(page))
}
