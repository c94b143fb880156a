//! What this device's batches say of inodes that cannot be read now: it is repeated until they can.
//!
//! A chunk file that is not there, or is damaged, may come back as it was, and then lacks what only a batch had. Until
//! the volume is opened again such an inode stays unreadable, so that nothing is built on it without that.

use crate::chunk::{Commit, InodeId};
use crate::volume::format::batch::{Builder, Item};
use crate::volume::format::wire::TooLarge;
use hashbrown::HashMap;

/// Records by inode, encoded, in the order of their batches.
#[derive(Default)]
pub struct Withheld(HashMap<InodeId, Builder>);

impl Withheld {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, id: InodeId) -> bool {
        self.0.contains_key(&id)
    }

    /// `durable`: what the journal says to have been durable, which goes with the inode record.
    pub fn add(&mut self, item: &Item<'_>, durable: &HashMap<InodeId, Commit>) -> Result<(), TooLarge> {
        match item {
            Item::Directory { inode, before, devices, log } => {
                let vector: Vec<_> = devices.iter().map(|device| (*device, 0)).collect();
                self.0.entry(*inode).or_default().directory(*inode, *before, &vector, log)
            }
            Item::Namespace { inode, links_count, modified, changed, links } => {
                let records = self.0.entry(*inode).or_default();
                records.namespace(*inode, *links_count, *modified, *changed, links)
            }
            Item::Inode { inode, commit, record, content } => {
                let records = self.0.entry(*inode).or_default();
                records.inode(*inode, *commit, record, *content)?;
                match durable.get(inode) {
                    Some(durable) => records.durable(&[(*inode, *durable)]),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// It is not needed any more: nobody wants the inode, or a later batch has all of it.
    pub fn remove(&mut self, id: InodeId) {
        self.0.remove(&id);
    }

    /// Appends all of it to a batch.
    pub fn repeat(&self, batch: &mut Builder) -> Result<(), TooLarge> {
        self.0.values().try_for_each(|records| batch.append(records))
    }
}
