//! Rows 1 to 14: what lies in the chunk files.

use super::Fixture;
use super::fixture::{BLOCK, content, edit, is_eio, swap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

#[test]
fn row_01_a_flipped_bit_costs_one_block() {
    let fixture = Fixture::new();
    edit(&fixture.chunk("blocks"), |bytes| bytes[3 * BLOCK + 1000] ^= 8);
    // Slot 3 is the second block that was written.
    fixture.expect(&["blocks:1"]);
}

#[test]
fn row_01_flipped_bits_in_the_roots() {
    let fixture = Fixture::new();
    edit(&fixture.chunk("twin"), |bytes| bytes[100] ^= 1);
    edit(&fixture.chunk("small"), |bytes| {
        for root in bytes.chunks_mut(BLOCK).take(2) {
            root[100] ^= 1;
        }
    });
    // Of a settled commit either root is enough.
    fixture.expect(&["small"]);
}

#[test]
fn row_02_reorder_the_blocks_of_a_file() {
    let fixture = Fixture::new();
    edit(&fixture.chunk("blocks"), |bytes| {
        let (low, high) = bytes.split_at_mut(3 * BLOCK);
        low[2 * BLOCK..].swap_with_slice(&mut high[..BLOCK]);
    });
    fixture.expect(&["blocks:0", "blocks:1"]);
}

#[test]
fn row_03_a_block_of_one_file_put_into_another() {
    let fixture = Fixture::new();
    let theirs = fs::read(fixture.chunk("twin")).unwrap();
    edit(&fixture.chunk("blocks"), |bytes| {
        bytes[4 * BLOCK..][..BLOCK].copy_from_slice(&theirs[4 * BLOCK..][..BLOCK])
    });
    fixture.expect(&["blocks:2"]);
}

#[test]
fn row_04_swap_two_files_in_one_directory() {
    let fixture = Fixture::new();
    swap(&fixture.chunk("blocks"), &fixture.chunk("twin"));
    swap(&fixture.chunk("small"), &fixture.chunk("other"));
    fixture.expect(&["blocks", "twin", "small", "other"]);
}

#[test]
fn row_05_swap_two_files_across_directories() {
    let fixture = Fixture::new();
    swap(&fixture.chunk("x/one"), &fixture.chunk("y/one"));
    fixture.expect(&["x/one", "y/one"]);
}

#[test]
fn row_06_let_a_directory_read_anothers_contents() {
    let fixture = Fixture::new();
    fs::copy(fixture.chunk("y"), fixture.chunk("x")).unwrap();
    fixture.expect(&["x"]);
}

#[test]
fn row_07_delete_a_directorys_chunk() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.chunk("x")).unwrap();
    fixture.expect(&["x"]);
}

#[test]
fn row_08_delete_a_files_chunk() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.chunk("small")).unwrap();
    fs::remove_file(fixture.chunk("y/one")).unwrap();
    fixture.expect(&["small", "y/one"]);
}

/// What lies in the other chunks can be read.
#[test]
fn row_08_delete_the_last_chunk_of_a_large_file() {
    let fixture = Fixture::new();
    let last =
        fixture.chunks("big").into_iter().min_by_key(|chunk| fs::metadata(chunk).unwrap().len()).unwrap();
    fs::remove_file(last).unwrap();
    let mut found = vec![0; 2 << 20];
    let beyond = fixture.session(|plain| {
        let file = File::open(plain.join("big")).unwrap();
        file.read_exact_at(&mut found, 0).unwrap();
        file.read_at(&mut [0], 2_400_000).unwrap_err()
    });
    assert!(found == content("big")[..2 << 20] && is_eio(&beyond));
    fixture.expect(&["big"]);
}

#[test]
fn row_09_bring_back_a_deleted_files_chunk() {
    let fixture = Fixture::new();
    let kept: Vec<_> = ["small", "x/one", "big"]
        .iter()
        .flat_map(|path| fixture.chunks(path))
        .map(|chunk| (chunk.clone(), fs::read(chunk).unwrap()))
        .collect();
    fixture.session(|plain| {
        for path in ["small", "x/one", "big"] {
            fs::remove_file(plain.join(path)).unwrap();
        }
    });
    for (chunk, bytes) in kept {
        assert!(!chunk.exists());
        fs::create_dir_all(chunk.parent().unwrap()).unwrap();
        fs::write(chunk, bytes).unwrap();
    }
    for _ in 0..2 {
        fixture.session(|plain| {
            assert_eq!(fixture.list("").unwrap(), ["blocks", "other", "twin", "x", "y"]);
            assert_eq!(fixture.list("x").unwrap(), ["two"]);
            assert!(fs::read(plain.join("small")).is_err());
        });
    }
    fixture.session(|plain| fs::write(plain.join("small"), "another").unwrap());
    fixture.session(|plain| assert_eq!(fs::read(plain.join("small")).unwrap(), b"another"));
}

#[test]
fn row_10_truncate_at_a_block_boundary() {
    let fixture = Fixture::new();
    edit(&fixture.chunk("blocks"), |bytes| bytes.truncate(5 * BLOCK));
    edit(&fixture.chunk("x/one"), |bytes| bytes.truncate(2 * BLOCK));
    edit(&fixture.chunk("small"), |bytes| bytes.truncate(0));
    fixture.expect(&["blocks", "x/one", "small"]);
}

#[test]
fn row_11_zero_an_aligned_block() {
    let fixture = Fixture::new();
    edit(&fixture.chunk("blocks"), |bytes| bytes[2 * BLOCK..][..BLOCK].fill(0));
    edit(&fixture.chunk("other"), |bytes| bytes.fill(0));
    fixture.expect(&["blocks:0", "other"]);
}

#[test]
fn row_12_append_to_a_chunk_file() {
    let fixture = Fixture::new();
    for path in ["small", "blocks", "x", "x/one"] {
        edit(&fixture.chunk(path), |bytes| bytes.extend_from_within(bytes.len() - BLOCK..));
    }
    fixture.expect(&[]);
}

/// Each mix of slots of two versions is the newer one or an error.
#[test]
fn row_14_mix_the_blocks_of_two_versions() {
    let fixture = Fixture::new();
    let chunk = fixture.chunk("blocks");
    let older = fs::read(&chunk).unwrap();
    let new: Vec<u8> = content("blocks").iter().map(|byte| !byte).collect();
    fixture.session(|plain| {
        File::options().write(true).open(plain.join("blocks")).unwrap().write_all_at(&new, 0).unwrap();
    });
    let newer = fs::read(&chunk).unwrap();
    let mut errors = 0;
    for slots in [0..1, 0..2, 2..4, 2..newer.len() / BLOCK, 0..7] {
        let mut mix = newer.clone();
        let mixed = slots.start * BLOCK..(slots.end * BLOCK).min(older.len());
        mix[mixed.clone()].copy_from_slice(&older[mixed]);
        fs::write(&chunk, &mix).unwrap();
        fixture.session(|plain| match fs::read(plain.join("blocks")) {
            Ok(found) => assert!(found == new, "slots {slots:?}"),
            Err(error) => {
                assert!(is_eio(&error), "{error}");
                errors += 1;
            }
        });
    }
    assert!(errors > 0);
    fs::write(&chunk, &newer).unwrap();
    fixture.session(|plain| assert!(fs::read(plain.join("blocks")).unwrap() == new));
}
