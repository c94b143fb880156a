//! Lists: which epochs are in use, which slots are revoked, and who is the owner (docs/FORMAT.md section 4.2).
//!
//! A list says all that its maker knew, and lists merge to the same whatever order they are read in. So two owners who
//! acted apart lose nothing, and no file is ever changed.

use super::document::{self, Defect, Field, Members, NUMBERS, VERSION};
use super::{EpochId, HeaderDigest, OwnerKey, OwnerSeed, SlotId};
use crate::crypto::{PUBLIC_KEY, Signature};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const FORMAT: &str = "cryptfs-list";
/// A slot's id and the number of its newest epoch.
const REVOKED: usize = 16 + 8;
const MAX_SUCCESSIONS: usize = 64;

/// A former owner's word on who comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Succession {
    pub former: OwnerKey,
    pub next: OwnerKey,
    signature: Signature,
}

/// What counts, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub generation: u64,
    /// Epochs of lower numbers are retired.
    pub floor: u64,
    pub epochs: BTreeSet<EpochId>,
    /// With the number of the slot's newest epoch: once that is retired the entry is of no more use.
    pub revoked: BTreeMap<SlotId, u64>,
    pub successions: BTreeSet<Succession>,
}

/// A list as it stands in a file, whoever made it.
pub(super) struct SignedList {
    id: SlotId,
    pub owner: OwnerKey,
    pub list: List,
    signature: Signature,
}

impl Succession {
    /// Bytes of one.
    pub const LENGTH: usize = 2 * PUBLIC_KEY + 64;

    pub(super) fn new(volume: &HeaderDigest, former: &OwnerSeed, next: OwnerKey) -> Succession {
        let mut succession = Succession { former: former.public(), next, signature: [0; 64] };
        succession.signature = former.sign(&succession.message(volume));
        succession
    }

    fn message(&self, volume: &HeaderDigest) -> Vec<u8> {
        document::length_prefixed(&[
            Field::Text("cryptfs v2 succession"),
            Field::Bytes(&volume.0),
            Field::Bytes(&self.former.0),
            Field::Bytes(&self.next.0),
        ])
    }

    pub(super) fn holds(&self, volume: &HeaderDigest) -> bool {
        self.former.signed(&self.message(volume), &self.signature)
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.former.0[..], &self.next.0, &self.signature].concat()
    }

    pub fn from_bytes(bytes: &[u8; Succession::LENGTH]) -> Succession {
        let (former, rest) = bytes.split_first_chunk().expect("32 of 128 bytes");
        let (next, signature) = rest.split_first_chunk().expect("32 of 96 bytes");
        let signature = signature.try_into().expect("64 of 64 bytes");
        Succession { former: OwnerKey(*former), next: OwnerKey(*next), signature }
    }
}

impl List {
    /// Takes in what another list says.
    pub fn merge(&mut self, other: &List) {
        self.generation = self.generation.max(other.generation);
        self.floor = self.floor.max(other.floor);
        self.epochs.extend(&other.epochs);
        for (slot, number) in &other.revoked {
            let known = self.revoked.entry(*slot).or_default();
            *known = (*known).max(*number);
        }
        self.successions.extend(&other.successions);
        let floor = self.floor;
        self.epochs.retain(|epoch| epoch.number >= floor);
        self.revoked.retain(|_, number| *number >= floor);
    }

    /// The epoch that writers use.
    pub fn newest(&self) -> Option<EpochId> {
        self.epochs.last().copied()
    }

    /// The owner keys that come last, from this one on; itself if nobody comes after.
    pub fn owners_after(&self, first: OwnerKey) -> BTreeSet<OwnerKey> {
        let last = |owner: &OwnerKey| self.successions.iter().all(|succession| succession.former != *owner);
        self.owners_from(first).into_iter().filter(last).collect()
    }

    /// This owner key and all that come after it.
    pub fn owners_from(&self, first: OwnerKey) -> BTreeSet<OwnerKey> {
        let (mut seen, mut next) = (BTreeSet::from([first]), vec![first]);
        while let Some(owner) = next.pop() {
            let after = self.successions.iter().filter(|succession| succession.former == owner);
            next.extend(after.map(|succession| succession.next).filter(|owner| seen.insert(*owner)));
        }
        seen
    }

    /// The file of this list.
    pub(super) fn to_json(&self, id: SlotId, volume: &HeaderDigest, seed: &OwnerSeed) -> Vec<u8> {
        let mut signed = SignedList { id, owner: seed.public(), list: self.clone(), signature: [0; 64] };
        signed.signature = seed.sign(&signed.message(volume));
        signed.to_json()
    }

    fn revoked_bytes(&self) -> Vec<u8> {
        let entry = |(slot, number): (&SlotId, &u64)| [&slot.0[..], &number.to_be_bytes()].concat();
        self.revoked.iter().flat_map(entry).collect()
    }

    fn succession_bytes(&self) -> Vec<u8> {
        self.successions.iter().flat_map(Succession::bytes).collect()
    }
}

impl SignedList {
    fn message(&self, volume: &HeaderDigest) -> Vec<u8> {
        let list = &self.list;
        document::length_prefixed(&[
            Field::Text("cryptfs v2 list"),
            Field::Bytes(&volume.0),
            Field::Bytes(&self.id.0),
            Field::Number(list.generation),
            Field::Bytes(&self.owner.0),
            Field::Number(list.floor),
            Field::Bytes(&EpochId::concat(&list.epochs)),
            Field::Bytes(&list.revoked_bytes()),
            Field::Bytes(&list.succession_bytes()),
        ])
    }

    pub fn to_json(&self) -> Vec<u8> {
        let list = &self.list;
        let (epochs, revoked) = (EpochId::concat(&list.epochs), list.revoked_bytes());
        let successions = list.succession_bytes();
        let members = [
            ("format", Field::Text(FORMAT)),
            ("version", Field::Number(VERSION)),
            ("id", Field::Bytes(&self.id.0)),
            ("generation", Field::Number(list.generation)),
            ("owner", Field::Bytes(&self.owner.0)),
            ("floor", Field::Number(list.floor)),
            ("epochs", Field::Bytes(&epochs)),
            ("revoked", Field::Bytes(&revoked)),
            ("successions", Field::Bytes(&successions)),
            ("signature", Field::Bytes(&self.signature)),
        ];
        document::write(&members.map(|(name, field)| (name, field.json())))
    }

    /// Parses the contents of a list's file. Nothing in it is authentic before `is_by` says so.
    ///
    /// # Errors
    ///
    /// The [`Defect`] of the document or of a member.
    pub fn parse(bytes: &[u8]) -> Result<SignedList, Defect> {
        let mut members = Members::parse(bytes, FORMAT)?;
        let all = |most: usize| 0..=most;
        let epochs = members.bytes("epochs", all(document::MAX_LENGTH))?;
        let revoked = members.bytes("revoked", all(document::MAX_LENGTH))?;
        let successions = members.bytes("successions", all(MAX_SUCCESSIONS * Succession::LENGTH))?;
        let list = List {
            generation: members.number("generation", NUMBERS)?,
            floor: members.number("floor", 0..=*NUMBERS.end())?,
            epochs: EpochId::list(&epochs).ok_or(Defect::Invalid("epochs"))?.into_iter().collect(),
            revoked: revoked_from(&revoked).ok_or(Defect::Invalid("revoked"))?,
            successions: successions_from(&successions).ok_or(Defect::Invalid("successions"))?,
        };
        let signed = SignedList {
            id: SlotId(members.array("id")?),
            owner: OwnerKey(members.array("owner")?),
            list,
            signature: members.array("signature")?,
        };
        members.finish()?;
        Ok(signed)
    }

    /// Whether this owner made it, for this volume.
    pub fn is_by(&self, owner: OwnerKey, volume: &HeaderDigest) -> bool {
        self.owner == owner && owner.signed(&self.message(volume), &self.signature)
    }
}

fn revoked_from(bytes: &[u8]) -> Option<BTreeMap<SlotId, u64>> {
    let (entries, []) = bytes.as_chunks::<REVOKED>() else { return None };
    let entry = |entry: &[u8; REVOKED]| {
        let (slot, number) = entry.split_first_chunk::<16>()?;
        Some((SlotId(*slot), u64::from_be_bytes(number.try_into().ok()?)))
    };
    let ordered = entries.is_sorted_by(|a, b| a[..16] < b[..16]);
    entries.iter().map(entry).collect::<Option<_>>().filter(|_| ordered)
}

fn successions_from(bytes: &[u8]) -> Option<BTreeSet<Succession>> {
    let (entries, []) = bytes.as_chunks() else { return None };
    let successions: Vec<_> = entries.iter().map(Succession::from_bytes).collect();
    successions.is_sorted_by(|a, b| a < b).then(|| successions.into_iter().collect())
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
