//! What every store must do, whatever it keeps its files in. Each implementation's tests run the one suite.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use super::{Area, FileName, PinName, Pinned, Store, StoreFile};

/// Runs the suite on an empty, writable store.
pub fn check(store: &dyn Store) {
    files_come_and_go(store);
    reads_and_writes(store);
    many_parts(store);
    lengths(store);
    a_replaced_file_lives_on(store);
    listing(store);
    threads(store);
    pinned_files_live_on(store);
    assert!(!store.is_read_only());
    let space = store.space().unwrap();
    assert!(space.block_size > 0 && space.blocks >= space.free && space.free >= space.available);
}

pub fn name(area: Area, first: u8, last: u8) -> FileName {
    let mut bytes = [0x5a; 16];
    (bytes[0], bytes[15]) = (first, last);
    FileName { area, bytes }
}

pub fn contents(file: &dyn StoreFile) -> Vec<u8> {
    let mut bytes = vec![0xee; file.length().unwrap() as usize + 10];
    let read = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(read);
    bytes
}

fn names(store: &dyn Store, area: Area) -> Vec<String> {
    let mut names = Vec::new();
    let mut visit = |name: &[u8], regular: bool| {
        assert!(regular);
        names.push(String::from_utf8(name.to_vec()).unwrap());
    };
    store.list(area, &mut visit).unwrap();
    names.sort_unstable();
    names
}

fn files_come_and_go(store: &dyn Store) {
    for area in [Area::Chunks, Area::Journals] {
        let [one, two] = [name(area, 1, 1), name(area, 2, 2)];
        assert_eq!(store.open(one).err().unwrap().kind(), ErrorKind::NotFound);
        store.remove(one).unwrap();
        store.sync_names(&[one]).unwrap();
        store.create(one).unwrap().write_at(0, &[IoSlice::new(b"one")]).unwrap();
        store.create(two).unwrap().write_at(0, &[IoSlice::new(b"two")]).unwrap();
        store.sync_names(&[one, two]).unwrap();
        assert_eq!(contents(&*store.open(one).unwrap()), b"one");
        assert_eq!(contents(&*store.open(two).unwrap()), b"two");
        store.remove(one).unwrap();
        store.sync_names(&[one]).unwrap();
        assert_eq!(store.open(one).err().unwrap().kind(), ErrorKind::NotFound);
        store.remove(two).unwrap();
    }
    store.sync_all().unwrap();
}

fn reads_and_writes(store: &dyn Store) {
    let file = store.create(name(Area::Chunks, 3, 0)).unwrap();
    assert_eq!(file.read_at(0, &mut [0; 4]).unwrap(), 0);
    file.write_at(5000, &[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]).unwrap();
    assert_eq!(file.length().unwrap(), 5005);
    let mut expected = vec![0; 5000];
    expected.extend(b"abcde");
    assert_eq!(contents(&*file), expected);
    file.write_at(4090, &[IoSlice::new(&[7; 20])]).unwrap();
    expected[4090..4110].fill(7);
    file.sync().unwrap();
    assert_eq!(contents(&*file), expected);
    assert_eq!(contents(&*store.open(name(Area::Chunks, 3, 0)).unwrap()), expected);

    let mut middle = [0; 8];
    assert_eq!(file.read_at(4088, &mut middle).unwrap(), 8);
    assert_eq!(middle, [0, 0, 7, 7, 7, 7, 7, 7]);
    assert_eq!(file.read_at(5003, &mut middle).unwrap(), 2);
    assert_eq!(file.read_at(5005, &mut middle).unwrap(), 0);
    assert_eq!(file.read_at(1 << 30, &mut middle).unwrap(), 0);
    file.write_at(9000, &[]).unwrap();
    assert_eq!(file.length().unwrap(), 5005);
}

/// More parts than one system call takes.
fn many_parts(store: &dyn Store) {
    let file = store.create(name(Area::Chunks, 4, 0)).unwrap();
    let bytes: Vec<u8> = (0..2500_u32 * 3).map(|n| n.to_le_bytes()[0]).collect();
    let parts: Vec<IoSlice<'_>> = bytes.chunks(3).map(IoSlice::new).collect();
    file.write_at(1, &parts).unwrap();
    assert_eq!(contents(&*file)[1..], bytes);
}

fn lengths(store: &dyn Store) {
    let file = store.create(name(Area::Chunks, 5, 0)).unwrap();
    file.write_at(0, &[IoSlice::new(&[9; 10_000])]).unwrap();
    file.set_length(4100).unwrap();
    assert_eq!(contents(&*file), [9; 4100]);
    file.set_length(9000).unwrap();
    let mut expected = vec![9; 4100];
    expected.resize(9000, 0);
    assert_eq!(contents(&*file), expected);
    file.allocate(8192).unwrap();
    assert_eq!(contents(&*file), expected);
    file.set_length(0).unwrap();
    assert_eq!(file.length().unwrap(), 0);
    file.write_at(1, &[IoSlice::new(b"x")]).unwrap();
    assert_eq!(contents(&*file), b"\0x");
    file.allocate(8192).unwrap();
    assert!(contents(&*file).starts_with(b"\0x\0\0"));
}

fn a_replaced_file_lives_on(store: &dyn Store) {
    let name = name(Area::Journals, 6, 0);
    let old = store.create(name).unwrap();
    old.write_at(0, &[IoSlice::new(b"old")]).unwrap();
    assert!(old.is_current().unwrap() && store.open(name).unwrap().is_current().unwrap());
    let new = store.create(name).unwrap();
    assert_eq!(new.length().unwrap(), 0);
    assert!(!old.is_current().unwrap() && new.is_current().unwrap());
    assert_eq!(contents(&*old), b"old");
    store.remove(name).unwrap();
    new.write_at(0, &[IoSlice::new(b"new")]).unwrap();
    assert!(!new.is_current().unwrap());
    assert_eq!(contents(&*new), b"new");
}

fn pinned_files_live_on(store: &dyn Store) {
    let Some(pins) = store.pins() else { return };
    let [name, other] = [name(Area::Chunks, 0x33, 1), name(Area::Chunks, 0x33, 2)];
    let pin = |lost| PinName { of: name, lost };
    let write = |bytes: &[u8]| store.create(name).unwrap().write_at(0, &[IoSlice::new(bytes)]).unwrap();
    let held = |pin| contents(&*pins.open_pin(pin).unwrap());
    assert!(pins.pin(name).is_err() && pins.open_pin(pin(0)).is_err());
    assert_eq!(pins.pinned_as(name).unwrap(), Pinned::Absent);
    write(b"own");
    assert!(pins.pin(name).unwrap() && pins.pin(name).unwrap());
    assert_eq!(pins.pinned_as(name).unwrap(), Pinned::InPlace);
    // What is written to the file is written to the pin, and what takes its place is another one.
    store.open(name).unwrap().write_at(3, &[IoSlice::new(b" work")]).unwrap();
    write(b"theirs");
    assert_eq!(pins.pinned_as(name).unwrap(), Pinned::Displaced);
    assert!(pins.pin(name).unwrap(), "there is one");
    assert_eq!(held(pin(0)), b"own work");
    assert!(pins.open_pin(pin(0)).unwrap().is_current().unwrap());

    pins.put_back(pin(0)).unwrap();
    assert_eq!(contents(&*store.open(name).unwrap()), b"own work");
    assert_eq!(pins.all_pins().unwrap(), [pin(1)]);
    assert_eq!(held(pin(1)), b"theirs");

    // A lost one has nothing of what is written afterwards.
    assert!(pins.pin(name).unwrap());
    pins.lose_pin(name).unwrap();
    store.open(name).unwrap().write_at(0, &[IoSlice::new(b"new")]).unwrap();
    pins.lose_pin(name).unwrap();
    assert!(pins.pin(name).unwrap());
    write(b"theirs again");
    pins.lose_pin(name).unwrap();
    assert_eq!(pins.all_pins().unwrap(), [pin(1), pin(2), pin(3)]);
    assert_eq!((held(pin(2)), held(pin(3))), (b"own work".to_vec(), b"new work".to_vec()));

    pins.unpin(pin(3)).unwrap();
    assert!(pins.pin(name).unwrap());
    pins.keep_pin(name).unwrap();
    pins.keep_pin(name).unwrap();
    store.open(name).unwrap().write_at(0, &[IoSlice::new(b"written")]).unwrap();
    assert_eq!(held(pin(3)), b"writtenagain");
    store.remove(name).unwrap();
    write(b"there");
    assert!(pins.pin(name).unwrap());
    store.remove(name).unwrap();
    assert_eq!(pins.pinned_as(name).unwrap(), Pinned::Displaced);
    pins.put_back(pin(0)).unwrap();
    assert_eq!(contents(&*store.open(name).unwrap()), b"there");
    for lost in 0..5 {
        pins.unpin(pin(lost)).unwrap();
    }
    assert!(pins.all_pins().unwrap().is_empty());
    assert_eq!(pins.pinned_as(other).unwrap(), Pinned::Absent);
    store.remove(name).unwrap();
}

fn listing(store: &dyn Store) {
    for area in [Area::Chunks, Area::Journals] {
        for name in [name(area, 0xa7, 1), name(area, 0xa7, 2), name(area, 0xff, 1)] {
            store.create(name).unwrap();
        }
    }
    let middle = "5a".repeat(14);
    let expected = [format!("a7/{middle}01"), format!("a7/{middle}02"), format!("ff/{middle}01")];
    assert!(names(store, Area::Chunks).ends_with(&expected));
    assert_eq!(names(store, Area::Journals), expected.map(|name| name.replace('/', "")));
}

fn threads(store: &dyn Store) {
    let shared: Arc<dyn StoreFile> = store.create(name(Area::Chunks, 7, 0)).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4_u8 {
            let shared = &shared;
            scope.spawn(move || {
                for round in 0..50_u8 {
                    let own = store.create(name(Area::Chunks, 8 + round % 4, worker)).unwrap();
                    own.write_at(0, &[IoSlice::new(&[worker; 100])]).unwrap();
                    let block = u64::from(round) * 4 + u64::from(worker);
                    shared.write_at(block * 4096, &[IoSlice::new(&[worker; 4096])]).unwrap();
                    assert_eq!(contents(&*own), [worker; 100]);
                }
            });
        }
    });
    let bytes = contents(&*shared);
    assert_eq!(bytes.len(), 200 * 4096);
    assert!(bytes.chunks(4096).enumerate().all(|(block, bytes)| bytes == [(block % 4) as u8; 4096]));
}
