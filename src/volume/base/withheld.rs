//! What this device's batches say and what has no place now: it is repeated until it has.
//!
//! A chunk file that is not there, or is damaged, may come back as it was, and then lacks what only a batch had. Until
//! the volume is opened again such an inode stays unreadable, so that nothing is built on it without that.
//!
//! Content that only a batch or memory has, of a file that another device changed without knowing of it, waits to be merged.

use crate::chunk::{Commit, DeviceId, InodeId};
use crate::volume::format::batch::{Builder, Item, parse};
use crate::volume::format::record::Record;
use crate::volume::format::wire::TooLarge;
use hashbrown::HashMap;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Withheld {
    /// Records of inodes that cannot be read, encoded, in the order of their batches.
    records: HashMap<InodeId, Builder>,
    aside: HashMap<InodeId, Vec<Aside>>,
    /// The only batch of the journal has it all, and nothing else that matters.
    is_alone: bool,
    /// How often something was set aside, and how often when a batch was made that is durable and has it.
    count: u64,
    repeated: u64,
}

/// Content of a file that this device's batches have or are to have, beside another one that is in its place.
#[derive(Clone)]
pub struct Aside {
    pub commit: Commit,
    pub record: Record,
    pub content: Vec<u8>,
}

impl Withheld {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.aside.is_empty()
    }

    /// What there is of directories' entries, for each a batch of its own.
    pub fn directories(&self) -> Vec<(InodeId, Vec<u8>)> {
        let batch = |(id, records): (&InodeId, &Builder)| {
            let mut batch = Builder::default();
            batch.append(records).ok()?;
            Some((*id, batch.finish(Commit(0))))
        };
        let has_entries = |batch: &[u8]| {
            let is_log = |item: &Item<'_>| matches!(item, Item::Directory { .. });
            parse(batch).is_ok_and(|batches| batches.iter().flat_map(|batch| &batch.items).any(is_log))
        };
        self.records.iter().filter_map(batch).filter(|(_, batch)| has_entries(batch)).collect()
    }

    /// After a replay of this stream of the own journal.
    pub fn found_in(&mut self, stream: &[u8]) {
        let is_needed = |item: &Item<'_>| match item {
            Item::Directory { inode, .. } | Item::Namespace { inode, .. } | Item::Inode { inode, .. } => {
                self.has(*inode)
            }
            Item::Aside { inode, .. } => self.has_aside(*inode),
            Item::Durable(_) | Item::Reserve(_) | Item::Deletion(_) => true,
            Item::Delete { .. } | Item::Orphan { .. } => false,
        };
        self.is_alone =
            parse(stream).is_ok_and(|batches| batches.len() == 1 && batches[0].items.iter().all(is_needed));
    }

    /// Whether the journal was found with nothing but this, which is as it was: a batch more would say no more.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    pub fn has(&self, id: InodeId) -> bool {
        self.records.contains_key(&id)
    }

    /// Keeps what an item of a batch says. `durable`: what the journal says to have been durable, which goes with the
    /// inode record.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if what is kept of the inode would not fit a batch any more.
    pub fn add(&mut self, item: &Item<'_>, durable: &HashMap<InodeId, Commit>) -> Result<(), TooLarge> {
        match item {
            Item::Directory { inode, before, devices, log } => {
                let vector: Vec<_> = devices.iter().map(|device| (*device, 0)).collect();
                self.records.entry(*inode).or_default().directory(*inode, *before, &vector, log)
            }
            Item::Namespace { inode, links_count, modified, changed, links } => {
                let records = self.records.entry(*inode).or_default();
                records.namespace(*inode, *links_count, *modified, *changed, links)
            }
            Item::Inode { inode, commit, record, content } => {
                let records = self.records.entry(*inode).or_default();
                records.inode(*inode, *commit, record, *content)?;
                match durable.get(inode) {
                    Some(durable) => records.durable(&[(*inode, *durable)]),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Records of it are not needed any more: its name was removed, or a later batch has all of it.
    pub fn remove(&mut self, id: InodeId) {
        self.is_alone = false;
        self.records.remove(&id);
    }

    /// Its deletion is durable: whatever this device had of it goes with it.
    pub fn forget(&mut self, id: InodeId) {
        self.is_alone = false;
        self.records.remove(&id);
        self.aside.remove(&id);
    }

    /// Whether there is content of it that waits to be merged.
    pub fn has_aside(&self, id: InodeId) -> bool {
        self.aside.contains_key(&id)
    }

    /// Whether there is any that waits to be merged.
    pub fn has_any_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Keeps content until it is merged.
    pub fn set_aside(&mut self, id: InodeId, aside: Aside) {
        self.is_alone = false;
        self.count += 1;
        self.aside.entry(id).or_default().push(aside);
    }

    /// The same of what a batch says, which takes the place of what earlier ones say of the same version and of what was
    /// written upon that.
    pub fn set_aside_again(&mut self, id: InodeId, aside: Aside, own: DeviceId) {
        let line = |aside: &Aside| {
            let version = aside.record.extension.version.iter().filter(|entry| entry.0 != own);
            version.copied().collect::<BTreeMap<_, _>>()
        };
        let is_other = |other: &Aside| {
            other.commit != aside.commit && (other.commit > aside.commit || line(other) != line(&aside))
        };
        self.aside.entry(id).or_default().retain(is_other);
        self.set_aside(id, aside);
    }

    pub fn all_aside(&self) -> Vec<(InodeId, Aside)> {
        self.aside.iter().flat_map(|(id, all)| all.iter().map(|aside| (*id, aside.clone()))).collect()
    }

    /// It is saved.
    pub fn merged(&mut self, id: InodeId, commit: Commit) {
        self.is_alone = false;
        if let Some(all) = self.aside.get_mut(&id) {
            all.retain(|aside| aside.commit != commit);
            if all.is_empty() {
                self.aside.remove(&id);
            }
        }
    }

    /// How often something was set aside.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// A batch is durable that repeats what was set aside so often.
    pub fn was_repeated(&mut self, count: u64) {
        self.is_alone = false;
        self.repeated = self.repeated.max(count);
    }

    /// Whether a durable checkpoint batch has all that is set aside.
    pub fn is_repeated(&self) -> bool {
        self.aside.is_empty() || self.repeated == self.count
    }

    /// Appends all of it to a batch.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for it; a part may be in it then.
    pub fn repeat(&self, batch: &mut Builder) -> Result<(), TooLarge> {
        self.records.values().try_for_each(|records| batch.append(records))?;
        let mut aside = self.aside.iter().flat_map(|(id, all)| all.iter().map(move |of| (id, of)));
        aside.try_for_each(|(id, of)| batch.aside(*id, of.commit, &of.record, &of.content))
    }
}
