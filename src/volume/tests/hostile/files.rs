//! Rows 1 to 5, 8, 10 to 12, 14 and 23: the chunk files of files.

use super::*;
use crate::chunk::ChunkIndex;

#[test]
fn row_01_flip_one_bit_anywhere() {
    let victim = HostileFixture::new();
    let (mut harmful, mut tries) = (0, 0);
    for (name, chunk) in victim.chunks() {
        let bytes = {
            victim.store.restore(&victim.left);
            victim.bytes(name)
        };
        // Both roots from place to place, and some of every slot.
        for offset in (13..bytes.len()).step_by(if bytes.len() > 100_000 { 90_007 } else { 1_021 }) {
            let what = format!("a bit of byte {offset} of {chunk:?}");
            let broken = victim.attack(&[chunk], &what, || {
                let mut bytes = bytes.clone();
                bytes[offset] ^= 1 << (offset % 8);
                victim.put(name, &bytes);
            });
            harmful += usize::from(!broken.is_empty());
            tries += 1;
        }
    }
    println!("{harmful} of {tries} flipped bits were met");
    assert!(harmful > tries / 20);
}

#[test]
fn row_01_a_flipped_bit_costs_one_block() {
    let victim = HostileFixture::new();
    let name = victim.name("blocks", 0);
    let mut met = Vec::new();
    for slot in 2..victim.bytes(name).len() / BLOCK {
        let broken = victim.attack(&[victim.identify(name)], "a flipped bit", || {
            let mut bytes = victim.bytes(name);
            bytes[slot * BLOCK + 17] ^= 4;
            victim.put(name, &bytes);
        });
        let volume = victim.open().unwrap();
        let bad = bad_blocks(&volume, &find(&volume, "blocks").unwrap(), &victim.files["blocks"]);
        assert_eq!(broken.len(), bad.len());
        met.extend(bad);
    }
    met.sort_unstable();
    assert_eq!(met, [0, 1, 2, 3, 4], "each slot of a block is one block, and no two the same");
}

#[test]
fn row_02_reorder_the_blocks_of_a_file() {
    let victim = HostileFixture::new();
    let name = victim.name("blocks", 0);
    let slots = victim.bytes(name).len() / BLOCK;
    for (a, b) in (0..slots).flat_map(|a| (0..a).map(move |b| (a, b))) {
        let what = format!("slots {a} and {b} change places");
        let broken = victim.attack(&[victim.identify(name)], &what, || {
            let mut bytes = victim.bytes(name);
            let (low, high) = bytes.split_at_mut(a * BLOCK);
            low[b * BLOCK..][..BLOCK].swap_with_slice(&mut high[..BLOCK]);
            victim.put(name, &bytes);
        });
        assert_eq!(broken, ["blocks"], "{what}");
    }
}

#[test]
fn row_03_a_block_of_one_file_put_into_another() {
    let victim = HostileFixture::new();
    let (from, to) = (victim.name("twin", 0), victim.name("blocks", 0));
    for slot in 2..victim.bytes(to).len() / BLOCK {
        let broken = victim.attack(&[victim.identify(to)], "a block of another file", || {
            let mut bytes = victim.bytes(to);
            bytes[slot * BLOCK..][..BLOCK].copy_from_slice(&victim.bytes(from)[slot * BLOCK..][..BLOCK]);
            victim.put(to, &bytes);
        });
        assert_eq!(broken, ["blocks"], "slot {slot}");
    }
}

fn swapped(a: (&str, u32), b: (&str, u32)) -> Vec<&'static str> {
    let victim = HostileFixture::new();
    let (a, b) = (victim.name(a.0, a.1), victim.name(b.0, b.1));
    victim.attack(&[victim.identify(a), victim.identify(b)], "a swap", || victim.swap(a, b))
}

#[test]
fn row_04_swap_two_files_in_one_directory() {
    assert_eq!(swapped(("blocks", 0), ("twin", 0)), ["blocks", "twin"]);
    assert_eq!(swapped(("small", 0), ("other", 0)), ["other", "small"]);
    assert_eq!(swapped(("big", 1), ("big", 2)), ["big"]);
    assert_eq!(swapped(("big", 0), ("blocks", 0)), ["big", "blocks"]);
}

#[test]
fn row_05_swap_two_files_across_directories() {
    assert_eq!(swapped(("x/one", 0), ("y/one", 0)), ["x/one", "y/one"]);
    assert_eq!(swapped(("x/two", 0), ("y/three", 0)), ["x/two", "y/three"]);
}

#[test]
fn row_08_delete_a_files_chunk() {
    let victim = HostileFixture::new();
    for (path, index) in [("small", 0), ("blocks", 0), ("x/one", 0), ("big", 0), ("big", 1), ("big", 2)] {
        let name = victim.name(path, index);
        let chunk = victim.identify(name);
        let broken = victim.attack(&[chunk], "a deleted chunk", || victim.store.remove(name).unwrap());
        assert_eq!(broken, [path], "chunk {index}");
        let volume = victim.open().unwrap();
        let error = read_path(&volume, path).unwrap_err();
        assert!(matches!(error, Error::Damaged(named, _) if named == chunk), "{error}");
        if index > 0 {
            let bad = bad_blocks(&volume, &find(&volume, path).unwrap(), &victim.files[path]);
            let of_chunk = |block: usize| GEOMETRY.locate((block * BLOCK) as u64).0 == ChunkIndex(index);
            let blocks = victim.files[path].len().div_ceil(BLOCK);
            assert_eq!(bad, (0..blocks).filter(|block| of_chunk(*block)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn row_08_what_is_missing_is_listed_and_can_be_removed() {
    let victim = HostileFixture::new();
    victim.store.remove(victim.name("x/one", 0)).unwrap();
    victim.store.remove(victim.name("big", 1)).unwrap();
    let volume = victim.open().unwrap();
    let (root, x) = (volume.root().unwrap(), find(&volume, "x").unwrap());
    assert_eq!(names(&volume, &x), ["two", "one"]);
    assert!(volume.unlink(&x, b"one", now()).unwrap().is_none());
    let big = volume.unlink(&root, b"big", now()).unwrap().unwrap();
    volume.release(big);
    drop((root, x));
    volume.close().unwrap();
    let volume = victim.open().unwrap();
    assert_eq!(names(&volume, &find(&volume, "x").unwrap()), ["two"]);
    assert_eq!(names(&volume, &volume.root().unwrap()), ["twin", "blocks", "other", "small", "y", "x"]);
    assert!(!victim.store.names().contains(&victim.name("big", 2)), "the chunks that were left are gone");
}

#[test]
fn row_10_truncate_at_a_block_boundary() {
    let victim = HostileFixture::new();
    for (path, index) in [("small", 0), ("blocks", 0), ("x/one", 0), ("big", 0), ("big", 2)] {
        let name = victim.name(path, index);
        let bytes = {
            victim.store.restore(&victim.left);
            victim.bytes(name)
        };
        let slots = bytes.len() / BLOCK;
        for kept in (0..slots).step_by(slots.div_ceil(12)) {
            for extra in [0, 100] {
                let broken = victim.attack(&[victim.identify(name)], "a truncation", || {
                    victim.put(name, &bytes[..kept * BLOCK + extra]);
                });
                // Either root is enough for what lies in it.
                let whole = path == "small" && kept > 0;
                assert_eq!(broken.is_empty(), whole, "{path} chunk {index} cut to {kept} slots");
            }
        }
    }
}

#[test]
fn row_11_zero_an_aligned_block() {
    let victim = HostileFixture::new();
    for (name, chunk) in victim.chunks() {
        let bytes = {
            victim.store.restore(&victim.left);
            victim.bytes(name)
        };
        let slots = bytes.len() / BLOCK;
        let mut harmful = 0;
        for slot in (0..slots).step_by(slots.div_ceil(12)) {
            let broken = victim.attack(&[chunk], "a zeroed block", || {
                let mut bytes = bytes.clone();
                bytes[slot * BLOCK..][..BLOCK].fill(0);
                victim.put(name, &bytes);
            });
            harmful += usize::from(!broken.is_empty());
        }
        let both = victim.attack(&[chunk], "both roots zeroed", || {
            let mut bytes = bytes.clone();
            bytes[..slots.min(2) * BLOCK].fill(0);
            victim.put(name, &bytes);
        });
        assert!(!both.is_empty(), "{chunk:?}");
        assert!(slots <= 2 || harmful > 0 || chunk.inode.journal_of().is_some(), "{chunk:?}");
    }
}

#[test]
fn row_12_append_to_a_chunk_file() {
    let victim = HostileFixture::new();
    for (name, chunk) in victim.chunks() {
        let bytes = {
            victim.store.restore(&victim.left);
            victim.bytes(name)
        };
        let last = bytes[bytes.len() - BLOCK..].to_vec();
        for more in [last, vec![0; 3 * BLOCK], pattern(BLOCK + 77, 3), bytes.clone()] {
            let broken = victim.attack(&[chunk], "something appended", || {
                victim.put(name, &[&bytes[..], &more].concat());
            });
            assert_eq!(broken, [""; 0], "{chunk:?}");
        }
    }
}

/// Every mix of the slots of two versions of one chunk is one of the two, or an error.
#[test]
fn row_14_mix_the_blocks_of_two_versions() {
    let victim = HostileFixture::new();
    let name = victim.name("blocks", 0);
    let (older, content) = (victim.bytes(name), victim.files["blocks"].clone());
    let volume = victim.open().unwrap();
    let newer_content = pattern(content.len(), 99);
    for content in [pattern(content.len(), 98), newer_content.clone()] {
        // The second goes where the first version was.
        volume.write(&find(&volume, "blocks").unwrap(), 0, &content, now(), 0).unwrap();
        volume.checkpoint().unwrap();
    }
    volume.close().unwrap();
    drop(volume);
    let newer = victim.bytes(name);
    let slots = older.len().min(newer.len()) / BLOCK;
    let mut errors = 0;
    for mix in 1..1 << slots {
        let mut bytes = newer.clone();
        for slot in (0..slots).filter(|slot| mix >> slot & 1 == 1) {
            bytes[slot * BLOCK..][..BLOCK].copy_from_slice(&older[slot * BLOCK..][..BLOCK]);
        }
        victim.put(name, &bytes);
        let volume = victim.open().unwrap();
        match read_path(&volume, "blocks") {
            Ok(found) => assert!(found == content || found == newer_content, "mix {mix:b} is no version"),
            Err(error) => {
                assert_damage(&error, "a mix");
                errors += 1;
            }
        }
    }
    assert!(errors > 0);
}

/// A chunk that was cut off and made anew is not taken for the one that was there before.
#[test]
fn row_14_a_chunk_from_before_its_file_was_cut() {
    let victim = HostileFixture::new();
    let name = victim.name("big", 1);
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    volume.resize(&inode, 10, now(), 0).unwrap();
    volume.checkpoint().unwrap();
    volume.write(&inode, 0, &pattern(2_300_000, 77), now(), 0).unwrap();
    drop(inode);
    volume.close().unwrap();
    drop(volume);
    victim.store.restore_file(&victim.left, name);
    let volume = victim.open().unwrap();
    let error = read_path(&volume, "big").unwrap_err();
    assert!(matches!(&error, Error::Damaged(chunk, _) if *chunk == victim.identify(name)), "{error}");
    let bad = bad_blocks(&volume, &find(&volume, "big").unwrap(), &pattern(2_300_000, 77));
    assert_eq!(bad.len() as u64, CHUNK / BLOCK as u64);
}

/// Old chunks lie where a file is about to grow: they show neither in the hole nor behind it.
#[test]
fn row_23_planted_chunks_of_the_names_to_come() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    volume.resize(&inode, 10, now(), 0).unwrap();
    drop(inode);
    volume.close().unwrap();
    drop(volume);
    let mut expected = victim.files["big"][..10].to_vec();
    for index in [1, 2] {
        victim.store.restore_file(&victim.left, victim.name("big", index));
    }
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    assert!(read_all(&volume, &inode).unwrap() == expected);
    expected.resize(1_200_000, 0);
    expected.extend_from_slice(b"new");
    volume.write(&inode, 1_200_000, b"new", now(), 0).unwrap();
    expected.resize(3_000_000, 0);
    volume.resize(&inode, 3_000_000, now(), 0).unwrap();
    assert!(read_all(&volume, &inode).unwrap() == expected);
    drop(inode);
    volume.close().unwrap();
    drop(volume);
    victim.store.restore_file(&victim.left, victim.name("big", 2));
    assert!(read_path(&victim.open().unwrap(), "big").unwrap() == expected);
}
