//! A sync client that knows nothing of cryptfs: copies single files between a device and a server, in any order.

use crate::store::image::Image;
use crate::store::memory::{Item, Memory};
use crate::store::{Area, CopyName};
use std::collections::BTreeMap;

/// What it does with a file that both sides changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The server's keeps the name, the device's becomes a conflict copy.
    OursAside,
    /// The device's keeps the name.
    TheirsAside,
    /// Both become conflict copies, and nothing keeps the name; of what one side deleted the other one's becomes one.
    NoneStays,
}

/// The client of one device.
pub struct Client {
    pub name: &'static str,
    pub style: Style,
    /// As of the last time that both sides were the same.
    base: BTreeMap<Item, Image>,
    /// Conflict copies that it made.
    copies: usize,
}

impl Client {
    pub fn new(name: &'static str, style: Style) -> Client {
        Client { name, style, base: BTreeMap::new(), copies: 0 }
    }

    /// All that there is to look at.
    pub fn items(&self, ours: &Memory, server: &Memory) -> Vec<Item> {
        let mut items = [ours.items(), server.items(), self.base.keys().cloned().collect()].concat();
        items.sort();
        items.dedup();
        items
    }

    /// Looks at one file; whether it copied anything.
    pub fn sync(&mut self, item: &Item, ours: &Memory, server: &Memory) -> bool {
        let (here, there, base) = (ours.take(item), server.take(item), self.base.get(item).cloned());
        if here == there {
            self.note(item, here);
            return false;
        }
        if here == base {
            ours.put(item, there.clone());
            self.note(item, there);
        } else if there == base {
            server.put(item, here.clone());
            self.note(item, here);
        } else {
            self.conflict(item, (here, there), ours, server);
        }
        true
    }

    /// A deletion loses against a change.
    fn conflict(
        &mut self,
        item: &Item,
        sides: (Option<Image>, Option<Image>),
        ours: &Memory,
        server: &Memory,
    ) {
        let kept = match (sides, self.style) {
            ((Some(here), Some(there)), Style::NoneStays) if self.has_copies(item) => {
                [here, there].into_iter().for_each(|image| {
                    self.name_copy(item).into_iter().for_each(|copy| ours.put(&copy, Some(image.clone())));
                });
                None
            }
            ((Some(here), Some(there)), style) => {
                let (kept, aside) = if style == Style::OursAside { (there, here) } else { (here, there) };
                if let Some(copy) = self.name_copy(item) {
                    ours.put(&copy, Some(aside));
                }
                Some(kept)
            }
            ((here, there), Style::NoneStays) if matches!(item, Item::File(_)) => {
                let copy = self.name_copy(item);
                copy.iter().for_each(|copy| ours.put(copy, here.clone().or_else(|| there.clone())));
                if copy.is_some() { None } else { here.or(there) }
            }
            ((here, there), _) => here.or(there),
        };
        // What stays is not written again: who has it open has it still.
        if ours.take(item) != kept {
            ours.put(item, kept.clone());
        }
        server.put(item, kept.clone());
        self.note(item, kept);
    }

    fn has_copies(&self, item: &Item) -> bool {
        matches!(item, Item::File(of) if of.area == Area::Chunks)
    }

    fn name_copy(&mut self, item: &Item) -> Option<Item> {
        let Item::File(of) = item else { return None };
        if of.area == Area::Journals {
            return None;
        }
        self.copies += 1;
        let below = of.path().strip_prefix("chunks/")?.to_owned();
        let name = format!("{below}.sync-conflict-20261128-{:06}-{}", self.copies, self.name);
        CopyName::parse(name.as_bytes()).map(Item::Copy)
    }

    fn note(&mut self, item: &Item, image: Option<Image>) {
        match image {
            Some(image) => self.base.insert(item.clone(), image),
            None => self.base.remove(item),
        };
    }
}
