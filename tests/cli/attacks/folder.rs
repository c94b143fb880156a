//! Rows 21 to 28 and 30: what else a folder can be made to hold.

use super::Fixture;
use super::fixture::{BLOCK, content};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What may stand in the place of a file: making it, and what it is called.
type Plant = (&'static str, fn(&Path, &Path));

/// Things that are no regular file; the second path is a regular file outside.
const KINDS: [Plant; 5] = [
    ("a link", |path, outside| symlink(outside, path).unwrap()),
    ("a pipe", |path, _| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("a folder", |path, _| fs::create_dir(path).unwrap()),
    ("a socket", |path, _| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ("a device", |path, _| {
        // As root only; /dev/zero has no end.
        let made = Command::new("mknod").arg(path).args(["c", "1", "5"]).output().unwrap();
        if !made.status.success() {
            symlink("/dev/zero", path).unwrap();
        }
    }),
];

fn within(limit: Duration, what: &str, act: impl FnOnce()) {
    let start = Instant::now();
    act();
    assert!(start.elapsed() < limit, "{what} took {:?}", start.elapsed());
}

#[test]
fn row_21_no_regular_file_in_the_place_of_the_header() {
    let fixture = Fixture::new();
    let header = fixture.sandbox.backing().join("cryptfs.json");
    let outside = fixture.sandbox.path("outside");
    fs::rename(&header, &outside).unwrap();
    for (kind, plant) in KINDS {
        plant(&header, &outside);
        within(Duration::from_secs(60), kind, || drop(fixture.sandbox.fails(&mut fixture.mount(), 12)));
        if header.is_dir() && !header.is_symlink() {
            fs::remove_dir(&header)
        } else {
            fs::remove_file(&header)
        }
        .unwrap();
    }
    // A header as long as a disk, and one that nests as deep as it may be long.
    File::create(&header).unwrap().set_len(1 << 40).unwrap();
    within(Duration::from_secs(60), "a long header", || {
        drop(fixture.sandbox.fails(&mut fixture.mount(), 12))
    });
    for bracket in ["[", "{\"a\":"] {
        fs::write(&header, bracket.repeat((64 << 10) / bracket.len())).unwrap();
        fixture.sandbox.fails(&mut fixture.mount(), 12);
    }
    fs::remove_file(&header).unwrap();
    fs::rename(&outside, &header).unwrap();
    fixture.expect(&[]);
}

/// What is no slot is passed over; the slots that are left open the volume.
#[test]
fn row_21_no_regular_files_among_the_slots() {
    let fixture = Fixture::new();
    let keys = fixture.sandbox.backing().join("keys");
    let real = fixture.slot();
    for (number, (_, plant)) in KINDS.into_iter().enumerate() {
        plant(&keys.join(format!("{number:032}.json")), &real);
    }
    File::create(keys.join(format!("{:032}.json", 10))).unwrap().set_len(1 << 40).unwrap();
    let text = fs::read_to_string(&real).unwrap();
    let id = real.file_stem().unwrap().to_str().unwrap();
    fs::write(keys.join(format!("{:032}.json", 11)), text.replace(id, "../../../../etc/passwd")).unwrap();
    fs::write(keys.join(format!("{:032}.json", 12)), "[".repeat(64 << 10)).unwrap();
    within(Duration::from_secs(300), "the mount", || fixture.expect(&[]));
}

#[test]
fn row_21_no_regular_files_in_the_place_of_chunks() {
    let fixture = Fixture::new();
    let outside = fixture.sandbox.path("outside");
    fs::copy(fixture.chunk("other"), &outside).unwrap();
    let victims = ["small", "blocks", "x/one", "x/two", "y/one"];
    for (victim, (_, plant)) in victims.into_iter().zip(KINDS) {
        fs::remove_file(fixture.chunk(victim)).unwrap();
        plant(&fixture.chunk(victim), &outside);
    }
    // A folder, unlike the others, is not removed with the entry whose place it took.
    fixture.expect(&victims);
    assert!(fixture.chunk("x/one").is_dir());
    assert_eq!(fs::read(&outside).unwrap(), fs::read(fixture.chunk("other")).unwrap());
}

/// Chunk files of another volume, under the names of this one's.
#[test]
fn row_22_the_chunks_of_another_volume() {
    let (fixture, other) = (Fixture::new(), crate::sandbox::Sandbox::with_volume());
    other.succeeds(&mut other.mount());
    fs::write(other.plain().join("small"), content("small")).unwrap();
    other.unmounts();
    let theirs =
        Command::new("find").arg(other.backing().join("chunks")).args(["-type", "f"]).output().unwrap();
    for theirs in String::from_utf8(theirs.stdout).unwrap().lines() {
        fs::copy(theirs, fixture.chunk("small")).unwrap();
    }
    fixture.expect(&["small"]);
}

/// Old chunks lie where a file is about to grow: they show neither in the hole nor behind it.
#[test]
fn row_23_planted_chunks_of_the_names_to_come() {
    let fixture = Fixture::new();
    let old: Vec<_> =
        fixture.chunks("big").into_iter().map(|chunk| (chunk.clone(), fs::read(chunk).unwrap())).collect();
    let resize = |length| {
        fixture.session(|plain| {
            File::options().write(true).open(plain.join("big")).unwrap().set_len(length).unwrap()
        });
    };
    resize(10);
    let plant = || {
        for (chunk, bytes) in old.iter().filter(|(chunk, _)| !chunk.exists()) {
            fs::create_dir_all(chunk.parent().unwrap()).unwrap();
            fs::write(chunk, bytes).unwrap();
        }
    };
    plant();
    let read = || fixture.session(|plain| fs::read(plain.join("big")).unwrap());
    let mut expected = content("big")[..10].to_vec();
    assert!(read() == expected);
    resize(2_500_000);
    plant();
    expected.resize(2_500_000, 0);
    assert!(read() == expected);
}

#[test]
fn row_25_the_case_of_names() {
    let fixture = Fixture::new();
    for path in ["small", "x/one"] {
        let chunk = fixture.chunk(path);
        let name = chunk.file_name().unwrap().to_str().unwrap().to_uppercase();
        fs::rename(&chunk, chunk.with_file_name(name)).unwrap();
    }
    fixture.expect(&["small", "x/one"]);
}

#[test]
fn row_26_what_the_backing_files_say_of_themselves() {
    let fixture = Fixture::new();
    let look = || {
        fixture.session(|plain| {
            let of = fs::metadata(plain.join("blocks")).unwrap();
            (of.mode(), of.uid(), of.mtime(), of.mtime_nsec(), of.len(), of.nlink())
        })
    };
    let before = look();
    for path in ["blocks", "x", "small"] {
        let chunk = fixture.chunk(path);
        fs::set_permissions(&chunk, fs::Permissions::from_mode(0o6777)).unwrap();
        File::options().write(true).open(&chunk).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::hard_link(&chunk, fixture.sandbox.path(&path.replace('/', "-"))).unwrap();
        // Not every filesystem has these: then there is nothing to ignore.
        let _ = Command::new("setfattr").args(["-n", "user.evil", "-v", "1"]).arg(&chunk).status();
    }
    assert_eq!(look(), before);
    fixture.expect(&[]);
}

/// A million scaled down: the mount neither opens them nor keeps them in memory.
#[test]
fn row_28_thousands_of_planted_files_and_huge_lengths() {
    let fixture = Fixture::new();
    let backing = fixture.sandbox.backing();
    for number in 0u32..20_000 {
        let digits =
            format!("{:032x}", u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let (folder, name) = digits.split_at(2);
        fs::create_dir_all(backing.join("chunks").join(folder)).unwrap();
        fs::write(backing.join("chunks").join(folder).join(name), "").unwrap();
        fs::write(backing.join("journals").join(digits), "").unwrap();
    }
    for path in ["small", "blocks", "x"] {
        File::options().write(true).open(fixture.chunk(path)).unwrap().set_len(1 << 40).unwrap();
    }
    fixture.session(|plain| {
        assert!(fs::read(plain.join("blocks")).unwrap() == content("blocks"));
        let status = fs::read_to_string(format!("/proc/{}/status", fixture.sandbox.daemon())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 100 << 10, "the daemon took {peak} KiB");
    });
    fixture.expect(&[]);
}

/// Equal files of two directories have no sixteen bytes in common.
#[test]
fn row_30_nothing_equal_looks_equal() {
    let fixture = Fixture::new();
    let new = fixture.made_by(|plain| {
        for folder in ["x", "y"] {
            fs::write(plain.join(folder).join("the same"), [0x41; 10 * BLOCK]).unwrap();
        }
    });
    assert_eq!(new.len(), 2);
    let mut seen = std::collections::HashSet::new();
    for file in new {
        // The salt stands at the head of both roots; what was never written is zeros.
        for (at, piece) in fs::read(file).unwrap().chunks(16).enumerate() {
            let expected = at * 16 % BLOCK == 0 || piece.iter().all(|byte| *byte == 0);
            assert!(expected || seen.insert(piece.to_vec()), "16 bytes that stand in two places");
        }
    }
}

#[test]
fn row_28_a_folder_of_slots_without_an_end() {
    let fixture = Fixture::new();
    let keys = fixture.sandbox.backing().join("keys");
    for number in 0..11_000 {
        fs::write(keys.join(format!("{number} (conflicted copy).json")), "").unwrap();
    }
    within(Duration::from_secs(60), "the mount", || fixture.expect(&[]));
}
