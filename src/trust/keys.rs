//! What this device knows of a volume's keys: the owner key that it pinned, the lists that it believed, the slots it has
//! seen and seen go, one of its own, and the folders that it has found the volume in.

use super::{Result, Trust, TrustUnavailable, replace_file};
use crate::chunk::DeviceId;
use crate::keys::{EpochId, Expected, List, OwnerKey, Slot, SlotId, Succession, VolumeId, hex};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Slots and places that are remembered.
const MAX_LINES: usize = 4096;
const OWN_SLOT: &str = "own-slot.json";

impl Trust {
    /// The owner key that this device expects of a volume; `None` if it never saw it. Makes nothing.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be read, [`TrustUnavailable::Damaged`] where it makes no sense.
    /// Without a home folder nothing is expected.
    pub fn pinned_of(volume: VolumeId) -> Result<Option<OwnerKey>> {
        Trust::at(volume).pinned()
    }

    /// What this device expects of a volume. Makes nothing.
    ///
    /// # Errors
    ///
    /// As for [`Trust::expected`].
    pub fn expected_of(volume: VolumeId) -> Result<Expected> {
        Trust::at(volume).expected()
    }

    /// What this device expects of the volume's keys.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where one of the files cannot be read, [`TrustUnavailable::Damaged`] where one makes
    /// no sense.
    pub fn expected(&self) -> Result<Expected> {
        Ok(Expected {
            pinned: self.pinned()?,
            announced: self.key("announced-pin")?,
            confirmed: None,
            list: self.list()?,
            removed: self.removed_slots()?,
        })
    }

    fn pinned(&self) -> Result<Option<OwnerKey>> {
        self.key("pin")
    }

    fn key(&self, file: &str) -> Result<Option<OwnerKey>> {
        Ok(self.read(file, |line| line.parse().ok())?.first().copied())
    }

    /// Expects this owner key from now on, and what its lists said.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the files cannot be read or replaced, [`TrustUnavailable::Damaged`] where they
    /// make no sense. The list may be noted then, and the key not.
    pub fn pin(&self, owner: OwnerKey, list: &List) -> Result<()> {
        if self.list()? != *list {
            self.replace("list", &lines(list))?;
        }
        if self.pinned()? != Some(owner) { self.replace("pin", &[owner]) } else { Ok(()) }
    }

    /// Notes the owner key that this device is about to sign with, lest it refuse it after a crash.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be replaced.
    pub fn announce(&self, owner: OwnerKey) -> Result<()> {
        self.replace("announced-pin", &[owner])
    }

    /// All that lists said that were believed.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be read, [`TrustUnavailable::Damaged`] where it makes no sense.
    pub fn list(&self) -> Result<List> {
        let mut list = List::default();
        let said: Vec<List> = self.read("list", line)?;
        said.iter().for_each(|said| list.merge(said));
        Ok(list)
    }

    /// This device's slot beside the volume, if it has one.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be read, [`TrustUnavailable::Damaged`] where it is no slot.
    pub fn own_slot(&self) -> Result<Option<Slot>> {
        let Some((path, bytes)) = self.read_bytes(OWN_SLOT)? else { return Ok(None) };
        Slot::parse(&bytes).map(Some).map_err(|_| TrustUnavailable::Damaged(path))
    }

    /// Keeps a slot that is for this device only, instead of the one before.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::NoPlace`] without a state folder, [`TrustUnavailable::Io`] where the file cannot be
    /// replaced.
    pub fn keep_own_slot(&self, slot: &Slot) -> Result<()> {
        let folder = self.folder.as_ref().ok_or(TrustUnavailable::NoPlace)?;
        let path = folder.join(OWN_SLOT);
        replace_file(folder, &path, &slot.to_json()).map_err(|error| TrustUnavailable::Io(path, error))
    }

    /// Notes that the volume lies in this folder.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be read or replaced, [`TrustUnavailable::Damaged`] where it
    /// makes no sense.
    pub fn note_place(&self, backing: &Path) -> Result<()> {
        let mut places = self.places()?;
        let place = hex::encode(backing.as_os_str().as_encoded_bytes());
        if places.contains(&place) {
            return Ok(());
        }
        places.insert(0, place);
        places.truncate(MAX_LINES);
        self.replace("places", &places)
    }

    /// Whether this device knows other volumes in this folder and not this one: whoever holds the folders can exchange
    /// two that are known, or put another one in a known one's place, id and all.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the state folder or a file of places in it cannot be read,
    /// [`TrustUnavailable::Damaged`] where one makes no sense, another volume's too.
    pub fn knows_another_at(&self, backing: &Path) -> Result<bool> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let place = hex::encode(backing.as_os_str().as_encoded_bytes());
        if self.places()?.contains(&place) {
            return Ok(false);
        }
        let all = folder.parent().map_or_else(|| Err(io::ErrorKind::NotFound.into()), fs::read_dir);
        for other in all.map_err(|error| TrustUnavailable::Io(folder.clone(), error))?.flatten() {
            let other = Trust { folder: Some(other.path()), device: self.device };
            if other.folder != self.folder && other.places()?.contains(&place) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The folders that this device has found any volume in, as far as that can be read.
    pub fn places_of_all() -> Vec<PathBuf> {
        let all = Trust::state().map(|state| state.join("cryptfs")).and_then(|all| fs::read_dir(all).ok());
        let volumes = all.into_iter().flatten().flatten();
        let volumes = volumes.map(|volume| Trust { folder: Some(volume.path()), device: DeviceId([0; 8]) });
        let places = volumes.flat_map(|volume| volume.places().unwrap_or_default());
        places.filter_map(|place| Some(OsString::from_vec(hex::decode(&place)?).into())).collect()
    }

    fn places(&self) -> Result<Vec<String>> {
        self.read("places", |line| Some(line.to_owned()))
    }

    /// Notes which slots there are. True if some were not noted before.
    ///
    /// # Errors
    ///
    /// As for [`Trust::note_place`].
    pub fn note_slots(&self, present: &[SlotId]) -> Result<bool> {
        self.note("slots", present)
    }

    /// The slots that were noted, removed ones included.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be read, [`TrustUnavailable::Damaged`] where it makes no sense.
    pub fn known_slots(&self) -> Result<Vec<SlotId>> {
        self.read("slots", |line| line.parse().ok())
    }

    /// Notes that slots were removed on purpose: they are not to be used again.
    ///
    /// # Errors
    ///
    /// As for [`Trust::note_place`].
    pub fn note_removed_slots(&self, removed: &[SlotId]) -> Result<()> {
        self.note("removed-slots", removed).map(drop)
    }

    /// Takes that back of these slots.
    ///
    /// # Errors
    ///
    /// As for [`Trust::note_place`].
    pub fn forget_removed_slots(&self, back: &[SlotId]) -> Result<()> {
        let mut removed = self.removed_slots()?;
        removed.retain(|id| !back.contains(id));
        self.replace_or_remove("removed-slots", &removed)
    }

    /// The slots that were removed on purpose. One that is present again was brought back.
    ///
    /// # Errors
    ///
    /// As for [`Trust::known_slots`].
    pub fn removed_slots(&self) -> Result<Vec<SlotId>> {
        self.read("removed-slots", |line| line.parse().ok())
    }

    fn note(&self, file: &str, ids: &[SlotId]) -> Result<bool> {
        let mut noted: Vec<SlotId> = self.read(file, |line| line.parse().ok())?;
        let before = noted.len();
        noted.extend(ids);
        noted[before..].sort_unstable();
        let mut seen = std::collections::HashSet::new();
        noted.retain(|id| seen.insert(id.0));
        if noted.len() == before {
            return Ok(false);
        }
        noted.drain(..noted.len().saturating_sub(MAX_LINES));
        self.replace(file, &noted).map(|()| true)
    }
}

/// A list as lines of words.
fn lines(list: &List) -> Vec<String> {
    let numbers = [format!("generation {}", list.generation), format!("floor {}", list.floor)];
    let epochs = list.epochs.iter().map(|epoch| format!("epoch {epoch}"));
    let revoked = list.revoked.iter().map(|(slot, number)| format!("revoked {slot} {number}"));
    let successions = list.successions.iter().map(|s| format!("succession {}", hex::encode(&s.bytes())));
    numbers.into_iter().chain(epochs).chain(revoked).chain(successions).collect()
}

/// What one line says.
fn line(text: &str) -> Option<List> {
    let mut list = List::default();
    let words: Vec<_> = text.split(' ').collect();
    match words[..] {
        ["generation", number] => list.generation = number.parse().ok()?,
        ["floor", number] => list.floor = number.parse().ok()?,
        ["epoch", id] => list.epochs = [id.parse::<EpochId>().ok()?].into(),
        ["revoked", slot, number] => list.revoked = [(slot.parse().ok()?, number.parse().ok()?)].into(),
        ["succession", bytes] => {
            list.successions = [Succession::from_bytes(&hex::decode_array(bytes)?)].into();
        }
        _ => return None,
    }
    Some(list)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
