//! Making a volume's keys, and getting at them again.
//!
//! The slots are written first and `cryptfs.json` last: where it stands, the keys do, and the root directory. Whether the keyring that comes
//! out is the one that this device knows is not decided here: ask `trust` before anything is written.

use super::header::{FILE, UnverifiedHeader};
use super::slots::{Listing, Slots, SlotsError};
use super::{
    Credential, Defect, Enrol, Header, Keyring, Label, MAX_LENGTH, Slot, SlotError, SlotId, SlotType,
    VolumeId,
};
use crate::store::folder::Folder;
use std::io;
use std::path::Path;

/// A volume whose keys were not opened yet.
pub struct Locked {
    header: UnverifiedHeader,
    pub listing: Listing,
    pub slots: Slots,
}

/// A volume's header, verified, and its keys.
pub struct Opened {
    pub header: Header,
    pub keyring: Keyring,
    /// The slot that gave the keyring, and what opened it.
    pub slot: SlotId,
    pub slot_type: SlotType,
}

/// Why a folder is no volume that can be unlocked.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no {FILE}")]
    NotAVolume,
    #[error("its format version {0} is newer than this program")]
    NewerVersion(u64),
    #[error("{FILE} is damaged: {0}")]
    DamagedHeader(#[source] Defect),
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("{0}")]
    Slots(#[source] SlotsError),
}

/// Why a credential gave no keyring.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// No slot is of its type.
    #[error("there is no key slot of that kind")]
    NoSlot,
    /// What each slot of its type said.
    #[error("{}", each(.0))]
    Refused(Vec<(SlotId, SlotError)>),
}

/// What each slot says, on one line.
fn each(refused: &[(SlotId, SlotError)]) -> String {
    let each: Vec<_> = refused.iter().map(|(id, error)| format!("key slot {id}: {error}")).collect();
    each.join("; ")
}

/// Why a volume was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is a volume already, or half of one.
    #[error("there is a {FILE} already")]
    Exists,
    /// The folder of the slots is in use.
    #[error("there are key slots already")]
    KeysExist,
    #[error("nothing would open the volume")]
    NoSlots,
    /// What else belongs to it could not be made.
    #[error("its root directory could not be made")]
    Unfilled,
    #[error("{0}")]
    Slot(#[source] SlotError),
    #[error("{0}")]
    Slots(#[source] SlotsError),
    #[error("{0}")]
    Io(#[source] io::Error),
}

/// Makes the keys of a new volume in `backing`, an existing folder, or its slots in a folder elsewhere. `fill` makes
/// durably whatever else belongs to a volume, before the header says that it is one.
pub fn create(
    backing: &Path,
    detached: Option<&Path>,
    header: Header,
    enrol: &[(Label, Enrol<'_>)],
    fill: impl FnOnce(&Opened) -> Result<(), CreateError>,
) -> Result<Opened, CreateError> {
    let folder = Folder::open(backing).map_err(CreateError::Io)?;
    match folder.read_small(FILE, MAX_LENGTH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(CreateError::Io(error)),
        _ => return Err(CreateError::Exists),
    }
    let slots = Slots::open(backing, detached).map_err(CreateError::Io)?;
    let listing = slots.list().map_err(CreateError::Slots)?;
    if !listing.slots.is_empty() || !listing.broken.is_empty() {
        return Err(CreateError::KeysExist);
    }
    let keyring = Keyring::generate();
    let mut added = Vec::new();
    let made = add_all(&slots, header.uuid, enrol, &keyring, &mut added).and_then(|()| {
        let &(slot, slot_type) = added.first().ok_or(CreateError::NoSlots)?;
        let opened = Opened { header, keyring, slot, slot_type };
        fill(&opened)?;
        let written = folder.write_new(FILE, &opened.header.to_json(&opened.keyring));
        written.map(|()| opened).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists,
            _ => CreateError::Io(error),
        })
    });
    if made.is_err() {
        for (id, _) in added {
            // What made it fail is the error to report; a slot that cannot be deleted either opens nothing.
            let _ = slots.remove(id, None);
        }
    }
    made
}

fn add_all(
    slots: &Slots,
    volume: VolumeId,
    enrol: &[(Label, Enrol<'_>)],
    keyring: &Keyring,
    added: &mut Vec<(SlotId, SlotType)>,
) -> Result<(), CreateError> {
    if enrol.is_empty() {
        return Err(CreateError::NoSlots);
    }
    for (label, with) in enrol {
        let new = Slot::enrol(volume, label.clone(), with, keyring).map_err(CreateError::Slot)?;
        slots.add(volume, &new, keyring).map_err(CreateError::Slots)?;
        added.push((new.0.id, new.0.kind.slot_type()));
    }
    Ok(())
}

impl Locked {
    /// Reads the header and the slots of the volume in `backing`.
    pub fn open(backing: &Path, detached: Option<&Path>) -> Result<Locked, OpenError> {
        let folder = Folder::open(backing).map_err(OpenError::Io)?;
        let bytes = folder.read_small(FILE, MAX_LENGTH).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::NotAVolume,
            io::ErrorKind::InvalidData => OpenError::DamagedHeader(Defect::NotAFile),
            _ => OpenError::Io(error),
        })?;
        let header = UnverifiedHeader::parse(&bytes).map_err(|defect| match defect {
            Defect::Newer(version) => OpenError::NewerVersion(version),
            defect => OpenError::DamagedHeader(defect),
        })?;
        let slots = Slots::open(backing, detached).map_err(OpenError::Io)?;
        let listing = slots.list().map_err(OpenError::Slots)?;
        Ok(Locked { header, listing, slots })
    }

    /// The volume's id, not authentic before a slot was opened.
    pub fn uuid(&self) -> VolumeId {
        self.header.uuid()
    }

    /// What the header says, not authentic before a slot was opened.
    pub fn claims(&self) -> &Header {
        self.header.claims()
    }

    /// Leaves these slots out from now on: those that were removed and have come back.
    pub fn set_aside(&mut self, removed: &[SlotId]) {
        self.listing.slots.retain(|slot| !removed.contains(&slot.id));
    }

    /// Leaves out what does not make up for a slot that is to go: itself and, if it needs no TPM, those that do.
    pub fn leave_out_for(&mut self, going: SlotId) -> Result<(), SlotsError> {
        let slot = self.listing.slots.iter().find(|slot| slot.id == going);
        let independent = slot.ok_or(SlotsError::NoSuchSlot(going))?.needs_no_tpm();
        self.set_aside(&[going]);
        if self.listing.slots.is_empty() {
            return Err(SlotsError::LastSlot);
        }
        self.listing.slots.retain(|slot| !independent || slot.needs_no_tpm());
        if self.listing.slots.is_empty() { Err(SlotsError::LastIndependentOfTpm) } else { Ok(()) }
    }

    /// Tries the credential on every slot of its type, or on `only` this one. A slot whose keyring did not make the
    /// header does not count, so that a planted one cannot stand in the way of the others.
    pub fn unlock(&self, credential: &Credential<'_>, only: Option<SlotId>) -> Result<Opened, UnlockError> {
        let mut refused = Vec::new();
        let wanted = |slot: &&Slot| slot.fits(credential) && only.is_none_or(|id| id == slot.id);
        for slot in self.listing.slots.iter().filter(wanted) {
            match self.try_slot(slot, credential) {
                Ok(opened) => return Ok(opened),
                Err(error) => refused.push((slot.id, error)),
            }
        }
        Err(if refused.is_empty() { UnlockError::NoSlot } else { UnlockError::Refused(refused) })
    }

    fn try_slot(&self, slot: &Slot, credential: &Credential<'_>) -> Result<Opened, SlotError> {
        let keyring = slot.open(self.uuid(), credential)?;
        let header = self.header.verify(&keyring).map_err(|_| SlotError::ForeignKeyring)?;
        Ok(Opened { header, keyring, slot: slot.id, slot_type: slot.kind.slot_type() })
    }
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
