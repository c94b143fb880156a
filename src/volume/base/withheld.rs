//! What this device's batches say and what has no place now: it is repeated until it has.
//!
//! A chunk file that is not there, or is damaged, may come back as it was, and then lacks what only a batch had. Until
//! the volume is opened again such an inode stays unreadable, so that nothing is built on it without that.
//!
//! Content that only a batch or memory has, of a file that another device changed without knowing of it, waits to be merged.

use crate::chunk::{Commit, InodeId};
use crate::volume::format::batch::{Builder, Item};
use crate::volume::format::record::Record;
use crate::volume::format::wire::TooLarge;
use hashbrown::HashMap;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Withheld {
    /// Records of inodes that cannot be read, encoded, in the order of their batches.
    records: HashMap<InodeId, Builder>,
    /// In the order of their commits.
    aside: BTreeMap<(Commit, InodeId), Aside>,
}

/// Content of a file that this device's batches have or are to have, beside another one that is in its place.
#[derive(Clone)]
pub struct Aside {
    pub commit: Commit,
    /// It was set aside before: what else batches have of the file is no newer version of it.
    pub is_final: bool,
    pub record: Record,
    pub content: Vec<u8>,
}

impl Withheld {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.aside.is_empty()
    }

    pub fn has(&self, id: InodeId) -> bool {
        self.records.contains_key(&id)
    }

    /// `durable`: what the journal says to have been durable, which goes with the inode record.
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
        self.records.remove(&id);
    }

    /// Its deletion is durable: whatever this device had of it goes with it.
    pub fn forget(&mut self, id: InodeId) {
        self.records.remove(&id);
        self.aside.retain(|(_, inode), _| *inode != id);
    }

    /// Keeps content until it is merged. Of what batches say of one file the newest counts.
    pub fn set_aside(&mut self, id: InodeId, aside: Aside) {
        self.aside.retain(|(_, inode), older| *inode != id || older.is_final);
        self.aside.insert((aside.commit, id), aside);
    }

    pub fn all_aside(&self) -> Vec<(InodeId, Aside)> {
        self.aside.iter().map(|((_, id), aside)| (*id, aside.clone())).collect()
    }

    /// It is saved.
    pub fn merged(&mut self, id: InodeId, commit: Commit) {
        self.aside.remove(&(commit, id));
    }

    /// Appends all of it to a batch.
    pub fn repeat(&self, batch: &mut Builder) -> Result<(), TooLarge> {
        self.records.values().try_for_each(|records| batch.append(records))?;
        let mut aside = self.aside.iter();
        aside.try_for_each(|((_, id), of)| batch.aside(*id, of.commit, &of.record, &of.content))
    }
}
