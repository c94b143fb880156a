//! What the kernel believes and is not so: writes out of its cache that failed, and a file without names.

use super::support::*;
use crate::fs::Error;
use crate::fs::ops::*;
use parking_lot::Mutex;
use std::sync::Arc;

/// The nodes whose attributes the kernel has to ask for.
struct AskedAgain(Mutex<Vec<NodeId>>);

impl Notifier for AskedAgain {
    fn entry(&self, _: NodeId, _: &[u8]) {}
    fn removed(&self, _: NodeId, _: NodeId, _: &[u8]) {}
    fn attributes(&self, node: NodeId) {
        self.0.lock().push(node);
    }
    fn content(&self, _: NodeId) {}
    fn keeps_sizes(&self) -> bool {
        true
    }
}

/// A volume that takes no writes stands for one that stopped.
#[test]
fn what_was_not_written_out_of_the_cache_does_not_read_as_zeros() {
    let backing = Backing::new();
    let file = {
        let fs = backing.mount(false);
        let file = make_file(&fs, ROOT_USER, NodeId::ROOT, "file", 0o644).unwrap();
        fs.write(file, 0, b"0123456789", WriteHow::default()).unwrap();
        fs.shut_down().unwrap();
        b"file"
    };
    let fs = backing.mount_read_only();
    let node = fs.lookup(ROOT_USER, NodeId::ROOT, file).unwrap().unwrap().node;
    let listener = Arc::new(AskedAgain(Mutex::default()));
    fs.notify(Some(listener.clone()));
    let mut out = [0xee; 4096];
    let write = |from_cache| fs.write(node, 10, &[1; 40], WriteHow { from_cache, ..WriteHow::default() });
    // Past the cache, the kernel's size stays as it is.
    write(false).unwrap_err();
    assert_eq!(fs.read(node, 0, &mut out), Ok(10));
    assert_eq!(fs.flush(node), Ok(()));
    let error = write(true).unwrap_err();
    // Told at each close, since whoever waited for the write was told of another's error.
    assert_eq!((fs.flush(node), fs.flush(node)), (Err(error), Err(error)));
    // And once, of each, at the next write, for which the kernel has to ask.
    for _ in 0..2 {
        assert_eq!(listener.0.lock().len(), 1);
        assert_eq!((fs.tell_lost(node), fs.tell_lost(node)), (Err(error), Ok(())));
        assert_eq!(std::mem::take(&mut *listener.0.lock()), [node]);
        write(true).unwrap_err();
    }
    assert_eq!(fs.read(node, 0, &mut out), Err(Error::Io));
    assert_eq!(fs.read(node, 10, &mut out[..40]), Err(Error::Io));
    assert_eq!(fs.read(node, 0, &mut out[..10]), Ok(10));
    assert_eq!(fs.read(node, 50, &mut out[..10]), Ok(0));
    assert_eq!(fs.read(node, 4096, &mut out), Ok(0));
    // Nor does who looks for holes take it for one, or a copy of it come out as zeros.
    assert_eq!(fs.seek(node, 10, Seek::Data), Ok(10));
    assert_eq!(fs.seek(node, 0, Seek::Hole), Ok(50));
    assert_eq!(fs.seek(node, 50, Seek::Data), Err(Error::NoSuchDeviceOrAddress));
    assert_eq!(fs.copy_range(ROOT_USER, (node, 0), (node, 4096), 4096, Times::Set), Err(Error::Io));
    fs.forget(node, 1);
    let node = fs.lookup(ROOT_USER, NodeId::ROOT, file).unwrap().unwrap().node;
    assert_eq!(fs.read(node, 0, &mut out), Ok(10));
}

#[test]
fn lost_ranges_are_cleared_by_writes_and_truncation() {
    let lost = crate::fs::lost::LostWrites::default();
    let (inode, other) = (crate::chunk::InodeId([1; 12]), crate::chunk::InodeId([2; 12]));
    lost.add(inode, 100..200, Error::NoSpace);
    lost.add(inode, 300..400, Error::NoSpace);
    assert!(
        lost.touch(inode, &(0..101)) && lost.touch(inode, &(199..210)) && !lost.touch(inode, &(200..300))
    );
    assert!(!lost.touch(other, &(0..1000)));
    lost.clear(inode, &(120..150));
    assert!(
        !lost.touch(inode, &(120..150)) && lost.touch(inode, &(119..150)) && lost.touch(inode, &(120..151))
    );
    lost.clear(inode, &(160..u64::MAX));
    assert!(!lost.touch(inode, &(160..1000)) && lost.touch(inode, &(0..160)));
    for number in 0..1000 {
        lost.add(inode, 1000 + 2 * number..1001 + 2 * number, Error::NoSpace);
    }
    assert!(lost.touch(inode, &(2998..2999)) && !lost.touch(inode, &(2999..4000)));
    lost.forget(inode);
    assert!(!lost.touch(inode, &(0..u64::MAX)));
}

/// The kernel may take a file for unlinked that lost one of several names: it has to ask again.
#[test]
fn links_are_in_doubt_after_one_of_several_was_removed() {
    let backing = Backing::new();
    let fs = backing.mount(false);
    let node = make_file(&fs, ROOT_USER, NodeId::ROOT, "a", 0o644).unwrap();
    let in_doubt = || fs.attributes(node).unwrap().links_in_doubt;
    fs.rename(ROOT_USER, (NodeId::ROOT, b"a"), (NodeId::ROOT, b"b"), RenameFlags::default()).unwrap();
    fs.link(ROOT_USER, node, NodeId::ROOT, b"c").unwrap();
    assert!(!in_doubt());
    fs.unlink(ROOT_USER, NodeId::ROOT, b"c").unwrap();
    assert!(in_doubt());
}
