//! The keys of a volume and what is derived from them (docs/FORMAT.md sections 2 and 4.1).

use super::Fingerprint;
use crate::crypto::{self, Secret};
use zeroize::Zeroizing;

const MAX_EPOCHS: usize = 64;
const VERSION: u8 = 1;

/// An identity key for the life of the volume, and epoch keys in increasing order of their numbers, at least one.
pub struct Keyring {
    identity: Secret,
    epochs: Vec<(u32, Secret)>,
}

/// The keyring holds as many epochs as it can: drop old ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyEpochs;

impl Keyring {
    /// The keys of a new volume.
    pub fn generate() -> Keyring {
        Keyring { identity: Secret::random(), epochs: vec![(1, Secret::random())] }
    }

    /// The plaintext of a slot.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Of the final size at once: growing would leave copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(34 + 36 * self.epochs.len()));
        out.push(VERSION);
        out.extend(self.identity.bytes());
        out.push(self.epochs.len() as u8);
        for (number, key) in &self.epochs {
            out.extend(number.to_le_bytes());
            out.extend(key.bytes());
        }
        out
    }

    /// The opposite; `None` for anything that `encode` never makes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Keyring> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (identity, rest) = rest.split_first_chunk::<32>()?;
        let (&[count], rest) = rest.split_first_chunk()?;
        let (epochs, []) = rest.as_chunks::<36>() else { return None };
        let fits = (1..=MAX_EPOCHS).contains(&epochs.len()) && epochs.len() == usize::from(count);
        let epochs = epochs.iter().map(|epoch| {
            let (number, key) = epoch.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*number), Secret::from_slice(key)?))
        });
        let epochs = epochs.collect::<Option<Vec<_>>>()?;
        let ordered = epochs.is_sorted_by(|(a, _), (b, _)| a < b);
        (fits && ordered).then_some(Keyring { identity: Secret::from_slice(identity)?, epochs })
    }

    /// What chunk files are named with.
    pub fn name_key(&self) -> Secret {
        crypto::expand(&self.identity, &[b"cryptfs v1 name"])
    }

    /// What authenticates `cryptfs.json`.
    pub fn header_key(&self) -> Secret {
        crypto::expand(&self.identity, &[b"cryptfs v1 header"])
    }

    /// The roots of the chunk keys, newest epoch first.
    pub fn content_roots(&self) -> Vec<Secret> {
        let newest_first = self.epochs.iter().rev();
        newest_first.map(|(_, key)| crypto::expand(key, &[b"cryptfs v1 content"])).collect()
    }

    /// What a device pins.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_of(self.epochs.last().expect("a keyring has at least one epoch"))
    }

    /// Whether this fingerprint was the volume's before a rotation that this keyring remembers.
    pub fn remembers(&self, fingerprint: &Fingerprint) -> bool {
        self.epochs.iter().any(|epoch| self.fingerprint_of(epoch) == *fingerprint)
    }

    fn fingerprint_of(&self, (_, epoch): &(u32, Secret)) -> Fingerprint {
        let both = Zeroizing::new(crypto::mac(&self.identity, &[epoch.bytes()]));
        let both = Secret::from_slice(&both[..]).expect("a MAC has 32 bytes");
        let print = crypto::expand(&both, &[b"cryptfs v1 fingerprint"]);
        Fingerprint(*print.bytes().first_chunk().expect("16 of 32 bytes"))
    }

    /// How many epochs there are: more than one while chunks of an old one may exist.
    pub fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// The same keyring with a fresh epoch that writers use from now on.
    pub fn with_new_epoch(&self) -> Result<Keyring, TooManyEpochs> {
        let newest = self.epochs.last().map_or(0, |(number, _)| *number);
        let next = newest.checked_add(1).filter(|_| self.epochs.len() < MAX_EPOCHS).ok_or(TooManyEpochs)?;
        let mut keyring = self.duplicate();
        keyring.epochs.push((next, Secret::random()));
        Ok(keyring)
    }

    /// The same keyring with its newest epoch only: for when no chunk of an older one is left.
    pub fn without_old_epochs(&self) -> Keyring {
        let mut keyring = self.duplicate();
        keyring.epochs.drain(..self.epochs.len() - 1);
        keyring
    }

    /// Whether both keyrings are of one volume.
    pub(super) fn is_of_same_volume(&self, other: &Keyring) -> bool {
        crypto::same(self.identity.bytes(), other.identity.bytes())
    }

    /// Whether this keyring opens whatever the other one opens, but for epochs older than all of its own.
    pub(super) fn supersedes(&self, other: &Keyring) -> bool {
        let oldest = self.epochs.first().map_or(0, |(number, _)| *number);
        let known = |(number, key): &(u32, Secret)| {
            *number < oldest
                || self.epochs.iter().any(|(n, k)| n == number && crypto::same(k.bytes(), key.bytes()))
        };
        self.is_of_same_volume(other) && other.epochs.iter().all(known)
    }

    /// Whether a rotation leads from the other keyring to this one, or from this one to the other by its last step.
    pub(super) fn is_ahead_of(&self, other: &Keyring) -> bool {
        let newest = |keyring: &Keyring| keyring.epochs.last().map(|(number, _)| *number);
        let further = (newest(self), self.epochs.len()) > (newest(other), other.epochs.len());
        further && self.supersedes(other)
    }

    pub(super) fn duplicate(&self) -> Keyring {
        let epochs = self.epochs.iter().map(|(number, key)| (*number, key.duplicate()));
        Keyring { identity: self.identity.duplicate(), epochs: epochs.collect() }
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
