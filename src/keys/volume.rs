//! Making a volume's keys, and getting at them again.
//!
//! The slots and their list are written first and `cryptfs.json` last: where it stands, the keys do, and the root
//! directory. Which owner key counts is chosen by what `trust` knows (`Expected`); whether that is good enough is for
//! the caller to say, by the `Contact`.

use super::header::FILE;
use super::slots::{Listing, Slots, SlotsError};
use super::survey::{Contact, Expected, survey};
use super::{
    ChunkSize, Credential, Defect, Enrol, EpochId, Header, HeaderDigest, Issuer, Keyring, Label, List,
    MAX_LENGTH, OwnerKey, Slot, SlotError, SlotId, SlotType, VolumeId,
};
use crate::crypto::{Cipher, Secret};
use crate::store::folder::Folder;
use crate::store::placeholders_of;
use std::io;
use std::path::Path;

/// Passphrase slots that are tried before anything is authentic, and what they may cost together: KiB times passes.
const UNKNOWN_TRIES: usize = 16;
const UNKNOWN_COST: u64 = 64 << 20;

/// A folder that says that it is a volume.
pub struct Found {
    header: Header,
    slots: Slots,
}

/// A volume whose keys were not opened yet, and what of its key folder counts.
pub struct Locked {
    pub(super) header: Header,
    pub(super) slots: Slots,
    /// By whose signature slots and lists count.
    pub owner: OwnerKey,
    pub contact: Contact,
    /// All that authentic lists say.
    pub list: List,
    pub(super) list_files: Vec<String>,
    pub listing: Listing,
    /// Slots beside the volume that open on this device only.
    local: Vec<Slot>,
}

/// A volume's header and its keys, which belong together.
pub struct Opened {
    pub header: Header,
    pub keyring: Keyring,
    /// The newest epoch that a list names: what is written is sealed under it.
    pub newest: EpochId,
    /// The slot that gave the keyring, and what opened it.
    pub slot: SlotId,
    pub slot_type: SlotType,
}

/// Why a folder is no volume that can be unlocked.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no {FILE}")]
    NotAVolume,
    /// A client shows a placeholder for it.
    #[error("{FILE} is only a placeholder")]
    Placeholder,
    #[error("its format version {0} is not known")]
    Version(u64),
    /// It needs what this program does not know.
    #[error("it is {0}")]
    Critical(#[source] Defect),
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
    /// No slot that counts is of its type.
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
///
/// # Errors
///
/// [`CreateError::Exists`] and [`CreateError::KeysExist`]: nothing is written. [`CreateError::NoSlots`] of an empty
/// `enrol`, [`CreateError::Slot`], [`CreateError::Slots`], [`CreateError::Io`], or what `fill` returns: the slots are
/// removed again.
pub fn create(
    backing: &Path,
    detached: Option<&Path>,
    (cipher, chunk_size): (Cipher, ChunkSize),
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
    if slots.are_begun().map_err(CreateError::Io)? {
        return Err(CreateError::KeysExist);
    }
    let keyring = Keyring::generate();
    let header = Header::new(cipher, chunk_size, &keyring);
    let made = write_keys(&slots, &header.digest(), enrol, &keyring).and_then(|(slot, slot_type)| {
        let newest = keyring.newest();
        let opened = Opened { header, keyring, newest, slot, slot_type };
        fill(&opened)?;
        let seed = opened.keyring.seed().expect("a new keyring is its owner's");
        let written = folder.write_new(FILE, &opened.header.to_json(seed));
        written.map(|()| opened).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists,
            _ => CreateError::Io(error),
        })
    });
    if made.is_err() {
        // What made it fail is the error to report; slots that cannot be deleted either open nothing.
        let _ = slots.clear();
    }
    made
}

/// The slots and the first list; the first slot.
fn write_keys(
    slots: &Slots,
    volume: &HeaderDigest,
    enrol: &[(Label, Enrol<'_>)],
    keyring: &Keyring,
) -> Result<(SlotId, SlotType), CreateError> {
    let seed = keyring.seed();
    let mut first = None;
    for (label, with) in enrol {
        let by = Issuer { volume: *volume, generation: 1, seed };
        let new = Slot::enrol(&by, label.clone(), with, keyring).map_err(CreateError::Slot)?;
        slots.write_slot(volume, &new, keyring).map_err(CreateError::Slots)?;
        first.get_or_insert((new.0.id, new.0.kind.slot_type()));
    }
    let first = first.ok_or(CreateError::NoSlots)?;
    let list =
        List { generation: 1, floor: 1, epochs: keyring.epochs().into_iter().collect(), ..List::default() };
    let seed = seed.ok_or(CreateError::Slots(SlotsError::NotOwner))?;
    slots.write_list(volume, seed, &list).map_err(CreateError::Slots)?;
    Ok(first)
}

impl Opened {
    /// The roots of the chunk keys, the one that writers use first.
    pub fn content_roots(&self) -> Vec<Secret> {
        self.keyring.content_roots(self.newest)
    }
}

impl Found {
    #[cfg(test)]
    pub(super) fn of(header: Header, slots: Slots) -> Found {
        Found { header, slots }
    }

    /// Reads the header of the volume in `backing`.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotAVolume`], [`OpenError::Version`], [`OpenError::Critical`], [`OpenError::DamagedHeader`]; [`OpenError::Io`] where the
    /// file or one of the folders cannot be read.
    pub fn open(backing: &Path, detached: Option<&Path>) -> Result<Found, OpenError> {
        let folder = Folder::open(backing).map_err(OpenError::Io)?;
        let is_placeholder =
            || placeholders_of(FILE).any(|name| folder.read_small(&name, MAX_LENGTH).is_ok());
        let bytes = folder.read_small(FILE, MAX_LENGTH).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if is_placeholder() => OpenError::Placeholder,
            io::ErrorKind::NotFound => OpenError::NotAVolume,
            io::ErrorKind::InvalidData => OpenError::DamagedHeader(Defect::NotAFile),
            _ => OpenError::Io(error),
        })?;
        let header = Header::parse(&bytes).map_err(|defect| match defect {
            Defect::Version(version) => OpenError::Version(version),
            defect @ Defect::Critical(_) => OpenError::Critical(defect),
            defect => OpenError::DamagedHeader(defect),
        })?;
        let slots = Slots::open(backing, detached).map_err(OpenError::Io)?;
        Ok(Found { header, slots })
    }

    /// The volume's id, not authentic before a slot was opened.
    pub fn uuid(&self) -> VolumeId {
        self.header.uuid
    }

    /// Looks at the key folder as one who expects this.
    ///
    /// # Errors
    ///
    /// [`OpenError::Slots`] where the key folder cannot be read. Files that make no sense are no error: they are
    /// [`Listing::junk`].
    pub fn look(self, expected: &Expected) -> Result<Locked, OpenError> {
        let Found { header, slots } = self;
        let found = survey(&slots, &header, expected).map_err(OpenError::Slots)?;
        let (owner, contact) = (found.owner, found.contact);
        let (list, list_files, listing) = (found.list, found.list_files, found.listing);
        Ok(Locked { header, slots, owner, contact, list, list_files, listing, local: Vec::new() })
    }
}

impl Locked {
    /// Looks again, after something was written.
    ///
    /// # Errors
    ///
    /// As for [`Found::look`].
    pub fn look_again(self, expected: &Expected) -> Result<Locked, OpenError> {
        let local = self.local;
        let again = Found { header: self.header, slots: self.slots }.look(expected)?;
        Ok(Locked { local, ..again })
    }

    pub fn uuid(&self) -> VolumeId {
        self.header.uuid
    }

    /// What the header says, not authentic before a slot was opened.
    pub fn claims(&self) -> &Header {
        &self.header
    }

    pub fn volume(&self) -> HeaderDigest {
        self.header.digest()
    }

    /// Slots of this device that lie beside the volume are tried too, and first.
    pub fn with_local(mut self, local: Vec<Slot>) -> Locked {
        let newest = self.list.newest();
        let counts = |slot: &Slot| newest.is_none_or(|newest| slot.epochs.contains(&newest));
        self.local = local.into_iter().filter(counts).collect();
        self
    }

    /// Slots that count, those of this device first.
    pub fn usable(&self) -> impl Iterator<Item = &Slot> {
        self.local.iter().chain(&self.listing.slots)
    }

    /// Leaves these slots out from now on.
    pub fn set_aside(&mut self, out: &[SlotId]) {
        self.listing.slots.retain(|slot| !out.contains(&slot.id));
        self.local.retain(|slot| !out.contains(&slot.id));
    }

    /// Leaves out what cannot sign, where something is to be signed.
    pub fn keep_owners(&mut self) {
        self.listing.slots.retain(|slot| slot.is_owners);
        self.local.clear();
    }

    /// Before a slot is removed: keeps only those that can take its place. They are owners' slots, which can sign that it
    /// went, and need no TPM if it needs none.
    ///
    /// # Errors
    ///
    /// [`SlotsError::NoSuchSlot`]; [`SlotsError::LastSlot`], [`SlotsError::LastIndependentOfTpm`] or
    /// [`SlotsError::LastOwner`] where none can take its place.
    pub fn leave_out_for(&mut self, going: SlotId) -> Result<(), SlotsError> {
        let slot = self.listing.slots.iter().find(|slot| slot.id == going);
        let independent = slot.ok_or(SlotsError::NoSuchSlot(going))?.needs_no_tpm();
        self.set_aside(&[going]);
        if self.listing.slots.is_empty() {
            return Err(SlotsError::LastSlot);
        }
        self.listing.slots.retain(|slot| !independent || slot.needs_no_tpm());
        if self.listing.slots.is_empty() {
            return Err(SlotsError::LastIndependentOfTpm);
        }
        self.keep_owners();
        if self.listing.slots.is_empty() { Err(SlotsError::LastOwner) } else { Ok(()) }
    }

    /// Tries the credential on every slot of its type that counts, or on `only` this one. A slot of other keys does not
    /// count, so that a planted one cannot stand in the way of the others.
    ///
    /// # Errors
    ///
    /// [`UnlockError::NoSlot`]; [`UnlockError::Refused`] with what each slot said, [`SlotError::TooCostly`] where it
    /// was not tried.
    pub fn unlock(&self, credential: &Credential<'_>, only: Option<SlotId>) -> Result<Opened, UnlockError> {
        let bounded = self.contact == Contact::First && only.is_none();
        self.unlock_where(credential, bounded, &|slot| only.is_none_or(|id| id == slot.id))
    }

    /// The slots that count, owners' before the others: one secret may open both.
    ///
    /// # Errors
    ///
    /// As for [`Locked::unlock`] of all slots.
    pub fn unlock_as_owner(&self, credential: &Credential<'_>) -> Result<Opened, UnlockError> {
        let owners = self.unlock_where(credential, false, &|slot| slot.is_owners);
        owners.or_else(|_| self.unlock(credential, None))
    }

    fn unlock_where(
        &self,
        credential: &Credential<'_>,
        bounded: bool,
        wanted: &dyn Fn(&Slot) -> bool,
    ) -> Result<Opened, UnlockError> {
        let (mut refused, mut tries, mut cost) = (Vec::new(), 0, 0);
        for slot in self.usable().filter(|slot| slot.fits(credential) && wanted(slot)) {
            (tries, cost) = (tries + 1, cost + slot.cost());
            if bounded && slot.cost() > 0 && (tries > UNKNOWN_TRIES || cost > UNKNOWN_COST) {
                refused.push((slot.id, SlotError::TooCostly));
                continue;
            }
            match self.open_slot(slot, credential) {
                Ok(keyring) => return Ok(self.opened(slot, keyring, credential)),
                Err(error) => refused.push((slot.id, error)),
            }
        }
        Err(if refused.is_empty() { UnlockError::NoSlot } else { UnlockError::Refused(refused) })
    }

    /// What a slot of this volume holds: the keys that header and owner key say, or nothing.
    pub(super) fn open_slot(&self, slot: &Slot, credential: &Credential<'_>) -> Result<Keyring, SlotError> {
        let keyring = slot.open(&self.volume(), credential)?;
        let right = keyring.identity_id() == self.header.identity && keyring.owner() == self.owner;
        if right { Ok(keyring) } else { Err(SlotError::ForeignKeyring) }
    }

    /// With the epochs that the slot lacks and others have that open in the same way: of owners who rotated apart.
    fn opened(&self, slot: &Slot, mut keyring: Keyring, credential: &Credential<'_>) -> Opened {
        let lacks = |keyring: &Keyring, other: &Slot| {
            let held = keyring.epochs();
            let lacked = self.list.epochs.iter().filter(|epoch| !held.contains(epoch));
            lacked.into_iter().any(|epoch| other.epochs.contains(epoch))
        };
        for other in self.listing.valid().filter(|other| other.fits(credential)) {
            if lacks(&keyring, other)
                && let Ok(more) = self.open_slot(other, credential)
                && keyring.join(&more).is_err()
            {
                log::warn!("key slot {}: no room for its keys beside the others", other.id);
            }
        }
        let newest = self.list.newest().unwrap_or_else(|| keyring.newest());
        let (slot, slot_type) = (slot.id, slot.kind.slot_type());
        Opened { header: self.header.clone(), keyring, newest, slot, slot_type }
    }
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
