//! A store that fails on demand and counts what is asked of it, for tests.
//!
//! What always holds: every call passes through one place, which numbers it, asks the plan whether it fails, and writes
//! it to the log; a call that fails outright does not reach the store below. Wraps any other store, `power` included.

mod calls;

pub use calls::{Call, Counts};

use super::{Area, FileName, Marks, Space, Store, StoreFile};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

/// How a call fails. The number is the OS error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Error(i32),
    /// A write puts down its first half (bytes, rounded down) and then fails; any other call does nothing.
    Short(i32),
    /// A read ends after its first half, as if the file did; any other call goes well.
    ShortRead,
}

/// The errors that a real filesystem may answer at any call.
pub const ERRORS: [i32; 7] =
    [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EMFILE, libc::ENOMEM, libc::EACCES];

/// One call, as the plan sees it and the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counted from 0 since the store was made.
    pub number: u64,
    pub call: Call,
    /// The file; none for calls about several or all.
    pub name: Option<FileName>,
    /// Where a read or write begins, the new length of `SetLength`, `Allocate`, `Hold` and `KeepBack`; else 0. Bytes.
    pub offset: u64,
    /// How much a read or write is for (bytes), how many names `SyncNames` got; else 0.
    pub length: u64,
    pub fault: Option<Fault>,
}

type Plan = Box<dyn FnMut(&Event) -> Option<Fault> + Send>;

#[derive(Default)]
struct Record {
    plan: Option<Plan>,
    calls: u64,
    counts: Counts,
    log: Vec<Event>,
    open: usize,
    open_most: Option<usize>,
    closed_unsynced: usize,
    /// What is said to be read soon.
    expected: Vec<Range<u64>>,
    /// How many times everything was synced.
    all_synced: u64,
    /// How many connections are gone.
    connections_lost: u64,
}

/// A [`Store`] that fails as planned. Clones share the plan and the log.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    record: Arc<Mutex<Record>>,
    sync_all_is_complete: bool,
}

struct FaultyFile {
    inner: Arc<dyn StoreFile>,
    name: FileName,
    record: Arc<Mutex<Record>>,
    /// Of [`Record::connections_lost`], when it was opened.
    connection: u64,
    /// How many times everything had been synced when something was written that no sync of this file covers yet.
    unsynced: Mutex<Option<u64>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>) -> Faulty {
        Faulty { inner, record: Arc::default(), sync_all_is_complete: true }
    }

    /// As on a filesystem whose syncfs does nothing.
    pub fn without_sync_all(inner: Arc<dyn Store>) -> Faulty {
        Faulty { sync_all_is_complete: false, ..Faulty::new(inner) }
    }

    /// From now on asks `plan` at every call. It must not call the store.
    pub fn fail_when(&self, plan: impl FnMut(&Event) -> Option<Fault> + Send + 'static) {
        self.record.lock().plan = Some(Box::new(plan));
    }

    /// Fails one call, `number` calls from now (0 is the next).
    pub fn fail_nth(&self, number: u64, fault: Fault) {
        let number = self.calls() + number;
        self.fail_when(move |event| (event.number == number).then_some(fault));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut record = self.record.lock();
        record.plan = None;
        record.open_most = None;
    }

    /// From now on opening and making files fails with EMFILE while that many are open.
    pub fn limit_open(&self, most: usize) {
        self.record.lock().open_most = Some(most);
    }

    /// From now on files that are open can only be read, as a folder does that finds them again by their names; all else
    /// fails with ENOTCONN.
    pub fn lose_connection(&self) {
        self.record.lock().connections_lost += 1;
    }

    /// Files that were closed, under their names still, with something in them that no sync covered.
    pub fn closed_unsynced(&self) -> usize {
        self.record.lock().closed_unsynced
    }

    /// What was said to be read soon since the last [`Faulty::reset`], which is no call. Bytes.
    pub fn expected(&self) -> Vec<Range<u64>> {
        self.record.lock().expected.clone()
    }

    /// Files that are open now.
    pub fn open_files(&self) -> usize {
        self.record.lock().open
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.record.lock().calls
    }

    /// Calls by kind since the last [`Faulty::reset`].
    pub fn counts(&self) -> Counts {
        self.record.lock().counts
    }

    /// Calls since the last [`Faulty::reset`], in order.
    pub fn log(&self) -> Vec<Event> {
        self.record.lock().log.clone()
    }

    /// Restarts counting and logging; the plan stays.
    pub fn reset(&self) {
        let mut record = self.record.lock();
        record.counts = Counts::default();
        record.log.clear();
        record.expected.clear();
    }

    fn file(&self, name: FileName, inner: Arc<dyn StoreFile>) -> Arc<dyn StoreFile> {
        let mut held = self.record.lock();
        held.open += 1;
        let (record, connection) = (Arc::clone(&self.record), held.connections_lost);
        Arc::new(FaultyFile { inner, name, record, connection, unsynced: Mutex::default() })
    }

    fn enter(&self, call: Call, name: Option<FileName>, length: u64) -> io::Result<()> {
        outright(enter(&self.record, call, name, 0, length))
    }
}

fn enter(
    record: &Mutex<Record>,
    call: Call,
    name: Option<FileName>,
    offset: u64,
    length: u64,
) -> Option<Fault> {
    let mut record = record.lock();
    let mut event = Event { number: record.calls, call, name, offset, length, fault: None };
    let opens = matches!(call, Call::Open | Call::Create);
    let full = opens && record.open_most.is_some_and(|most| record.open >= most);
    event.fault = if full { Some(Fault::Error(libc::EMFILE)) } else { None };
    event.fault = event.fault.or_else(|| record.plan.as_mut().and_then(|plan| plan(&event)));
    record.calls += 1;
    *record.counts.of(call) += 1;
    let fault = event.fault;
    record.log.push(event);
    fault
}

fn outright(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(Fault::Error(number) | Fault::Short(number)) => Err(io::Error::from_raw_os_error(number)),
        Some(Fault::ShortRead) | None => Ok(()),
    }
}

impl Store for Faulty {
    fn marks(&self, name: FileName) -> io::Result<Option<Marks>> {
        self.inner.marks(name)
    }

    fn open(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.enter(Call::Open, Some(name), 0)?;
        Ok(self.file(name, self.inner.open(name)?))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.enter(Call::Create, Some(name), 0)?;
        Ok(self.file(name, self.inner.create(name)?))
    }

    fn has_placeholder(&self, name: FileName) -> bool {
        self.inner.has_placeholder(name)
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.enter(Call::Remove, Some(name), 0)?;
        self.inner.remove(name)
    }

    fn sync_names(&self, names: &[FileName]) -> io::Result<()> {
        self.enter(Call::SyncNames, None, names.len() as u64)?;
        self.inner.sync_names(names)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.enter(Call::SyncAll, None, 0)?;
        self.inner.sync_all().map(|()| self.record.lock().all_synced += 1)
    }

    fn sync_all_is_complete(&self) -> bool {
        self.sync_all_is_complete
    }

    fn list(&self, area: Area, visit: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        self.enter(Call::List, None, 0)?;
        self.inner.list(area, visit)
    }

    fn space(&self) -> io::Result<Space> {
        self.enter(Call::Space, None, 0)?;
        self.inner.space()
    }

    fn hold(&self, bytes: u64) -> io::Result<bool> {
        match enter(&self.record, Call::Hold, None, bytes, 0) {
            Some(Fault::Error(libc::EOPNOTSUPP)) => Ok(false),
            fault => outright(fault).and_then(|()| self.inner.hold(bytes)),
        }
    }

    /// Only the plan says whether there is as much.
    fn keep_back(&self, bytes: u64) -> io::Result<u64> {
        outright(enter(&self.record, Call::KeepBack, None, bytes, 0)).map(|()| bytes)
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }
}

impl FaultyFile {
    fn enter(&self, call: Call, offset: u64, length: u64) -> Option<Fault> {
        let planned = enter(&self.record, call, Some(self.name), offset, length);
        let is_lost = self.connection != self.record.lock().connections_lost;
        match call {
            Call::Read | Call::IsCurrent => planned,
            _ if is_lost => Some(Fault::Error(libc::ENOTCONN)),
            _ => planned,
        }
    }

    fn changed(&self) {
        *self.unsynced.lock() = Some(self.record.lock().all_synced);
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        let has_name = self.inner.is_current().unwrap_or(false);
        let mut record = self.record.lock();
        record.open -= 1;
        let unsynced = self.unsynced.lock().is_some_and(|synced| synced == record.all_synced);
        record.closed_unsynced += usize::from(unsynced && has_name);
    }
}

impl StoreFile for FaultyFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let fault = self.enter(Call::Read, offset, out.len() as u64);
        outright(fault)?;
        let wanted = if fault == Some(Fault::ShortRead) { out.len() / 2 } else { out.len() };
        self.inner.read_at(offset, &mut out[..wanted])
    }

    fn expect(&self, bytes: Range<u64>) {
        self.record.lock().expected.push(bytes);
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let total = parts.iter().map(|part| part.len()).sum::<usize>();
        let fault = self.enter(Call::Write, offset, total as u64);
        self.changed();
        if let Some(Fault::Short(_)) = fault {
            let bytes =
                parts.iter().flat_map(|part| part.iter().copied()).take(total / 2).collect::<Vec<u8>>();
            self.inner.write_at(offset, &[IoSlice::new(&bytes)])?;
        }
        outright(fault)?;
        self.inner.write_at(offset, parts)
    }

    fn length(&self) -> io::Result<u64> {
        outright(self.enter(Call::Length, 0, 0))?;
        self.inner.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        outright(self.enter(Call::SetLength, length, 0))?;
        self.changed();
        self.inner.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        outright(self.enter(Call::Allocate, length, 0))?;
        self.changed();
        self.inner.allocate(length)
    }

    fn sync(&self) -> io::Result<()> {
        outright(self.enter(Call::Sync, 0, 0))?;
        self.inner.sync()?;
        *self.unsynced.lock() = None;
        Ok(())
    }

    fn marks(&self) -> io::Result<Option<Marks>> {
        self.inner.marks()
    }

    fn is_current(&self) -> io::Result<bool> {
        outright(self.enter(Call::IsCurrent, 0, 0))?;
        self.inner.is_current()
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            log[1],
            Event { number: 2, call: Call::Write, name, offset: 4096, length: 10, fault: None }
        );
        assert_eq!(log[2].fault, Some(Fault::Error(libc::EIO)));
        assert_eq!(log.len(), 4);
    }
}
