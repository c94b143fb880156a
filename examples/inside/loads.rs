//! The loads, each at any size.

use super::{Bench, CALLER, step};
use cryptfs::fs::Filesystem;
use cryptfs::fs::ops::{
    Kind, NewNode, NodeId, Operations, RenameFlags, SetAttributes, SetTime, Timestamp, WriteHow,
};

type Load = fn(&Bench, u64);

/// Name, what it does if no count is given, and what it does.
const LOADS: &[(&str, u64, Load)] = &[
    ("small", 5_000, small),
    ("synced", 1_000, synced),
    ("large", 256, large),
    ("sparse", 100 << 10, sparse),
    ("folder", 100_000, folder),
    ("volume", 100_000, volume),
];

pub fn names() -> String {
    LOADS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

pub fn run(name: &str, bench: &Bench, count: Option<u64>) -> bool {
    let Some((_, usual, load)) = LOADS.iter().find(|(known, ..)| *known == name) else { return false };
    load(bench, count.unwrap_or(*usual));
    true
}

const FILE: NewNode = NewNode { kind: Kind::File, mode: 0o644, umask: 0o022, device: 0 };
const BLOCK: u64 = 4096;
const PLACES: u64 = 20_000;
/// Names of one inode, where only names are wanted: few, as its record tells them all.
const LINKS: u64 = 50;

fn create(fs: &Filesystem, parent: NodeId, name: &str) -> NodeId {
    fs.make_node(CALLER, parent, name.as_bytes(), &FILE).expect("a file can be made").node
}

fn folder_in(fs: &Filesystem, parent: NodeId, name: &str) -> NodeId {
    fs.make_directory(CALLER, parent, name.as_bytes(), 0o755, 0).expect("a folder can be made").node
}

fn find(fs: &Filesystem, parent: NodeId, name: &str) -> NodeId {
    fs.lookup(CALLER, parent, name.as_bytes()).expect("it can be read").expect("it is there").node
}

fn write(fs: &Filesystem, node: NodeId, offset: u64, data: &[u8]) {
    fs.write(node, offset, data, WriteHow::default()).expect("there is room");
}

fn look_up_all(fs: &Filesystem, folder: NodeId, count: u64, name: impl Fn(u64) -> String) {
    for number in 0..count {
        find(fs, folder, &name(number));
    }
}

/// As a closing file under the writeback cache does.
fn set_times(fs: &Filesystem, node: NodeId) {
    let now = Timestamp::now();
    let change =
        SetAttributes { modified: Some(SetTime::To(now)), changed: Some(now), ..SetAttributes::default() };
    fs.set_attributes(CALLER, node, &change).expect("times can be set");
}

/// Lists a folder with its attributes as the kernel does, so many entries a request; returns how many there were.
fn list(fs: &Filesystem, node: NodeId, plus: bool) -> u64 {
    let (mut cookie, mut seen) = (0, 0);
    loop {
        let (before, after) = (seen, cookie);
        let mut nodes = Vec::new();
        let mut sink = |entry: &cryptfs::fs::ops::DirectoryEntry<'_>| {
            if seen - before == 40 {
                return false;
            }
            cookie = entry.cookie;
            nodes.extend(entry.entry.map(|entry| entry.node));
            seen += 1;
            true
        };
        fs.read_directory(node, after, plus, &mut sink).expect("it can be listed");
        nodes.into_iter().for_each(|node| fs.forget(node, 1));
        if seen == before {
            return seen - 2;
        }
    }
}

/// The same places each time.
fn places(size: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 20) % (size / BLOCK) * BLOCK
    })
}

/// Small files of 1000 bytes in one folder: made, looked up and listed after a remount, renamed, unlinked.
fn small(bench: &Bench, count: u64) {
    let fs = bench.open();
    let folder = folder_in(&fs, NodeId::ROOT, "small");
    let content = [7; 1000];
    step("create", count, || {
        for number in 0..count {
            let node = create(&fs, folder, &format!("file {number}"));
            write(&fs, node, 0, &content);
            set_times(&fs, node);
        }
    });
    step("close", count, || fs.shut_down().unwrap());
    drop(fs);
    let fs = step("open", 1, || bench.open());
    let folder = find(&fs, NodeId::ROOT, "small");
    step("list after a remount", count, || list(&fs, folder, true));
    drop(fs);
    let fs = bench.open();
    let folder = find(&fs, NodeId::ROOT, "small");
    let name = |number| format!("file {number}");
    step("lookup after a remount", count, || look_up_all(&fs, folder, count, name));
    step("lookup", count, || look_up_all(&fs, folder, count, name));
    let mut buffer = [0; 4096];
    step("read", count, || {
        (0..count).for_each(|n| assert_eq!(fs.read(find(&fs, folder, &name(n)), 0, &mut buffer), Ok(1000)));
    });
    step("rename", count, || {
        for n in 0..count {
            let to = format!("renamed {n}");
            let flags = RenameFlags::default();
            fs.rename(CALLER, (folder, name(n).as_bytes()), (folder, to.as_bytes()), flags).expect("renamed");
        }
    });
    step("unlink", count, || {
        for n in 0..count {
            let name = format!("renamed {n}");
            let node = find(&fs, folder, &name);
            fs.unlink(CALLER, folder, name.as_bytes()).expect("unlinked");
            fs.forget(node, 4);
        }
    });
    step("close", count, || fs.shut_down().unwrap());
}

/// What is made durable at once.
fn synced(bench: &Bench, count: u64) {
    let fs = bench.open();
    let folder = folder_in(&fs, NodeId::ROOT, "synced");
    step("create + write + fsync", count, || {
        for number in 0..count {
            let node = create(&fs, folder, &format!("file {number}"));
            write(&fs, node, 0, &[7; 1000]);
            fs.sync(node, false).expect("synced");
        }
    });
    let node = create(&fs, folder, "large");
    write(&fs, node, 0, &vec![1; 64 << 20]);
    fs.sync(node, false).expect("synced");
    step("overwrite + fdatasync", count, || {
        for place in places(64 << 20).take(count as usize) {
            write(&fs, node, place, &[2; BLOCK as usize]);
            fs.sync(node, true).expect("synced");
        }
    });
    let node = create(&fs, folder, "log");
    step("append 100 bytes + fsync", count, || {
        for number in 0..count {
            write(&fs, node, number * 100, &[3; 100]);
            fs.sync(node, false).expect("synced");
        }
    });
    fs.shut_down().unwrap();
}

/// One file of `megabytes`: written from end to end, read after a remount, read and overwritten at random.
fn large(bench: &Bench, megabytes: u64) {
    let (size, piece) = (megabytes << 20, vec![5; 1 << 20]);
    let fs = bench.open();
    let node = create(&fs, NodeId::ROOT, "large");
    step("write 1 MiB", megabytes, || {
        (0..megabytes).for_each(|at| write(&fs, node, at << 20, &piece));
        fs.sync(node, false).expect("synced");
    });
    fs.shut_down().unwrap();
    drop(fs);
    let fs = bench.open();
    let node = find(&fs, NodeId::ROOT, "large");
    let mut buffer = vec![0; 128 << 10];
    step("read 128 KiB", megabytes * 8, || {
        for at in (0..size).step_by(buffer.len()) {
            fs.read(node, at, &mut buffer).expect("read");
        }
    });
    scattered(&fs, node, size);
    fs.shut_down().unwrap();
}

/// 4 KiB at random places of a file.
fn scattered(fs: &Filesystem, node: NodeId, size: u64) {
    let mut block = [0; BLOCK as usize];
    step("read 4 KiB at random", PLACES, || {
        for place in places(size).take(PLACES as usize) {
            fs.read(node, place, &mut block).expect("read");
        }
    });
    step("write 4 KiB at random", PLACES, || {
        places(size).take(PLACES as usize).for_each(|place| write(fs, node, place, &block));
        fs.sync(node, true).expect("synced");
    });
    step("write 100 bytes at random", PLACES, || {
        places(size).take(PLACES as usize).for_each(|place| write(fs, node, place + 77, &block[..100]));
        fs.sync(node, true).expect("synced");
    });
}

/// A file of `megabytes` that holds next to nothing: written at both ends and at random, and read.
fn sparse(bench: &Bench, megabytes: u64) {
    let size = megabytes << 20;
    let fs = bench.open();
    let node = create(&fs, NodeId::ROOT, "sparse");
    let block = [9; BLOCK as usize];
    let count = 500;
    let at_random = || places(size).take(count as usize);
    step("write at the ends", 2, || {
        write(&fs, node, size - BLOCK, &block);
        write(&fs, node, 0, &block);
        fs.sync(node, false).expect("synced");
    });
    step("write at random", count, || at_random().for_each(|place| write(&fs, node, place, &block)));
    step("fsync", 1, || fs.sync(node, false).expect("synced"));
    step("overwrite at random", count, || at_random().for_each(|place| write(&fs, node, place, &block)));
    fs.shut_down().unwrap();
    drop(fs);
    let fs = bench.open();
    let node = find(&fs, NodeId::ROOT, "sparse");
    let mut read = [0; BLOCK as usize];
    step("read after a remount", count, || {
        at_random().for_each(|place| assert_eq!(fs.read(node, place, &mut read), Ok(read.len())));
    });
    step("read of holes", count, || {
        for place in at_random() {
            fs.read(node, place ^ (1 << 21), &mut read).expect("read");
        }
    });
    fs.shut_down().unwrap();
}

/// One folder of many names, of links to one file, so that the folder alone is measured.
fn folder(bench: &Bench, count: u64) {
    let fs = bench.open();
    let folder = folder_in(&fs, NodeId::ROOT, "folder");
    let name = |number: u64| format!("some name {number:07}");
    let mut target = NodeId::ROOT;
    step("link", count, || {
        for number in 0..count {
            if number % LINKS == 0 {
                target = create(&fs, folder, &name(number));
            } else {
                fs.link(CALLER, target, folder, name(number).as_bytes()).expect("linked");
            }
        }
    });
    step("fsync of the folder", 1, || fs.sync_directory(folder, false).expect("synced"));
    fs.shut_down().unwrap();
    drop(fs);
    let fs = bench.open();
    let folder = find(&fs, NodeId::ROOT, "folder");
    step("first lookup: load", 1, || find(&fs, folder, &name(1)));
    step("lookup", count, || look_up_all(&fs, folder, count, name));
    assert_eq!(step("list", count, || list(&fs, folder, false)), count);
    let slice = count.min(2_000);
    step("create and fsync one", 1, || {
        create(&fs, folder, "one more");
        fs.sync_directory(folder, false).expect("synced");
    });
    step("rename", slice, || {
        for n in 0..slice {
            let to = format!("moved {n}");
            let flags = RenameFlags::default();
            fs.rename(CALLER, (folder, name(n).as_bytes()), (folder, to.as_bytes()), flags).expect("renamed");
        }
    });
    step("unlink", count - slice, || {
        (slice..count).for_each(|n| fs.unlink(CALLER, folder, name(n).as_bytes()).expect("unlinked"));
    });
    step("close", 1, || fs.shut_down().unwrap());
}

/// A volume of many small files, 1,000 to a folder.
fn volume(bench: &Bench, count: u64) {
    let fs = bench.open();
    let place = |n: u64| (format!("folder {}", n / 1000), format!("file {n}"));
    let mut folder = NodeId::ROOT;
    step("create", count, || {
        for n in 0..count {
            let (parent, name) = place(n);
            if n % 1000 == 0 {
                folder = folder_in(&fs, NodeId::ROOT, &parent);
            }
            let node = create(&fs, folder, &name);
            write(&fs, node, 0, &[7; 100]);
            fs.forget(node, 1);
        }
    });
    step("close", 1, || fs.shut_down().unwrap());
    drop(fs);
    let fs = step("open", 1, || bench.open());
    let sample: Vec<u64> = places(count * BLOCK).map(|place| place / BLOCK).take(1000).collect();
    let look = |fs: &Filesystem, n: u64| {
        let (parent, name) = place(n);
        let folder = find(fs, NodeId::ROOT, &parent);
        find(fs, folder, &name)
    };
    // A folder is loaded whole with its first look-up, which is not what this load is about.
    let folders: std::collections::BTreeSet<u64> = sample.iter().map(|n| n / 1000 * 1000).collect();
    step("first lookup in a folder", folders.len() as u64, || {
        for &n in &folders {
            look(&fs, n);
        }
    });
    step("lookup after a remount", 1000, || {
        for &n in &sample {
            look(&fs, n);
        }
    });
    step("lookup", 1000, || {
        for &n in &sample {
            look(&fs, n);
        }
    });
    step("overwrite + fsync", 1000, || {
        for &n in &sample {
            let node = look(&fs, n);
            write(&fs, node, 0, &[8; 100]);
            fs.sync(node, false).expect("synced");
        }
    });
    step("close", 1, || fs.shut_down().unwrap());
}
