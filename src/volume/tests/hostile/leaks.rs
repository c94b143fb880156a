//! Rows 29 to 31: what the backing files tell whoever looks at them.

use super::*;
use crate::volume::Rename;
use std::collections::HashSet;

type Capture = BTreeMap<FileName, Vec<u8>>;

fn capture(victim: &HostileFixture) -> Capture {
    victim.store.names().into_iter().map(|name| (name, victim.bytes(name))).collect()
}

/// Which slots of which chunks differ: by path and index (the journal is `journal`).
fn changes(victim: &HostileFixture, before: &Capture, after: &Capture) -> Vec<(String, Vec<usize>)> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let empty = Vec::new();
        let (old, new) = (before.get(name).unwrap_or(&empty), after.get(name).unwrap_or(&empty));
        let slot = |bytes: &Vec<u8>, slot: usize| bytes.chunks(BLOCK).nth(slot).map(<[u8]>::to_vec);
        let slots = old.len().max(new.len()).div_ceil(BLOCK);
        let changed: Vec<_> = (0..slots).filter(|at| slot(old, *at) != slot(new, *at)).collect();
        if !changed.is_empty() {
            let chunk = victim.identify(*name);
            let path =
                victim.ids.iter().find(|(_, id)| **id == chunk.inode).map_or("journal", |(path, _)| path);
            changes.push((format!("{path}:{}", chunk.index), changed));
        }
    }
    changes.sort();
    changes
}

/// What a mount, something done, and an unmount change.
fn trace(act: impl Fn(&Volume)) -> Vec<(String, Vec<usize>)> {
    let victim = HostileFixture::new();
    let before = capture(&victim);
    let volume = victim.open().unwrap();
    act(&volume);
    volume.close().unwrap();
    changes(&victim, &before, &capture(&victim))
}

fn expect(act: impl Fn(&Volume), expected: &[(&str, &[usize])]) {
    let found = trace(act);
    let found: Vec<(&str, &[usize])> = found.iter().map(|(path, slots)| (&**path, &**slots)).collect();
    assert_eq!(found, expected);
}

#[test]
fn row_29_nothing_changes_without_a_change() {
    expect(|_| (), &[]);
    expect(|volume| drop(read_path(volume, "big").unwrap()), &[]);
    expect(|volume| assert_eq!(find(volume, "x/two").unwrap().view(|record| record.size), 90), &[]);
    expect(|volume| drop(names(volume, &find(volume, "x").unwrap())), &[]);
}

#[test]
fn row_29_a_change_of_content_shows_in_its_own_chunk_only() {
    let write = |path: &'static str, at: u64| {
        move |volume: &Volume| volume.write(&find(volume, path).unwrap(), at, b"!", now(), 0).unwrap()
    };
    expect(write("small", 5), &[("small:0", &[0, 1])]);
    expect(write("small", 100), &[("small:0", &[0, 1])]);
    expect(write("blocks", 5), &[("blocks:0", &[0, 1, 7])]);
    let append = write("blocks", 5 * BLOCK as u64);
    expect(append, &[("blocks:0", &[0, 1, 7])]);
}

#[test]
fn row_29_attributes_and_names() {
    let chmod = |volume: &Volume| {
        let change = |record: &mut crate::volume::Record| {
            record.mode = 0o600;
            Ok(())
        };
        volume.update(&find(volume, "blocks").unwrap(), change).unwrap();
    };
    expect(chmod, &[("blocks:0", &[0, 1])]);
    let rename = |volume: &Volume| {
        let (x, y) = (find(volume, "x").unwrap(), find(volume, "y").unwrap());
        volume.rename((&x, b"one"), (&y, b"moved"), Rename::Replace, None, now()).unwrap();
    };
    expect(rename, &[("journal:0", &[0, 1]), ("x/one:0", &[0, 1]), ("x:0", &[0, 1]), ("y:0", &[0, 1])]);
}

#[test]
fn row_30_nothing_equal_looks_equal() {
    let fixture = Fixture::new();
    let store = Memory::new();
    let volume = fixture.format(Arc::new(store.clone()));
    let root = volume.root().unwrap();
    for directory in ["a", "b"] {
        let directory = volume.create(&root, directory.as_bytes(), new(Kind::Directory)).unwrap();
        for (name, content) in [("same", vec![0x41; 20 * BLOCK]), ("small", vec![0x41; 1000])] {
            let inode = volume.create(&directory, name.as_bytes(), new(Kind::File)).unwrap();
            volume.write(&inode, 0, &content, now(), 0).unwrap();
        }
    }
    volume.close().unwrap();
    let (mut seen, mut ones, mut bits) = (HashSet::new(), 0u64, 0u64);
    let mut pieces: Vec<Vec<u8>> = store.names().iter().map(|name| name.bytes.to_vec()).collect();
    for name in store.names() {
        // What was allocated ahead and never written is zeros; the salt stands at the head of both roots.
        let bytes = bytes(&store, name);
        let slots = bytes.chunks(BLOCK).filter(|slot| slot.iter().any(|byte| *byte != 0));
        pieces.extend(slots.flat_map(|slot| slot.chunks(16).skip(1).map(<[u8]>::to_vec)));
    }
    for piece in pieces {
        ones += piece.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
        bits += piece.len() as u64 * 8;
        assert!(seen.insert(piece), "16 bytes that stand in two places");
    }
    // Ten standard deviations of a fair coin.
    let off = ones.abs_diff(bits / 2) as f64;
    assert!(off < 5.0 * (bits as f64).sqrt(), "{ones} of {bits} bits are ones");
}

/// Directories of long and of short names take the same space, and all files are whole blocks.
#[test]
fn row_31_sizes_do_not_tell_names() {
    let lengths = |name: &dyn Fn(usize) -> String| {
        let fixture = Fixture::new();
        let store = Memory::new();
        let volume = fixture.format(Arc::new(store.clone()));
        let root = volume.root().unwrap();
        for number in 0..8 {
            volume.create(&root, name(number).as_bytes(), new(Kind::File)).unwrap();
        }
        volume.close().unwrap();
        let mut lengths: Vec<_> = store.names().iter().map(|name| bytes(&store, *name).len()).collect();
        lengths.sort_unstable();
        assert!(lengths.iter().all(|length| length % BLOCK == 0));
        lengths
    };
    assert_eq!(lengths(&|number| number.to_string()), lengths(&|number| format!("{number:0200}")));
}
