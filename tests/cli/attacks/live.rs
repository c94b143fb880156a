//! Row 27: chunk files that are exchanged while they are open.

use super::Fixture;
use super::fixture::{BLOCK, content, is_eio, swap};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

/// Puts another file under the name, as a sync client does; whoever has the former one open keeps it.
fn exchange(path: &std::path::Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

/// Nothing is acknowledged against a file that is not there any more.
#[test]
fn row_27_a_chunk_that_is_replaced_while_it_is_open() {
    let fixture = Fixture::new();
    let theirs = fs::read(fixture.chunk("twin")).unwrap();
    fixture.session(|plain| {
        let file = File::options().read(true).write(true).open(plain.join("blocks")).unwrap();
        file.write_all_at(b"ours", 0).unwrap();
        file.sync_all().unwrap();
        exchange(&fixture.chunk("blocks"), &theirs);
        file.write_all_at(b"more", 4).unwrap();
        assert!(is_eio(&file.sync_all().unwrap_err()));
        for path in ["other", "y/one", "big"] {
            assert!(fs::read(plain.join(path)).unwrap() == content(path), "{path}");
        }
    });
    // The file that was open has all of it still: it is written anew.
    let mut whole = content("blocks");
    whole[..8].copy_from_slice(b"oursmore");
    fixture.session(|plain| {
        let found = fs::read(plain.join("blocks")).unwrap();
        assert!(found == whole, "{:?}", &found[..16]);
        fs::write(plain.join("blocks"), content("blocks")).unwrap();
    });
    assert!(fixture.log().contains("blocks: was exchanged while it was open"), "{}", fixture.log());
    fixture.expect(&[]);
}

/// The names of two files change places while both are being read, again and again: each read is right or an error.
#[test]
fn row_27_files_that_are_exchanged_between_check_and_use() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.chunk("blocks"), fixture.chunk("twin"));
    let mut outcomes = [0, 0];
    fixture.session(|plain| {
        for round in 0..200 {
            if round % 2 == 0 {
                let held = one.with_extension("held");
                fs::rename(&one, &held).unwrap();
                fs::rename(&other, &one).unwrap();
                fs::rename(held, &other).unwrap();
            } else {
                swap(&one, &other);
            }
            for path in ["blocks", "twin"] {
                let file = File::open(plain.join(path)).and_then(|file| {
                    let mut block = [0; BLOCK];
                    file.read_exact_at(&mut block, (round % 5 * BLOCK) as u64).map(|()| block)
                });
                match file {
                    Ok(block) => assert!(block[..] == content(path)[round % 5 * BLOCK..][..BLOCK], "{path}"),
                    Err(error) => assert!(is_eio(&error), "{error}"),
                }
                outcomes[usize::from(fs::read(plain.join(path)).is_ok())] += 1;
            }
            assert!(fs::read(plain.join("other")).unwrap() == content("other"));
        }
    });
    println!("errors and reads: {outcomes:?}");
    fixture.expect(&[]);
}

/// The backing file is cut while the daemon has it open.
#[test]
fn row_27_a_chunk_that_is_cut_while_it_is_open() {
    let fixture = Fixture::new();
    let mut unharmed = content("x/one");
    fixture.session(|plain| {
        let file = File::open(plain.join("big")).unwrap();
        file.read_exact_at(&mut [0; BLOCK], 0).unwrap();
        for chunk in fixture.chunks("big") {
            File::options().write(true).open(chunk).unwrap().set_len(0).unwrap();
        }
        let mut block = vec![0; BLOCK];
        match file.read_exact_at(&mut block, 2_000_000) {
            Ok(()) => assert!(block == content("big")[2_000_000..][..BLOCK]),
            Err(error) => assert!(is_eio(&error), "{error}"),
        }
        File::options().append(true).open(plain.join("x/one")).unwrap().write_all(b"more").unwrap();
    });
    unharmed.extend_from_slice(b"more");
    fixture.session(|plain| {
        assert!(fs::read(plain.join("x/one")).unwrap() == unharmed);
        assert!(is_eio(&fs::read(plain.join("big")).unwrap_err()));
        fs::remove_file(plain.join("big")).unwrap();
    });
}
