//! What arrives meets what this device has done meanwhile.

use super::*;
use crate::store::faulty::{Call, Faulty};
use crate::store::image::Image;
use crate::store::memory::Item;
use crate::store::{CopyName, Seen};
use crate::volume::{Damage, Error, Event, Finding, Record, Report};
use hashbrown::HashSet;

/// The files of findings that are over.
#[derive(Clone, Default)]
struct Healed(Arc<parking_lot::Mutex<HashSet<FileName>>>);

impl Report for Healed {
    fn tell(&self, _: &[Finding], healed: &HashSet<FileName>) {
        self.0.lock().extend(healed);
    }

    fn happened(&self, _: Event) {}
}

/// What another device puts into a directory that was just deleted here was not known to who deleted it.
#[test]
pub fn a_deleted_directory_takes_in_nothing() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let below = ours.create(&root, b"below", new(Kind::Directory)).unwrap();
    two.deliver_all();
    names(&theirs, &theirs.lookup(&their_root, b"below").unwrap().unwrap());
    let deleted = theirs.remove_directory(&their_root, b"below", now()).unwrap().unwrap();
    file_in(&ours, &below, "new", b"new");
    ours.checkpoint().unwrap();
    two.deliver(&two.differing());
    theirs.release(deleted);
    theirs.checkpoint().unwrap();
    theirs.merge().unwrap();
    let their_below = theirs.lookup(&their_root, b"below").unwrap().expect("it has its name back");
    assert_eq!(names(&theirs, &their_below), ["new"]);
}

/// The same of what another device's journal says.
#[test]
pub fn a_deleted_directory_is_told_nothing() {
    for is_stored in [true, false] {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let below = ours.create(&root, b"below", new(Kind::Directory)).unwrap();
        match is_stored {
            true => two.deliver_all(),
            false => {
                ours.sync_directory(&below).unwrap();
                two.deliver(&two.differing());
            }
        }
        names(&theirs, &theirs.lookup(&their_root, b"below").unwrap().unwrap());
        let deleted = theirs.remove_directory(&their_root, b"below", now()).unwrap().unwrap();
        file_in(&ours, &below, "new", b"new");
        ours.sync_directory(&below).unwrap();
        two.deliver(&two.differing());
        theirs.release(deleted);
        theirs.checkpoint().unwrap();
        two.deliver_all();
        theirs.merge().unwrap();
        let their_below = theirs.lookup(&their_root, b"below").unwrap().expect("it has its name back");
        assert_eq!(names(&theirs, &their_below), ["new"], "{is_stored}");
    }
}

/// A file that another device gave another name comes back under that, though the name arrives while it is being deleted here.
#[test]
pub fn a_file_that_is_going_gets_no_name() {
    for is_durable in [false, true] {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let inode = file_in(&ours, &root, "f", b"content");
        two.deliver_all();
        file_in(&theirs, &their_root, "theirs", b"");
        let deleted = theirs.unlink(&their_root, b"f", now()).unwrap().unwrap();
        if is_durable {
            theirs.sync_directory(&their_root).unwrap();
        }
        ours.rename((&root, b"f"), (&root, b"g"), Rename::Replace, None, now()).unwrap();
        ours.checkpoint().unwrap();
        let chunk = |id| theirs.base.context.file_name(ChunkId::first(id));
        two.deliver(&[chunk(InodeId::ROOT)]);
        theirs.merge().unwrap();
        assert!(matches!(theirs.lookup(&their_root, b"g"), Err(Error::NotArrived(_))), "{is_durable}");
        two.deliver(&[chunk(inode.id())]);
        theirs.release(deleted);
        theirs.checkpoint().unwrap();
        theirs.merge().unwrap();
        assert_eq!(look(&theirs, "g").unwrap(), b"content", "{is_durable}");
    }
}

/// A client's exchange of one file is no reason to stop everything: of a directory that somebody works in still, though it is deleted,
/// and of one that cannot be joined before the rest of it has arrived.
#[test]
pub fn a_directory_that_cannot_be_joined_now_does_not_stop_the_volume() {
    for is_deleted in [true, false] {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let below = ours.create(&root, b"below", new(Kind::Directory)).unwrap();
        two.deliver_all();
        let their_below = theirs.lookup(&their_root, b"below").unwrap().unwrap();
        file_in(&theirs, &their_below, "theirs", b"theirs");
        if is_deleted {
            theirs
                .unlink(&their_below, b"theirs", now())
                .unwrap()
                .into_iter()
                .for_each(|it| theirs.release(it));
        }
        theirs.writeback.commit(&[]).unwrap();
        // More than chunk 0 takes.
        (0..1000).for_each(|n| drop(file_in(&ours, &below, &format!("ours {n}"), b"")));
        ours.checkpoint().unwrap();
        let inode = ChunkId::first(below.id());
        two.put(below.id(), false);
        if is_deleted {
            theirs.remove_directory(&their_root, b"below", now()).unwrap();
        }
        let stored = theirs.checkpoint();
        assert_eq!(theirs.base.stopped_by(), None, "{is_deleted}: {stored:?}");
        assert_eq!(stored.is_ok(), is_deleted, "{inode:?}");
        if !is_deleted {
            two.deliver_all();
            theirs.checkpoint().unwrap();
            let names = names(&theirs, &their_below);
            assert!(names.len() == 1001 && names.contains(&"theirs".to_owned()), "{}", names.len());
        }
    }
}

/// Half a file stands in the place of one that is written to, and while that is made anew the client brings the whole.
#[test]
pub fn what_is_replaced_again_while_it_is_rebuilt_is_saved_beside() {
    let mut faulty = None;
    let mut two = Two::over(|memory| faulty.insert(Arc::new(Faulty::new(Arc::new(memory)))).clone());
    let faulty = faulty.unwrap();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let inode = file_in(&ours, &root, "both", b"base");
    two.deliver_all();
    let file = theirs.lookup(&their_root, b"both").unwrap().unwrap();
    theirs.write(&file, 0, b"of b", now(), 0).unwrap();
    ours.write(&inode, 0, b"of a", now(), 0).unwrap();
    ours.checkpoint().unwrap();
    let name = theirs.base.context.file_name(ChunkId::first(inode.id()));
    let (store, whole) = (two.stores[1].clone(), two.stores[0].take(&Item::File(name)));
    store.put(&Item::File(name), Some(Image::default()));
    let mut is_made = false;
    faulty.fail_when(move |event| {
        is_made |= event.name == Some(name) && event.call == Call::Create;
        if is_made && event.name == Some(name) && event.call == Call::Sync {
            store.put(&Item::File(name), whole.clone());
        }
        None
    });
    let _ = theirs.checkpoint();
    faulty.heal();
    theirs.checkpoint().unwrap();
    theirs.merge().unwrap();
    let mut found: Vec<_> =
        names(&theirs, &their_root).iter().map(|name| look(&theirs, name).unwrap()).collect();
    found.sort();
    assert_eq!(found, [b"of a".to_vec(), b"of b".to_vec()]);
}

/// What another device's journal told of, and was deleted here, comes back with what its chunk file says beyond that. Of a
/// file that cannot be told from what the journal said; a directory comes back only then.
#[test]
pub fn what_only_a_journal_told_of_is_deleted_as_far_as_it_told() {
    for (kind, is_changed) in [(Kind::File, true), (Kind::Directory, true), (Kind::Directory, false)] {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let inode = ours.create(&root, b"both", new(kind)).unwrap();
        match kind {
            Kind::Directory => ours.sync_directory(&inode).unwrap(),
            _ => {
                ours.write(&inode, 0, b"told", now(), 0).unwrap();
                ours.sync(&inode, false).unwrap();
            }
        }
        two.deliver(&two.differing());
        let their = theirs.lookup(&their_root, b"both").unwrap().unwrap();
        let deleted = match kind {
            Kind::Directory => {
                assert!(names(&theirs, &their).is_empty());
                theirs.remove_directory(&their_root, b"both", now())
            }
            _ => theirs.unlink(&their_root, b"both", now()),
        };
        match kind {
            _ if !is_changed => {}
            Kind::Directory => drop(file_in(&ours, &inode, "within", b"")),
            _ => ours.write(&inode, 0, b"more", now(), 0).unwrap(),
        }
        ours.checkpoint().unwrap();
        let chunk = theirs.base.context.file_name(ChunkId::first(inode.id()));
        two.deliver(&[chunk]);
        drop(their);
        theirs.release(deleted.unwrap().unwrap());
        theirs.checkpoint().unwrap();
        assert_eq!(two.stores[1].names().contains(&chunk), is_changed, "{kind:?}");
        two.deliver(&two.differing());
        theirs.merge().unwrap();
        assert_eq!(names(&theirs, &their_root).contains(&"both".to_owned()), is_changed, "{kind:?}");
    }
}

/// What a newer program says of an inode stays, whether this device goes on with that or joins it with its own work.
#[test]
fn what_only_newer_programs_know_is_kept() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let file = file_in(&ours, &root, "file", b"content");
    let below = ours.create(&root, b"below", new(Kind::Directory)).unwrap();
    two.deliver_all();
    let their_file = theirs.lookup(&their_root, b"file").unwrap().unwrap();
    let their_below = theirs.lookup(&their_root, b"below").unwrap().unwrap();
    theirs.rename((&their_root, b"file"), (&their_root, b"renamed"), Rename::Replace, None, now()).unwrap();
    file_in(&theirs, &their_below, "theirs", b"");
    let item = (200, b"of a newer program".to_vec());
    for inode in [&file, &below] {
        let say = |record: &mut Record| {
            record.extension.unknown.push(item.clone());
            true
        };
        ours.set_attributes(inode, say).unwrap();
    }
    two.deliver_all();
    theirs.checkpoint().unwrap();
    for inode in [&their_file, &their_below] {
        inode.view(|record| assert_eq!(record.extension.unknown, std::slice::from_ref(&item)));
    }
}

/// A file that was exchanged while it was open is no finding any more once memory goes on with what stands there.
#[test]
fn what_was_exchanged_is_healed_by_loading_it() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let inode = file_in(&ours, &root, "file", b"first");
    two.deliver_all();
    let file = theirs.lookup(&their_root, b"file").unwrap().unwrap();
    let id = ChunkId::first(file.id());
    let healed = Healed::default();
    theirs.report_to(Box::new(healed.clone()), std::iter::empty());
    let is_healed = || {
        theirs.cache.report();
        healed.0.lock().contains(&theirs.base.context.file_name(id))
    };
    theirs.cache.notice(&Error::Damaged(id, Damage::Replaced));
    file.state.write().close(ChunkIndex::FIRST);
    ours.write(&inode, 0, b"later", now(), 0).unwrap();
    ours.checkpoint().unwrap();
    assert_eq!(content(&theirs, &file), b"first");
    assert!(!is_healed(), "the file is as it was");
    file.state.write().close(ChunkIndex::FIRST);
    two.stores[1].restore(&two.stores[0].snapshot());
    assert_eq!(content(&theirs, &file), b"later");
    assert!(is_healed());
}

impl Two {
    /// Has the second one get the first one's file, or a copy of it beside its own, and take no notice.
    pub(super) fn put(&self, inode: InodeId, is_copy: bool) {
        let file = self.volumes[1].base.context.file_name(ChunkId::first(inode));
        if is_copy {
            let below = file.path().strip_prefix("chunks/").unwrap().to_owned() + "~";
            let copy = CopyName::parse(below.as_bytes()).unwrap();
            self.stores[1].put(&Item::Copy(copy), self.stores[0].take(&Item::File(file)));
        } else {
            self.stores[1].restore_file(&self.stores[0].snapshot(), file);
        }
    }

    /// A file of both that both edited, the first one's version a copy beside the second one's.
    fn edited_on_both_sides() -> Two {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let inode = file_in(&ours, &root, "both", b"first");
        two.deliver_all();
        let file = theirs.lookup(&their_root, b"both").unwrap().unwrap();
        for (volume, inode, text) in [(&ours, &inode, b"of a"), (&theirs, &file, b"of b")] {
            volume.write(inode, 0, text, now(), 0).unwrap();
            volume.checkpoint().unwrap();
        }
        two.put(inode.id(), true);
        assert_eq!(names(&theirs, &their_root), ["both"]);
        two.told.take();
        two
    }
}

/// A checkpoint finds the directory replaced before that is noticed, or a copy of it is merged. That no event may tell of: what this
/// device itself wrote is no news.
#[test]
pub fn names_that_a_checkpoint_joins_are_told() {
    for is_copy in [false, true] {
        let two = Two::new();
        let (theirs, their_root) = two.theirs();
        assert!(names(&theirs, &their_root).is_empty());
        let root = two.volumes[0].root().unwrap();
        file_in(&two.volumes[0], &root, "new", b"new");
        two.volumes[0].checkpoint().unwrap();
        file_in(&theirs, &their_root, "mine", b"mine");
        two.put(InodeId::ROOT, is_copy);
        theirs.checkpoint().unwrap();
        theirs.merge().unwrap();
        assert!(two.told.names().contains(&"new".to_owned()), "{is_copy}");
        theirs.arrivals.tell(Vec::new());
        assert!(two.told.take().is_empty(), "told twice");
    }
}

#[test]
pub fn names_that_merging_makes_are_told() {
    let two = Two::edited_on_both_sides();
    two.volumes[1].merge().unwrap();
    assert!(two.told.names().iter().any(|name| name.starts_with("both (conflict")));
}

#[test]
fn merging_in_the_background_tells_what_it_made() {
    let two = Two::edited_on_both_sides();
    two.volumes[1].start().unwrap();
    two.volumes[1].follow();
    let is_told = || two.told.names().iter().any(|name| name.starts_with("both (conflict"));
    assert!((0..1000).any(|_| is_told() || {
        std::thread::sleep(Duration::from_millis(10));
        false
    }));
    two.volumes[1].close().unwrap();
}

/// Telling takes a while, and what was told is then not all that there is.
#[test]
fn what_changes_while_it_is_told_is_told_too() {
    let two = Two::new();
    let ((theirs, their_root), root) = (two.theirs(), two.volumes[0].root().unwrap());
    assert!(names(&theirs, &their_root).is_empty());
    let root_file = theirs.base.context.file_name(ChunkId::first(InodeId::ROOT));
    for name in ["new", "newer"] {
        file_in(&two.volumes[0], &root, name, b"");
        two.volumes[0].checkpoint().unwrap();
        let (theirs, their_root) = (theirs.clone(), their_root.clone());
        let (store, snapshot) = (two.stores[1].clone(), two.stores[0].snapshot());
        let meanwhile = move || {
            file_in(&theirs, &their_root, "mine", b"");
            store.restore_file(&snapshot, root_file);
            theirs.checkpoint().unwrap();
        };
        match name {
            "new" => two.put(InodeId::ROOT, false),
            _ => *two.told.meanwhile.lock() = Some(Box::new(meanwhile)),
        }
    }
    theirs.arrivals.take_in(&[Seen::File(root_file)]);
    assert_eq!(two.told.names(), ["new"]);
    theirs.arrivals.tell(Vec::new());
    assert_eq!(two.told.names(), ["newer"]);
}
