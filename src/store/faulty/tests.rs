//! The store that fails on demand, itself.

use super::*;
use crate::store::conformance::{self, contents, name};
use crate::store::memory::Memory;

fn store() -> Faulty {
    Faulty::new(Arc::new(Memory::new()))
}

#[test]
fn conforms_while_nothing_is_planned() {
    conformance::check(&store());
}

#[test]
fn the_nth_call_fails_and_no_other() {
    let store = store();
    for number in ERRORS {
        store.fail_nth(1, Fault::Error(number));
        let file = store.create(name(Area::Chunks, 1, 1)).unwrap();
        let error = file.write_at(0, &[IoSlice::new(b"lost")]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(number));
        assert_eq!(file.length().unwrap(), 0);
    }
}

#[test]
fn short_writes_and_reads() {
    let store = store();
    let file = store.create(name(Area::Chunks, 1, 1)).unwrap();
    store.fail_nth(0, Fault::Short(libc::ENOSPC));
    let error = file.write_at(2, &[IoSlice::new(b"abc"), IoSlice::new(b"def")]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(contents(&*file), b"\0\0abc");
    store.fail_nth(0, Fault::ShortRead);
    assert_eq!(file.read_at(0, &mut [0; 4]).unwrap(), 2);
    assert_eq!(file.read_at(0, &mut [0; 4]).unwrap(), 4);
}

#[test]
fn a_plan_goes_by_call_and_name_until_healed() {
    let store = store();
    let [good, bad] = [1, 2].map(|last| name(Area::Journals, 1, last));
    store.fail_when(move |event| {
        (event.call == Call::Sync && event.name == Some(bad)).then_some(Fault::Error(libc::EIO))
    });
    let [good, bad] = [good, bad].map(|name| store.create(name).unwrap());
    good.sync().unwrap();
    assert!(bad.sync().is_err() && bad.sync().is_err());
    store.heal();
    bad.sync().unwrap();
}

#[test]
fn no_more_files_than_allowed() {
    let store = store();
    store.limit_open(2);
    let files = [1, 2].map(|last| store.create(name(Area::Chunks, 1, last)).unwrap());
    let error = store.open(name(Area::Chunks, 1, 1)).err().unwrap();
    assert_eq!((error.raw_os_error(), store.open_files()), (Some(libc::EMFILE), 2));
    drop(files);
    store.open(name(Area::Chunks, 1, 1)).unwrap();
}

#[test]
fn counts_and_logs_every_call() {
    let store = store();
    let chunk = name(Area::Chunks, 1, 1);
    store.create(chunk).unwrap();
    store.reset();
    let file = store.open(chunk).unwrap();
    file.write_at(4096, &[IoSlice::new(&[0; 10])]).unwrap();
    store.fail_nth(0, Fault::Error(libc::EIO));
    file.sync().unwrap_err();
    store.sync_names(&[chunk]).unwrap();
    let expected = Counts { opens: 1, writes: 1, syncs: 1, name_syncs: 1, ..Counts::default() };
    assert_eq!(store.counts(), expected);
    let log = store.log();
    let name = Some(chunk);
    assert_eq!(log[1], Event { number: 2, call: Call::Write, name, offset: 4096, length: 10, fault: None });
    assert_eq!(log[2].fault, Some(Fault::Error(libc::EIO)));
    assert_eq!(log.len(), 4);
}
