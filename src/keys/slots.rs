//! The folder of the key slots: listing, adding, changing and removing them.
//!
//! No slot's file is ever rewritten, and an old slot goes only when the new one was read back and opened. So a crash
//! at any instant leaves every old slot or the new one, and a half-written file at worst, which is a broken slot.

use super::document::{Defect, MAX_LENGTH};
use super::{Keyring, Opened, Slot, SlotId, SlotKey, SlotType, VolumeId};
use crate::crypto;
use crate::store::folder::Folder;
use std::io;
use std::path::Path;

const MAX_SLOTS: usize = 64;
const SUFFIX: &str = ".json";

/// A folder of small files that are written once, durably.
pub trait KeyFiles {
    /// The names of the regular files; none if the folder is missing.
    fn names(&self) -> io::Result<Vec<Vec<u8>>>;
    /// A file's contents; an error if they are longer than 64 KiB, or if this is no regular file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes a file; an error if anything has that name.
    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The slots of one volume.
pub struct Slots(Box<dyn KeyFiles>);

/// What the folder holds.
#[derive(Default)]
pub struct Listing {
    /// In the order of their ids.
    pub slots: Vec<Slot>,
    /// Files that are named like a slot and are none.
    pub broken: Vec<(SlotId, Broken)>,
    /// Names of other files: a sync client's copies, or something that does not belong here.
    pub foreign: Vec<Vec<u8>>,
}

/// What is wrong with a slot's file.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("{0}")]
    Defect(#[source] Defect),
}

/// Why the slots could not be listed or changed.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// More slots than there may be.
    #[error("more than {MAX_SLOTS} key slots")]
    TooMany,
    #[error("there is no key slot {0}")]
    NoSuchSlot(SlotId),
    /// What was read back is not what was written, or does not open; nothing was changed.
    #[error("key slot {0} does not read back as it was written")]
    NotVerified(SlotId),
    /// Without this slot nothing but a TPM would open the volume.
    #[error("it is the last key slot that does not depend on a TPM")]
    LastIndependentOfTpm,
    /// Without this slot nothing would open the volume.
    #[error("it is the last key slot")]
    LastSlot,
}

impl Slots {
    #[cfg(test)]
    pub(super) fn of(files: impl KeyFiles + 'static) -> Slots {
        Slots(Box::new(files))
    }

    /// The slots in `keys/` below the backing folder, or right in a folder elsewhere.
    pub fn open(backing: &Path, detached: Option<&Path>) -> io::Result<Slots> {
        let files = match detached {
            None => KeyFolder { folder: Folder::open(backing)?, within: "keys" },
            Some(elsewhere) => KeyFolder { folder: Folder::open(elsewhere)?, within: "." },
        };
        Ok(Slots(Box::new(files)))
    }

    /// Everything in the folder, whatever state it is in.
    pub fn list(&self) -> Result<Listing, SlotsError> {
        let mut listing = Listing::default();
        for name in self.0.names()? {
            let Some(id) = slot_of(&name) else {
                listing.foreign.push(name);
                continue;
            };
            if listing.slots.len() + listing.broken.len() == MAX_SLOTS {
                return Err(SlotsError::TooMany);
            }
            match self.read(id) {
                Ok(slot) => listing.slots.push(slot),
                Err(Broken::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(broken) => listing.broken.push((id, broken)),
            }
        }
        listing.slots.sort_unstable_by_key(|slot| slot.id);
        Ok(listing)
    }

    fn read(&self, id: SlotId) -> Result<Slot, Broken> {
        let bytes = self.0.read(&file_name(id)).map_err(Broken::Io)?;
        Slot::parse(id, &bytes).map_err(Broken::Defect)
    }

    /// Writes a new slot and opens what was written.
    pub fn add(
        &self,
        volume: VolumeId,
        (slot, key): &(Slot, SlotKey),
        keyring: &Keyring,
    ) -> Result<(), SlotsError> {
        let listing = self.list()?;
        if listing.slots.len() + listing.broken.len() == MAX_SLOTS {
            return Err(SlotsError::TooMany);
        }
        self.0.write_new(&file_name(slot.id), &slot.to_json())?;
        let opened = self.read(slot.id).ok().and_then(|slot| slot.unwrap(volume, key).ok());
        if opened.is_some_and(|opened| crypto::same(&opened.encode(), &keyring.encode())) {
            return Ok(());
        }
        self.0.remove(&file_name(slot.id))?;
        Err(SlotsError::NotVerified(slot.id))
    }

    /// Puts a new slot in the place of an old one of the same type.
    pub fn change(
        &self,
        volume: VolumeId,
        old: SlotId,
        new: &(Slot, SlotKey),
        keyring: &Keyring,
    ) -> Result<(), SlotsError> {
        self.add(volume, new, keyring)?;
        self.remove(old, None)
    }

    /// Deletes a slot's file; with `instead`, what the volume was opened with, only if that makes up for it. A slot
    /// that merely lies there is no way in: it may hold keys from before a rotation, or its secret may be lost.
    pub fn remove(&self, id: SlotId, instead: Option<&Opened>) -> Result<(), SlotsError> {
        let listing = self.list()?;
        match (listing.slots.iter().find(|slot| slot.id == id), instead) {
            (None, _) if listing.broken.iter().all(|(broken, _)| *broken != id) => {
                Err(SlotsError::NoSuchSlot(id))
            }
            (Some(_), Some(way)) if way.slot == id => Err(SlotsError::LastSlot),
            (Some(slot), Some(way)) if slot.needs_no_tpm() && way.slot_type == SlotType::Tpm2 => {
                Err(SlotsError::LastIndependentOfTpm)
            }
            _ => Ok(self.0.remove(&file_name(id))?),
        }
    }
}

fn file_name(id: SlotId) -> String {
    format!("{id}{SUFFIX}")
}

fn slot_of(name: &[u8]) -> Option<SlotId> {
    std::str::from_utf8(name).ok()?.strip_suffix(SUFFIX)?.parse().ok()
}

struct KeyFolder {
    folder: Folder,
    within: &'static str,
}

impl KeyFolder {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.within)
    }
}

impl KeyFiles for KeyFolder {
    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        self.folder.list_names(self.within)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.folder.read_small(&self.path(name), MAX_LENGTH)
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.write_new(&self.path(name), bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove_durably(&self.path(name))
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
