//! What the owner changes in the key folder: slots added and revoked, lists published.
//!
//! First what is new, then a list that says so, then what it revokes goes: a crash in between leaves more than is
//! needed, never less. What lies there was looked at before (`Locked`) and is not read again.

use super::slots::{SlotsError, file_name};
use super::survey::revocations;
use super::{Issuer, Keyring, List, Locked, Opened, OwnerSeed, Slot, SlotId, SlotKey, SlotType};

/// Slots that count, at most.
pub(super) const MAX_SLOTS: usize = 64;

impl Locked {
    /// For making new slots with this keyring.
    pub fn issuer<'a>(&self, keyring: &'a Keyring) -> Issuer<'a> {
        Issuer { volume: self.volume(), generation: self.next_generation(), seed: keyring.seed() }
    }

    pub(super) fn next_generation(&self) -> u64 {
        let slots = self.listing.authentic().map(|slot| slot.generation);
        slots.fold(self.list.generation, u64::max) + 1
    }

    /// Writes a new slot and opens what was written.
    ///
    /// # Errors
    ///
    /// [`SlotsError::TooMany`] beside 64 slots that count; [`SlotsError::NotVerified`], and it is gone again;
    /// [`SlotsError::Io`].
    pub fn add(&self, new: &(Slot, SlotKey), keyring: &Keyring) -> Result<(), SlotsError> {
        if self.listing.slots.len() >= MAX_SLOTS {
            return Err(SlotsError::TooMany);
        }
        self.slots.write_slot(&self.volume(), new, keyring)
    }

    /// Puts a new slot in the place of an old one.
    ///
    /// # Errors
    ///
    /// As for [`Locked::add`], before anything of the old one is changed; as for [`Locked::revoke`], with both slots
    /// there.
    pub fn change(
        &mut self,
        old: SlotId,
        new: &(Slot, SlotKey),
        (keyring, seed): (&Keyring, &OwnerSeed),
    ) -> Result<(), SlotsError> {
        self.add(new, keyring)?;
        self.revoke(&[old], seed)
    }

    /// Revokes slots for good and deletes their files.
    ///
    /// # Errors
    ///
    /// [`SlotsError::ListFull`] or [`SlotsError::NotVerified`] of the list: nothing is revoked.
    /// [`SlotsError::NoSuchSlot`] or [`SlotsError::Io`]: perhaps they are revoked and some files are left.
    pub fn revoke(&mut self, going: &[SlotId], seed: &OwnerSeed) -> Result<(), SlotsError> {
        let revoked = revocations(self.listing.authentic().filter(|slot| going.contains(&slot.id)));
        self.publish(&List { revoked, ..List::default() }, seed)?;
        going.iter().try_for_each(|id| self.delete(*id))
    }

    /// Deletes a slot; with `instead`, what the volume was opened with, only if that makes up for it. A slot that merely
    /// lies there is no way in: its secret may be lost. Without, nothing is signed: others may use the slot still.
    ///
    /// # Errors
    ///
    /// [`SlotsError::LastSlot`], [`SlotsError::LastIndependentOfTpm`], [`SlotsError::NotOwner`]: nothing is changed.
    /// Else as for [`Locked::revoke`].
    pub fn remove(&mut self, id: SlotId, instead: Option<&Opened>) -> Result<(), SlotsError> {
        let counts = self.listing.slots.iter().find(|slot| slot.id == id);
        match (counts, instead) {
            (Some(_), Some(way)) if way.slot == id => Err(SlotsError::LastSlot),
            (Some(slot), Some(way)) if slot.needs_no_tpm() && way.slot_type == SlotType::Tpm2 => {
                Err(SlotsError::LastIndependentOfTpm)
            }
            (Some(_), Some(way)) => self.revoke(&[id], way.keyring.seed().ok_or(SlotsError::NotOwner)?),
            _ => self.delete(id),
        }
    }

    /// Deletes the files of a slot, and a file that is named for it.
    pub(super) fn delete(&self, id: SlotId) -> Result<(), SlotsError> {
        let named =
            self.listing.junk.iter().map(|(name, _)| name.as_str()).find(|name| *name == file_name(id));
        let mut files = self.listing.files_of(id).chain(named).peekable();
        if files.peek().is_none() {
            return Err(SlotsError::NoSuchSlot(id));
        }
        files.try_for_each(|name| self.slots.remove_file(name))
    }

    /// Signs a list of all that is known and of this; the lists that it replaces go.
    pub(super) fn publish(&mut self, more: &List, seed: &OwnerSeed) -> Result<(), SlotsError> {
        let mut list = self.list.clone();
        list.merge(more);
        if list == self.list {
            return Ok(());
        }
        list.generation = self.next_generation();
        let file = self.slots.write_list(&self.volume(), seed, &list)?;
        self.list = list;
        let former = std::mem::replace(&mut self.list_files, vec![file]);
        former.iter().try_for_each(|name| self.slots.remove_file(name))
    }

    /// Signs a slot that a member made, and puts it among the others.
    ///
    /// # Errors
    ///
    /// [`SlotsError::TooMany`] beside 64 slots that count; [`SlotsError::Io`], `AlreadyExists` where it is among them
    /// already.
    pub fn sign(&mut self, slot: &mut Slot, seed: &OwnerSeed) -> Result<(), SlotsError> {
        if self.listing.slots.len() >= MAX_SLOTS {
            return Err(SlotsError::TooMany);
        }
        slot.sign(&self.volume(), seed);
        self.slots.write_signed(slot)
    }
}
