//! A client that fetches on demand shows placeholders for chunk files: what they stand for has not arrived.

use super::hostile::told::Told;
use super::*;
use crate::chunk::mutants::{self, Mutant};
use crate::chunk::remembered::Remembered;
use crate::store::memory::{Item, Memory};
use crate::store::{Area, CopyName, FileName};
use crate::volume::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// As a client does to free space here.
fn replace_by_placeholder(memory: &Memory, name: FileName) {
    let path = name.path();
    let (_, below) = path.split_once('/').unwrap();
    let placeholder = CopyName { of: name, path: format!("{below}.nextcloud").into_bytes() };
    memory.put(&Item::Copy(placeholder), memory.take(&Item::File(name)));
    memory.put(&Item::File(name), None);
}

fn read(volume: &Volume, name: &str) -> Result<Vec<u8>> {
    let inode = volume.lookup(&volume.root()?, name.as_bytes())?.ok_or(Error::NotFound)?;
    let mut bytes = vec![0; inode.view(|record| record.size) as usize];
    volume.read(&inode, 0, &mut bytes).map(|_| bytes)
}

/// Each chunk file in turn, on a device that knows it and on a new one.
#[test]
fn what_a_placeholder_stands_for_has_not_arrived() {
    let (fixture, memory) = (Fixture::new(), Memory::new());
    let volume = fixture.format(Arc::new(memory.clone()));
    let contents = [("small", pattern(100, 1)), ("large", pattern(3 << 20, 2))];
    contents.iter().for_each(|(name, content)| drop(file(&volume, name, content)));
    volume.close().unwrap();
    let chunks = memory.names().into_iter().filter(|name| name.area == Area::Chunks);
    let (mut roots, mut unread) = (0, 0);
    for (name, known) in chunks.flat_map(|name| [(name, true), (name, false)]) {
        let (there, remembered) = (Memory::new(), Remembered::default());
        there.restore(&memory.snapshot());
        replace_by_placeholder(&there, name);
        let fixture = if known {
            fixture.remembering(fixture.remembered.clone())
        } else {
            fixture.remembering(remembered)
        };
        let volume = match fixture.try_open(Arc::new(there.clone())) {
            Ok(volume) => volume,
            Err(error) => {
                assert!(matches!(error, Error::NotArrived(_)), "{error}");
                roots += 1;
                continue;
            }
        };
        let told = Told::default();
        assert!(told.at_open(&volume).is_empty());
        for (name, content) in &contents {
            match read(&volume, name) {
                Ok(found) => assert!(found == *content, "{name}"),
                Err(error) => {
                    assert!(matches!(error, Error::NotArrived(_)), "{name}: {error}");
                    unread += 1;
                }
            }
        }
        volume.report();
        let found = told.found();
        assert!(found.iter().all(|found| found.damage.is_none() && found.is_placeholder), "{found:?}");
        assert_eq!(found.iter().map(|found| found.file).collect::<Vec<_>>(), [name]);
        volume.close().unwrap();
        assert!(!there.names().contains(&name), "nothing is made in its place");
    }
    // Of the root, of a small file, of a large one's four chunks.
    assert_eq!((roots, unread), (2, 10));
}

/// A journal that is not read must not pass for one that was never begun.
#[test]
fn a_journal_of_which_there_is_a_placeholder_is_waited_for() {
    let (fixture, memory) = (Fixture::new(), Memory::new());
    let volume = fixture.format(Arc::new(memory.clone()));
    volume.sync(&file(&volume, "f", b"in a batch"), false).unwrap();
    let journal = volume.base.context.file_name(volume.base.context.own_journal());
    drop(volume);
    replace_by_placeholder(&memory, journal);
    for remembered in [fixture.remembered.clone(), Remembered::default()] {
        let opened = fixture.try_open_with(Arc::new(memory.clone()), &remembered);
        assert!(matches!(opened.err(), Some(Error::NotArrived(_))));
    }
    let other = fixture.another(*b"device 2").open(Arc::new(memory.clone()));
    let found = Told::default().at_open(&other);
    assert!(matches!(&found[..], [found] if found.file == journal && found.is_placeholder), "{found:?}");
}

#[test]
fn every_broken_rule_is_noticed() {
    for fault in [Mutant::PlaceholderIsGone, Mutant::PlaceholderIsNothing] {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(AssertUnwindSafe(|| {
            what_a_placeholder_stands_for_has_not_arrived();
            a_journal_of_which_there_is_a_placeholder_is_waited_for();
        }));
        mutants::plant(None);
        assert!(noticed.is_err(), "{fault:?}");
    }
}
