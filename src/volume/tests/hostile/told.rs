//! What the owner is told of what was found while the volume was opened, and later.

use super::*;
use crate::volume::{Damage, Event, Finding, Rename, Report};
use hashbrown::HashSet;
use parking_lot::Mutex;

/// Files, and whether each is right again as soon as it can be opened.
type List = BTreeMap<FileName, bool>;

/// What was told, and what is on the list.
#[derive(Clone, Default)]
pub(in super::super) struct Told(Arc<Mutex<(Vec<Finding>, List)>>);

impl Report for Told {
    fn happened(&self, _event: Event) {}

    fn tell(&self, found: &[Finding], healed: &HashSet<FileName>) {
        let mut told = self.0.lock();
        told.1.retain(|file, _| !healed.contains(file));
        told.1.extend(found.iter().map(|finding| (finding.file, true)));
        told.0.extend_from_slice(found);
    }
}

impl Told {
    /// What is told when the volume is opened, as a mount does it.
    pub fn at_open(&self, volume: &Volume) -> Vec<Finding> {
        let listed = self.0.lock().1.clone();
        volume.report_to(Box::new(self.clone()), listed.into_iter());
        volume.report();
        std::mem::take(&mut self.0.lock().0)
    }

    /// What was told since.
    pub fn found(&self) -> Vec<Finding> {
        self.0.lock().0.clone()
    }

    fn is_clear(&self) -> bool {
        self.0.lock().1.is_empty()
    }
}

/// A victim in which another device left a journal.
fn shared() -> (HostileFixture, Fixture, ChunkId) {
    let victim = HostileFixture::new();
    let other = victim.fixture.another(*b"device 2");
    let volume = other.open(Arc::new(victim.store.clone()));
    let inode = find(&volume, "small").unwrap();
    volume.set_attributes(&inode, |_| true).unwrap();
    file(&volume, "theirs", b"theirs");
    volume.close().unwrap();
    drop((inode, volume));
    let journal = other.context(Arc::new(victim.store.clone())).own_journal();
    (victim, other, journal)
}

#[test]
fn another_devices_journal_that_is_damaged_is_told_until_it_is_right() {
    let (victim, _, journal) = shared();
    let (file, told) = (victim.file_name(journal), Told::default());
    let whole = victim.bytes(file);
    victim.put(file, &[7; 2 * BLOCK]);
    for _ in 0..2 {
        let found = told.at_open(&victim.open().unwrap());
        assert!(
            matches!(&found[..], [Finding { chunk, damage: Some(Damage::Corrupt(_)), .. }] if *chunk == journal)
        );
    }
    victim.put(file, &whole);
    assert!(!told.is_clear() && told.at_open(&victim.open().unwrap()).is_empty() && told.is_clear());
}

#[test]
fn another_devices_journal_that_is_gone_is_told_if_it_was_ever_seen() {
    let (victim, _, journal) = shared();
    let (file, told) = (victim.file_name(journal), Told::default());
    let all = victim.store.snapshot();
    victim.store.remove(file).unwrap();
    assert!(told.at_open(&victim.open().unwrap()).is_empty(), "it was never seen");
    victim.store.restore(&all);
    victim.open().unwrap().close().unwrap();
    victim.fixture.remembered.restart();
    victim.store.remove(file).unwrap();
    let volume = victim.open().unwrap();
    let found = told.at_open(&volume);
    assert!(
        matches!(&found[..], [Finding { chunk, damage: Some(Damage::Deleted), .. }] if *chunk == journal)
    );
    let (mut seen, known, kept) =
        (Vec::new(), volume.base.context.recall.journals(), victim.fixture.remembered.snapshot());
    drop(volume);
    victim.forget();
    let volume = victim.open().unwrap();
    volume.survey(None, &known, &mut |sight| seen.push((sight.chunk, sight.version.is_some()))).unwrap();
    assert!(seen.contains(&(journal, false)) && seen.iter().filter(|sight| sight.0 == journal).count() == 1);
    drop(volume);
    victim.fixture.remembered.restore(&kept);
    victim.store.restore(&all);
    assert!(told.at_open(&victim.open().unwrap()).is_empty() && told.is_clear());
}

/// Alone a device tells at once. Where others write a client may bring the rest: then nothing is told, or once it has been so
/// for a while. `is_first`: of that other device nothing is remembered yet.
#[test]
fn what_a_client_may_put_right_is_told_late_where_other_devices_write() {
    for (has_others, is_first) in [(false, false), (true, false), (true, true)] {
        let (victim, told) = (if has_others { shared().0 } else { HostileFixture::new() }, Told::default());
        if !is_first {
            victim.open().unwrap().close().unwrap();
        }
        let volume = victim.open().unwrap();
        if is_first {
            read_path(&volume, "theirs").unwrap();
        }
        assert!(told.at_open(&volume).is_empty());
        let all = victim.store.snapshot();
        for path in ["x/one", "blocks"] {
            victim.store.remove(victim.name(path, 0)).unwrap();
            assert!(read_path(&volume, path).is_err());
        }
        volume.cache.report_lasting();
        assert_eq!(told.found().len(), if has_others { 0 } else { 2 });
        victim.store.restore_file(&all, victim.name("x/one", 0));
        assert!(read_path(&volume, "x/one").is_ok());
        volume.report();
        let found: Vec<_> = told.found().into_iter().map(|finding| finding.file).collect();
        assert!(found.contains(&victim.name("blocks", 0)));
        assert_eq!(found.len(), if has_others { 1 } else { 2 });
    }
}

/// The first thing that another device does may be a file in the place of one that is open, before anything says that there are
/// others.
#[test]
fn a_file_that_was_exchanged_is_told_late_by_who_knows_of_no_other_device() {
    let victim = HostileFixture::new();
    victim.write(&["small"], b"newer");
    let (volume, told) = (victim.open().unwrap(), Told::default());
    assert!(told.at_open(&volume).is_empty());
    let inode = find(&volume, "small").unwrap();
    volume.write(&inode, 1, b"more", now(), 0).unwrap();
    victim.store.restore_file(&victim.left, victim.name("small", 0));
    volume.checkpoint().unwrap();
    volume.cache.report_lasting();
    assert!(told.found().is_empty(), "it is told at once");
    volume.report();
    let found = told.found();
    assert!(matches!(&found[..], [Finding { damage: Some(Damage::Replaced), .. }]), "{found:?}");
}

#[test]
fn what_a_journal_speaks_of_is_told_with_its_path() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let x = find(&volume, "x").unwrap();
    volume.rename((&x, b"one"), (&x, b"moved"), Rename::Replace, None, now()).unwrap();
    volume.sync_directory(&x).unwrap();
    // Killed.
    drop((x, volume));
    let file = victim.name("x/one", 0);
    victim.put(file, &[7; 2 * BLOCK]);
    let told = Told::default();
    let found = told.at_open(&victim.open().unwrap());
    assert!(matches!(&found[..], [Finding { path: Some(path), .. }] if path == b"x/moved"), "{found:?}");
}

/// The journal of a device that was killed speaks of a file that another one removed since: nothing is amiss.
#[test]
fn what_was_removed_since_a_journal_was_written_is_not_told() {
    for forgets in [false, true] {
        let (victim, other, _) = shared();
        let volume = other.open(Arc::new(victim.store.clone()));
        let root = volume.root().unwrap();
        let to = (&root, &b"moved"[..]);
        volume.rename((&root, b"theirs"), to, Rename::Replace, None, now()).unwrap();
        volume.sync_directory(&root).unwrap();
        drop((root, volume));
        let volume = victim.open().unwrap();
        let root = volume.root().unwrap();
        volume.release(volume.unlink(&root, b"moved", now()).unwrap().unwrap());
        drop(root);
        volume.close().unwrap();
        drop(volume);
        victim.fixture.remembered.restart();
        let here = if forgets { victim.fixture.another(*b"device 3") } else { other };
        let told = Told::default();
        let found = told.at_open(&here.open(Arc::new(victim.store.clone())));
        assert!(found.is_empty(), "{found:?}");
        let found = told.at_open(&victim.open().unwrap());
        assert!(found.is_empty(), "{found:?}");
    }
}

/// A client may put right what it has just taken away; who unmounts before that is known, or asks, is told nevertheless.
#[test]
fn what_another_device_may_put_right_is_told_at_the_end_and_when_it_is_asked_for() {
    for is_asked in [false, true] {
        let (victim, ..) = shared();
        victim.open().unwrap().close().unwrap();
        victim.fixture.remembered.restart();
        let (volume, told) = (victim.open().unwrap(), Told::default());
        assert!(told.at_open(&volume).is_empty());
        victim.store.remove(victim.name("small", 0)).unwrap();
        assert_damage(&read_path(&volume, "small").unwrap_err(), "small");
        volume.cache.report_lasting();
        assert!(told.found().is_empty(), "it is told at once");
        match is_asked {
            true => volume.report(),
            false => volume.close().unwrap(),
        }
        assert!(matches!(&told.found()[..], [Finding { damage: Some(Damage::Deleted), .. }]));
    }
}

/// A further chunk that is older than the table says can be opened, and is right all the same only when it is newer.
#[test]
fn an_older_further_chunk_is_told_once_and_does_not_come_right_by_being_opened() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    // Another chunk 1, with a bound of its own.
    for content in [&[][..], &pattern(2_300_000, 99)] {
        volume.resize(&inode, 0, now(), 0).unwrap();
        volume.write(&inode, 0, content, now(), 0).unwrap();
        volume.checkpoint().unwrap();
    }
    drop(inode);
    volume.close().unwrap();
    drop(volume);
    victim.store.restore_file(&victim.left, victim.name("big", 1));
    victim.forget();
    let (volume, told) = (victim.open().unwrap(), Told::default());
    assert!(told.at_open(&volume).is_empty());
    for _ in 0..10 {
        assert_damage(&read_path(&volume, "big").unwrap_err(), "big");
        volume.report();
        assert!(!told.is_clear());
    }
    assert_eq!(told.0.lock().0.len(), 1);
}
