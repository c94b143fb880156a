//! Looking at a key folder before any secret is tried: whose signature counts, which slots it makes count, and what else
//! lies there (docs/FORMAT.md section 4.2).
//!
//! Whoever holds the folder chooses how much that is. So each file is looked at by itself, costs a parse and one or two
//! signatures, and is forgotten unless the owner made it.

use super::document::Defect;
use super::list::SignedList;
use super::slots::{Junk, KeyFile, Listing, Slots, SlotsError, Spent};
use super::{Fingerprint, Header, HeaderDigest, List, OwnerKey, Slot, SlotId, Succession};
use std::collections::{BTreeMap, BTreeSet};

/// Names of junk that are kept; the rest is counted.
const NAMED_JUNK: usize = 1000;

/// What this device knows of the volume beforehand, and what a person said.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub pinned: Option<OwnerKey>,
    /// An owner key that this device made itself: noted before it is used, so that it is accepted after a crash.
    pub announced: Option<OwnerKey>,
    /// The owner key that a person expects.
    pub confirmed: Option<Fingerprint>,
    /// All lists that were believed before.
    pub list: List,
    /// Slots that were removed here, by whatever means.
    pub removed: Vec<SlotId>,
}

/// How the owner key that is judged by came to be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It is the pinned one.
    Known,
    /// Another one, or the first, that was confirmed.
    Confirmed,
    /// Nothing is pinned, and nobody confirmed it.
    First,
    /// The pinned key has a successor, the one that is judged by.
    Succeeded { pinned: OwnerKey },
    /// The pinned key has nothing to do with this volume.
    Other { pinned: OwnerKey },
    /// There are several that could be meant.
    Unclear(Vec<OwnerKey>),
    /// It is not the one that a person expects.
    NotConfirmed { expected: Fingerprint },
}

/// What was found.
pub(super) struct Survey {
    pub owner: OwnerKey,
    pub contact: Contact,
    pub list: List,
    /// The files of the lists that are merged there, former owners' included.
    pub list_files: Vec<String>,
    pub listing: Listing,
}

pub(super) fn survey(slots: &Slots, header: &Header, expected: &Expected) -> Result<Survey, SlotsError> {
    let volume = header.digest();
    let roots: Vec<_> = expected.pinned.into_iter().chain([header.owner]).collect();
    let lists = lists(slots, &volume, &roots, &expected.list)?;
    let mut known = expected.list.clone();
    lists.iter().for_each(|(_, signed)| known.successions.extend(&signed.list.successions));
    let (owner, contact) = choose(header.owner, expected, &known);

    // What was believed of an owner who has nothing to do with this one says nothing here.
    let believed = expected.pinned.is_none_or(|pinned| known.owners_from(pinned).contains(&owner));
    let mut list = if believed { expected.list.clone() } else { List::default() };
    list.successions.clone_from(&known.successions);
    lists.iter().filter(|(_, signed)| signed.owner == owner).for_each(|(_, signed)| list.merge(&signed.list));
    let is_done = |(_, signed): &&(String, SignedList)| known.owners_from(signed.owner).contains(&owner);
    let list_files = lists.iter().filter(is_done).map(|(name, _)| name.clone()).collect();
    let mut listing = Listing::default();
    let lists: BTreeSet<_> = lists.iter().map(|(name, _)| name.as_str()).collect();
    slots.each(&mut |name, is_ours| {
        if !is_ours {
            listing.add_junk(name, Junk::NotOurs);
        } else if !lists.contains(name) {
            listing.add(slots, name, owner, &volume, &list, &expected.removed);
        }
    })?;
    listing.slots.sort_unstable_by_key(|slot| (slot.cost(), slot.id));
    listing.spent.sort_unstable_by_key(|(slot, _)| slot.id);
    listing.junk.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Survey { owner, contact, list, list_files, listing })
}

/// The lists by owners to whom successions lead from one of `roots`, with these successions only.
fn lists(
    slots: &Slots,
    volume: &HeaderDigest,
    roots: &[OwnerKey],
    known: &List,
) -> Result<Vec<(String, SignedList)>, SlotsError> {
    let mut lists = Vec::new();
    slots.each(&mut |name, is_ours| {
        let Some(Ok(KeyFile::List(mut signed))) = is_ours.then(|| slots.read(name)) else { return };
        let mut successions = signed.list.successions.clone();
        successions.extend(&known.successions);
        let Some(line) = line(roots, &successions, known, volume) else { return };
        if line.contains(&signed.owner) && signed.is_by(signed.owner, volume) {
            signed.list.successions.retain(|succession| line.contains(&succession.former));
            lists.push((name.to_owned(), signed));
        }
    })?;
    Ok(lists)
}

/// The owners that successions lead to; `None` if one of these is forged: then no other is looked at.
fn line(
    roots: &[OwnerKey],
    successions: &BTreeSet<Succession>,
    known: &List,
    volume: &HeaderDigest,
) -> Option<BTreeSet<OwnerKey>> {
    let (mut seen, mut next) = (BTreeSet::new(), roots.to_vec());
    while let Some(owner) = next.pop() {
        if !seen.insert(owner) {
            continue;
        }
        for succession in successions.iter().filter(|succession| succession.former == owner) {
            if !known.successions.contains(succession) && !succession.holds(volume) {
                return None;
            }
            next.push(succession.next);
        }
    }
    Some(seen)
}

/// Whose signature counts, and why.
fn choose(first: OwnerKey, expected: &Expected, known: &List) -> (OwnerKey, Contact) {
    let line = known.owners_from(first);
    let ends = |from: OwnerKey| known.owners_after(from).into_iter().collect::<Vec<_>>();
    let from = expected.pinned.filter(|pinned| line.contains(pinned)).unwrap_or(first);
    let ends = ends(from);
    let confirmed =
        expected.confirmed.map(|print| ends.iter().find(|end| end.fingerprint() == print).copied());
    let own = expected.announced.filter(|own| ends.contains(own));
    match (confirmed, &ends[..], expected.pinned) {
        (_, [end], Some(pinned)) if *end == pinned && confirmed != Some(None) => (pinned, Contact::Known),
        (Some(Some(owner)), ..) => (owner, Contact::Confirmed),
        (Some(None), ..) => {
            let expected = expected.confirmed.unwrap_or(first.fingerprint());
            (ends.first().copied().unwrap_or(first), Contact::NotConfirmed { expected })
        }
        (None, ..) if own.is_some() => (own.unwrap_or(first), Contact::Confirmed),
        (None, [end], None) => (*end, Contact::First),
        (None, [end], Some(pinned)) if line.contains(&pinned) => (*end, Contact::Succeeded { pinned }),
        (None, [end], Some(pinned)) => (*end, Contact::Other { pinned }),
        (None, ..) => (ends.first().copied().unwrap_or(first), Contact::Unclear(ends)),
    }
}

impl Listing {
    fn add_junk(&mut self, name: &str, why: Junk) {
        match self.junk.len() < NAMED_JUNK {
            true => self.junk.push((name.to_owned(), why)),
            false => self.more_junk += 1,
        }
    }

    fn add(
        &mut self,
        slots: &Slots,
        name: &str,
        owner: OwnerKey,
        volume: &HeaderDigest,
        list: &List,
        removed: &[SlotId],
    ) {
        let slot = match slots.read(name) {
            Ok(KeyFile::Slot(slot)) if slot.is_by(owner, volume) => *slot,
            Ok(_) => return self.add_junk(name, Junk::Defect(Defect::Forged)),
            // Deleted since the folder was listed.
            Err(Junk::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(why) => return self.add_junk(name, why),
        };
        let is_copy = self.authentic().any(|other| other.id == slot.id);
        if is_copy && self.files.len() >= NAMED_JUNK {
            self.more_junk += 1;
            return;
        }
        self.files.push((slot.id, name.to_owned()));
        if is_copy {
            return;
        }
        if list.revoked.contains_key(&slot.id) || removed.contains(&slot.id) {
            self.spent.push((slot, Spent::Revoked));
        } else if list.newest().is_some_and(|newest| !slot.epochs.contains(&newest)) {
            self.spent.push((slot, Spent::Outdated));
        } else {
            self.slots.push(slot);
        }
    }

    /// The files of each authentic slot.
    pub(super) fn files_of(&self, id: SlotId) -> impl Iterator<Item = &str> {
        self.files.iter().filter(move |(of, _)| *of == id).map(|(_, name)| name.as_str())
    }
}

impl Slot {
    /// What trying it costs: KiB times passes of Argon2id.
    pub(super) fn cost(&self) -> u64 {
        let cost = match &self.kind {
            super::Kind::Passphrase(stretch) => Some(stretch.cost()),
            super::Kind::Tpm2(tpm2) => tpm2.pin_cost(),
            super::Kind::Recovery | super::Kind::Recipient(_) => None,
        };
        cost.map_or(0, |cost| u64::from(cost.parts().0) * u64::from(cost.parts().1))
    }
}

/// These slots as a list revokes them.
pub(super) fn revocations<'a>(slots: impl IntoIterator<Item = &'a Slot>) -> BTreeMap<SlotId, u64> {
    slots.into_iter().map(|slot| (slot.id, slot.newest_number())).collect()
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
