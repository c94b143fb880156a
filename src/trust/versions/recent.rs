//! What became durable since the rest was written down, in a file that a dead daemon leaves behind.
//!
//! A note is written, without being made durable, once what it tells is. So whatever of it a power cut leaves is true; what it takes
//! along, or what is overwritten as the places are all taken, is not known, and not suspicious. In this file are [`PLACES`] places of
//! [`PLACE`] bytes: check u64 ‖ number u64 ‖ `ChunkId::block` ‖ { device id [8] ‖ commit u64 }, the rest of which is zeros.

use super::super::tables::{decode, encode};
use crate::chunk::{ChunkId, Version};
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Notes in the file, at most.
const PLACES: u64 = 32_768;
/// The size of one, a divisor of a sector's.
const PLACE: usize = 128;
/// Devices of a version, at most: one of more is not noted.
const DEVICES: usize = (PLACE - HEAD) / ENTRY;
/// Bytes before the entries of the version.
const HEAD: usize = 32;
const ENTRY: usize = 16;

/// One that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub number: u64,
    pub id: ChunkId,
    pub version: Version,
}

/// The file, open for writing.
pub(super) struct Recent {
    file: File,
    /// The number of the note in front of the first place.
    first: u64,
}

impl Recent {
    /// Opens the file, or makes it. Also what it tells beyond the note of this number, in order.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn open(path: &Path, kept: u64) -> io::Result<(Recent, Vec<Note>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = vec![0; file.metadata()?.len().min(PLACES * PLACE as u64) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let mut notes: Vec<_> = bytes.chunks_exact(PLACE).filter_map(read).collect();
        notes.retain(|note| note.number > kept);
        notes.sort_unstable_by_key(|note| note.number);
        // They stay, each in its place, until others are written there.
        Ok((Recent { file, first: kept }, notes))
    }

    /// A note that cannot be written is one that is not known after this process died.
    pub fn write(&self, number: u64, id: ChunkId, version: &Version) {
        if version.0.len() > DEVICES {
            return;
        }
        let mut place = [0; PLACE];
        place[8..16].copy_from_slice(&number.to_le_bytes());
        place[16..HEAD].copy_from_slice(&id.block());
        let entries = encode(&version.0);
        place[HEAD..][..entries.len()].copy_from_slice(&entries);
        let check = check(&place[8..]);
        place[..8].copy_from_slice(&check.to_le_bytes());
        let at = (number - self.first) % PLACES * PLACE as u64;
        if let Err(error) = self.file.write_all_at(&place, at) {
            log::debug!("what became durable is noted some seconds later only: {error}");
        }
    }

    /// Empties the file: what it tells was written down.
    pub fn clear(&self) {
        if let Err(error) = self.file.set_len(0) {
            log::debug!("notes that are not needed any more stay: {error}");
        }
    }
}

/// `None`: nothing was written there, or not all of it.
fn read(place: &[u8]) -> Option<Note> {
    let (&found, rest) = place.split_first_chunk()?;
    let (&number, entries) = rest.split_first_chunk()?;
    let (&id, entries) = entries.split_first_chunk()?;
    let count = entries.chunks(ENTRY).take_while(|entry| entry.iter().any(|byte| *byte != 0)).count();
    let version = decode(&entries[..count * ENTRY])?;
    let note = Note { number: u64::from_le_bytes(number), id: ChunkId::from_block(id), version };
    (u64::from_le_bytes(found) == check(rest) && note.number != 0).then_some(note)
}

/// Tells what was written from what a power cut left of it; nobody else writes there. Another build of the program may compute it
/// otherwise: then its notes are not known.
fn check(place: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(place);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::versions::tests::{chunk, version};

    #[test]
    fn what_was_noted_is_found_in_order_beyond_what_was_kept_and_as_far_as_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recent");
        let open = |kept| Recent::open(&path, kept).unwrap();
        let (recent, notes) = open(7);
        assert_eq!(notes, []);
        let of = |n: u64| version(&[(1, n), (2, u64::MAX)][..1 + n as usize % 2]);
        (8..20).for_each(|n| recent.write(n, chunk(n as u32), &of(n)));
        let found = |kept, numbers: &[u64]| {
            let notes: Vec<_> = numbers
                .iter()
                .map(|&number| Note { number, id: chunk(number as u32), version: of(number) })
                .collect();
            assert_eq!(open(kept).1, notes);
        };
        found(7, &(8..20).collect::<Vec<_>>());
        found(17, &[18, 19]);
        recent.write(7 + PLACES + 12, chunk(7 + PLACES as u32 + 12), &of(7 + PLACES + 12));
        found(17, &[18, 7 + PLACES + 12]);

        let (recent, _) = open(19);
        recent.write(20, chunk(20), &version(&[(1, 5); DEVICES + 1]));
        found(19, &[7 + PLACES + 12]);
        recent.write(20, chunk(20), &of(20));
        found(19, &[20, 7 + PLACES + 12]);
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..PLACE).map(|at| PLACE + at) {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            std::fs::write(&path, torn).unwrap();
            found(19, &[7 + PLACES + 12]);
        }
        std::fs::write(&path, &bytes[..PLACE + 1]).unwrap();
        found(0, &[]);
        std::fs::write(&path, bytes).unwrap();
        recent.clear();
        found(0, &[]);
    }
}
