//! The folder of the key slots and lists: what lies there, and writing it.
//!
//! No file is ever rewritten, and an old one goes only when the new one was read back. So a crash at any instant leaves
//! every old file or the new one, and a half-written file at worst, which is junk.

use super::document::{Defect, MAX_LENGTH};
use super::list::SignedList;
use super::{HeaderDigest, Keyring, List, OwnerSeed, Slot, SlotId, SlotKey};
use crate::crypto;
use crate::store::folder::Folder;
use std::fmt;
use std::io;
use std::path::Path;

const SUFFIX: &str = ".json";

/// A folder of small files that are written once, durably.
pub trait KeyFiles {
    /// Tells the name of each regular file; of none if the folder is missing.
    ///
    /// # Errors
    ///
    /// That of reading the folder. What was told before it stays told.
    fn each_name(&self, tell: &mut dyn FnMut(&[u8])) -> io::Result<()>;
    /// A file's contents.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidData` for more than 64 KiB and for what is no regular file; else the system's.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes a file, durably.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; else the system's, ENOSPC among it: what was begun is removed again.
    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Removes a file, durably.
    ///
    /// # Errors
    ///
    /// The system's. Where nothing has that name it may be `NotFound`, or no error.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The key folder of one volume.
pub struct Slots(Box<dyn KeyFiles>);

/// What the folder holds, as the owner's signatures say.
#[derive(Default)]
pub struct Listing {
    /// Those that count, the cheapest to try first.
    pub slots: Vec<Slot>,
    /// Authentic ones that are not to be used any more.
    pub spent: Vec<(Slot, Spent)>,
    /// Names of files that the owner did not make, and what is wrong with them.
    pub junk: Vec<(String, Junk)>,
    /// How many more of these there are.
    pub more_junk: usize,
    /// The names of the files of authentic slots; copies have names of their own.
    pub(super) files: Vec<(SlotId, String)>,
}

/// Why an authentic slot does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    Revoked,
    /// It lacks the newest epoch.
    Outdated,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Junk {
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("{0}")]
    Defect(#[source] Defect),
    /// Its name does not end as those of key files do, or is no text.
    #[error("not named as key files are")]
    NotOurs,
}

/// What a file is.
pub(super) enum KeyFile {
    Slot(Box<Slot>),
    List(SignedList),
}

/// Why the slots could not be listed or changed.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// More slots than there may be.
    #[error("it has as many key slots as there may be")]
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
    /// Without this slot nobody could sign.
    #[error("without it no owner's slot would be left to sign with")]
    LastOwner,
    /// What opened the volume does not hold the owner's seed.
    #[error("the slot that opened it does not hold the owner key")]
    NotOwner,
    /// The list has no room for another entry.
    #[error("its list of revoked slots is full")]
    ListFull,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Spent::Revoked => "revoked",
            Spent::Outdated => "outdated",
        })
    }
}

impl Listing {
    /// All that the owner made, whether it counts or not.
    pub fn authentic(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().chain(self.spent.iter().map(|(slot, _)| slot))
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.junk.is_empty()
    }

    /// Slots that are not revoked, those that count first.
    pub(super) fn valid(&self) -> impl Iterator<Item = &Slot> {
        let outdated = self.spent.iter().filter(|(_, why)| *why == Spent::Outdated);
        self.slots.iter().chain(outdated.map(|(slot, _)| slot))
    }
}

impl Slots {
    #[cfg(test)]
    pub(super) fn of(files: impl KeyFiles + 'static) -> Slots {
        Slots(Box::new(files))
    }

    /// The files in `keys/` below the backing folder, or right in a folder elsewhere.
    ///
    /// # Errors
    ///
    /// As for [`Folder::open`].
    pub fn open(backing: &Path, detached: Option<&Path>) -> io::Result<Slots> {
        let files = match detached {
            None => KeyFolder { folder: Folder::open(backing)?, within: "keys" },
            Some(elsewhere) => KeyFolder { folder: Folder::open(elsewhere)?, within: "." },
        };
        Ok(Slots(Box::new(files)))
    }

    /// Tells of each file its name, and whether it ends as those of key files do.
    pub(super) fn each(&self, tell: &mut dyn FnMut(&str, bool)) -> io::Result<()> {
        self.0.each_name(&mut |name| match std::str::from_utf8(name) {
            Ok(name) => tell(name, name.ends_with(SUFFIX)),
            Err(_) => tell(&String::from_utf8_lossy(name), false),
        })
    }

    /// Files that are named as this program names its own.
    fn own(&self) -> io::Result<Vec<String>> {
        let mut own = Vec::new();
        self.each(&mut |name, _| own.extend(id_in(name).map(file_name)))?;
        Ok(own)
    }

    /// Whether there are such files.
    ///
    /// # Errors
    ///
    /// That of reading the folder.
    pub fn are_begun(&self) -> io::Result<bool> {
        Ok(!self.own()?.is_empty())
    }

    /// Removes all such files: they are of a volume that was never finished.
    ///
    /// # Errors
    ///
    /// That of reading the folder, or of the first file that cannot be removed: those after it are left.
    pub fn clear(&self) -> io::Result<()> {
        self.own()?.iter().try_for_each(|name| self.0.remove(name))
    }

    pub(super) fn read(&self, name: &str) -> Result<KeyFile, Junk> {
        let bytes = self.0.read(name).map_err(Junk::Io)?;
        match Slot::parse(&bytes) {
            Ok(slot) => Ok(KeyFile::Slot(Box::new(slot))),
            Err(Defect::Foreign) => SignedList::parse(&bytes).map(KeyFile::List).map_err(Junk::Defect),
            Err(defect) => Err(Junk::Defect(defect)),
        }
    }

    /// Writes a new slot and opens what was written.
    pub(super) fn write_slot(
        &self,
        volume: &HeaderDigest,
        (slot, key): &(Slot, SlotKey),
        keyring: &Keyring,
    ) -> Result<(), SlotsError> {
        let name = file_name(slot.id);
        self.0.write_new(&name, &slot.to_json())?;
        let opened = match self.read(&name) {
            Ok(KeyFile::Slot(slot)) => slot.unwrap(volume, key).ok(),
            _ => None,
        };
        if opened.is_some_and(|opened| crypto::same(&opened.encode(), &keyring.encode())) {
            return Ok(());
        }
        self.0.remove(&name)?;
        Err(SlotsError::NotVerified(slot.id))
    }

    /// Puts a slot that somebody else made and that was read and signed here.
    pub(super) fn write_signed(&self, slot: &Slot) -> Result<(), SlotsError> {
        Ok(self.0.write_new(&file_name(slot.id), &slot.to_json())?)
    }

    /// Writes a new list; its file's name.
    pub(super) fn write_list(
        &self,
        volume: &HeaderDigest,
        seed: &OwnerSeed,
        list: &List,
    ) -> Result<String, SlotsError> {
        let id = SlotId(crypto::random());
        let (name, bytes) = (file_name(id), list.to_json(id, volume, seed));
        if bytes.len() > MAX_LENGTH {
            return Err(SlotsError::ListFull);
        }
        self.0.write_new(&name, &bytes)?;
        match self.read(&name) {
            Ok(KeyFile::List(read)) if read.is_by(seed.public(), volume) && read.list == *list => Ok(name),
            _ => {
                self.0.remove(&name)?;
                Err(SlotsError::NotVerified(id))
            }
        }
    }

    /// Deletes a file; one that is gone already is as well.
    pub(super) fn remove_file(&self, name: &str) -> Result<(), SlotsError> {
        match self.0.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

pub(super) fn file_name(id: SlotId) -> String {
    format!("{id}{SUFFIX}")
}

/// The id that a file is named for.
pub(super) fn id_in(name: &str) -> Option<SlotId> {
    name.strip_suffix(SUFFIX)?.parse().ok()
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
    fn each_name(&self, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.folder.each_name(self.within, tell)
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
