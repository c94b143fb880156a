//! Everything that parses bytes, one target each: no input makes it panic or take much memory, and what it accepts is the
//! same when it is written and read again.
//!
//! Compiled for tests and by `cargo fuzz` (which sets `--cfg fuzzing`) only, so the library shows no more than it did.
//! `scripts/fuzz` searches for hours if it is to; the test below runs the kept corpus and mutations of it for seconds.

use crate::{chunk, cli, keys, volume};

/// A parser that is fed with arbitrary bytes.
pub type Target = fn(&[u8]);

pub const TARGETS: [(&str, Target); 13] = [
    ("root", chunk::fuzzing::root),
    ("map", chunk::fuzzing::map),
    ("record", volume::fuzzing::record),
    ("directory", volume::fuzzing::directory),
    ("batch", volume::fuzzing::batch),
    ("journal", volume::fuzzing::journal),
    ("sealed", volume::fuzzing::sealed),
    ("header", keys::fuzzing::header),
    ("slot", keys::fuzzing::slot),
    ("list", keys::fuzzing::list),
    ("typed", keys::fuzzing::typed),
    ("tpm", keys::fuzzing::tpm),
    ("options", cli::fuzzing::options),
];

/// Feeds a target.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|target| target.0 == name).expect("a target");
    target(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rng::{self, TestRng};
    use std::fs;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    /// For each target.
    const LONG: Duration = Duration::from_millis(800);

    fn corpus(target: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus", target].iter().collect()
    }

    impl TestRng {
        /// Changes a few places: bits, bytes, numbers that are often wrong, parts cut out, put twice or taken from
        /// another input.
        fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
            const NUMBERS: [u32; 8] = [0, 1, 2, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];
            for _ in 0..=self.below(4) {
                let (at, length) = (self.below(bytes.len()), 1 + self.below(16));
                let end = (at + length).min(bytes.len());
                match self.below(6) {
                    0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                    1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                    2 if at + 4 <= bytes.len() => {
                        bytes[at..at + 4].copy_from_slice(&NUMBERS[self.below(8)].to_le_bytes());
                    }
                    3 => drop(bytes.drain(at..end)),
                    4 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                    _ => {
                        let from = self.below(other.len());
                        let part = &other[from..(from + length).min(other.len())];
                        drop(bytes.splice(at..end, part.iter().copied()));
                    }
                }
            }
        }
    }

    #[test]
    fn the_kept_corpus_and_mutations_of_it() {
        let mut rng = TestRng(test_rng::seed());
        for (name, target) in TARGETS {
            let files = fs::read_dir(corpus(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            let kept: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
            assert!(!kept.is_empty(), "{name} has no corpus");
            kept.iter().for_each(|bytes| run(name, bytes));
            let (begun, mut runs) = (Instant::now(), 0);
            while begun.elapsed() < LONG {
                let mut bytes = kept[rng.below(kept.len())].clone();
                let other = &kept[rng.below(kept.len())];
                rng.mutate(&mut bytes, other);
                target(&bytes);
                runs += 1;
            }
            println!("{name}: {} kept, {runs} mutations", kept.len());
        }
    }
}
