//! The keys of a volume and what is derived from them (docs/FORMAT.md sections 2 and 4.1).

use super::{EpochId, OwnerKey, OwnerSeed};
use crate::crypto::{self, PUBLIC_KEY, Secret};
use zeroize::Zeroizing;

pub(super) const MAX_EPOCHS: usize = 64;
const VERSION: u8 = 2;
const WITH_SEED: u8 = 1;
/// Version, flags, identity key, owner's public key, number of epochs.
const FIXED: usize = 2 + 32 + PUBLIC_KEY + 1;
const SEED: usize = 32;
/// An epoch's number and key.
const EPOCH: usize = 8 + 32;

/// Lengths that an encoded keyring may have.
pub(super) const LENGTHS: std::ops::RangeInclusive<usize> = FIXED + EPOCH..=FIXED + SEED + MAX_EPOCHS * EPOCH;

/// Says which identity key is meant without revealing it.
pub type IdentityId = [u8; 16];

/// An identity key for the life of the volume, and epoch keys in increasing order of their ids, at least one; with the
/// owner's seed where an owner's slot gave it.
pub struct Keyring {
    identity: Secret,
    owner: OwnerKey,
    seed: Option<OwnerSeed>,
    epochs: Vec<(EpochId, Secret)>,
}

/// The keyring holds as many epochs as it can: drop old ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyEpochs;

impl Keyring {
    /// The keys of a new volume, its owner's.
    pub fn generate() -> Keyring {
        let (seed, epoch) = (OwnerSeed::generate(), Secret::random());
        Keyring {
            identity: Secret::random(),
            owner: seed.public(),
            seed: Some(seed),
            epochs: vec![(EpochId::of(1, &epoch), epoch)],
        }
    }

    /// The plaintext of a slot.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Of the final size at once: growing would leave copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(FIXED + SEED + EPOCH * self.epochs.len()));
        out.extend([VERSION, if self.seed.is_some() { WITH_SEED } else { 0 }]);
        out.extend(self.identity.bytes());
        out.extend(self.owner.0);
        self.seed.iter().for_each(|seed| out.extend(seed.0.bytes()));
        out.push(self.epochs.len() as u8);
        for (id, key) in &self.epochs {
            out.extend(id.number.to_le_bytes());
            out.extend(key.bytes());
        }
        out
    }

    /// The opposite; `None` for anything that `encode` never makes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Keyring> {
        let (&[VERSION, flags @ 0..=WITH_SEED], rest) = bytes.split_first_chunk()? else { return None };
        let (identity, rest) = rest.split_first_chunk::<32>()?;
        let (owner, mut rest) = rest.split_first_chunk::<PUBLIC_KEY>()?;
        let owner = OwnerKey(*owner);
        let mut seed = None;
        if flags == WITH_SEED {
            let (bytes, after) = rest.split_first_chunk::<SEED>()?;
            seed = Some(OwnerSeed(Secret::from_slice(bytes)?)).filter(|seed| seed.public() == owner);
            (_, rest) = (seed.as_ref()?, after);
        }
        let (&[count], rest) = rest.split_first_chunk()?;
        let (epochs, []) = rest.as_chunks::<EPOCH>() else { return None };
        let fits = (1..=MAX_EPOCHS).contains(&epochs.len()) && epochs.len() == usize::from(count);
        let epochs = epochs.iter().map(|epoch| {
            let (number, key) = epoch.split_first_chunk::<8>()?;
            let key = Secret::from_slice(key)?;
            Some((EpochId::of(u64::from_le_bytes(*number), &key), key))
        });
        let epochs = epochs.collect::<Option<Vec<_>>>()?;
        let ordered = epochs.is_sorted_by(|(a, _), (b, _)| a < b);
        let identity = Secret::from_slice(identity)?;
        (fits && ordered).then_some(Keyring { identity, owner, seed, epochs })
    }

    /// What chunk files are named with.
    pub fn name_key(&self) -> Secret {
        crypto::expand(&self.identity, &[b"cryptfs v2 name"])
    }

    pub fn identity_id(&self) -> IdentityId {
        let id = crypto::expand(&self.identity, &[b"cryptfs v2 identity"]);
        *id.bytes().first_chunk().expect("16 of 32 bytes")
    }

    /// Whose signature counts, as the maker of this keyring says.
    pub fn owner(&self) -> OwnerKey {
        self.owner
    }

    /// What the owner signs with; only owners have it.
    pub fn seed(&self) -> Option<&OwnerSeed> {
        self.seed.as_ref()
    }

    /// The roots of the chunk keys, newest epoch first, of epochs that are not newer than this one.
    pub fn content_roots(&self, newest: EpochId) -> Vec<Secret> {
        let newest_first = self.epochs.iter().rev().filter(|(id, _)| *id <= newest);
        newest_first.map(|(_, key)| crypto::expand(key, &[b"cryptfs v2 content"])).collect()
    }

    /// The epochs, in increasing order.
    pub fn epochs(&self) -> Vec<EpochId> {
        self.epochs.iter().map(|(id, _)| *id).collect()
    }

    pub fn newest(&self) -> EpochId {
        self.epochs.last().expect("a keyring has at least one epoch").0
    }

    /// The same keyring with a fresh epoch that writers use once a list names it.
    ///
    /// # Errors
    ///
    /// [`TooManyEpochs`] beside 64 epochs, and after the last number that there is.
    pub fn with_new_epoch(&self) -> Result<Keyring, TooManyEpochs> {
        let number = self.newest().number.checked_add(1);
        let number = number.filter(|_| self.epochs.len() < MAX_EPOCHS).ok_or(TooManyEpochs)?;
        let mut keyring = self.duplicate();
        let key = Secret::random();
        keyring.epochs.push((EpochId::of(number, &key), key));
        Ok(keyring)
    }

    /// The same keyring with its newest epoch only: for when no chunk of an older one is left.
    pub fn without_old_epochs(&self) -> Keyring {
        let mut keyring = self.duplicate();
        keyring.epochs.drain(..self.epochs.len() - 1);
        keyring
    }

    /// The same keyring for somebody who is not to sign.
    pub fn without_seed(&self) -> Keyring {
        Keyring { seed: None, ..self.duplicate() }
    }

    /// The same keyring under a fresh owner key.
    pub fn with_new_owner(&self) -> Keyring {
        let seed = OwnerSeed::generate();
        Keyring { owner: seed.public(), seed: Some(seed), ..self.duplicate() }
    }

    /// Takes over the epochs of another keyring of the volume that this one lacks; all or none.
    pub(super) fn join(&mut self, other: &Keyring) -> Result<(), TooManyEpochs> {
        let lacking = other.epochs.iter().filter(|(id, _)| self.epochs.iter().all(|(own, _)| own != id));
        let lacking: Vec<_> = lacking.map(|(id, key)| (*id, key.duplicate())).collect();
        if self.epochs.len() + lacking.len() > MAX_EPOCHS {
            return Err(TooManyEpochs);
        }
        self.epochs.extend(lacking);
        self.epochs.sort_unstable_by_key(|(id, _)| *id);
        Ok(())
    }

    /// Whether this keyring opens whatever the other one opens, but for epochs of lower numbers than all of its own.
    pub(super) fn supersedes(&self, other: &Keyring) -> bool {
        let oldest = self.epochs.first().map_or(0, |(id, _)| id.number);
        let known = |id: &EpochId| id.number < oldest || self.epochs.iter().any(|(own, _)| own == id);
        self.identity_id() == other.identity_id() && other.epochs().iter().all(known)
    }

    /// A second copy, for an owner of its own.
    pub fn duplicate(&self) -> Keyring {
        Keyring {
            identity: self.identity.duplicate(),
            owner: self.owner,
            seed: self.seed.as_ref().map(OwnerSeed::duplicate),
            epochs: self.epochs.iter().map(|(id, key)| (*id, key.duplicate())).collect(),
        }
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
