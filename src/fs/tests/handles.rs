//! Nodes by their numbers, as a file server finds them again that has nothing but a handle.

use super::support::*;
use crate::fs::Error;
use crate::fs::ops::*;

fn found(fs: &crate::fs::Filesystem, node: NodeId) -> Option<(NodeId, Option<u32>, u64)> {
    let entry = fs.find(node).unwrap()?;
    Some((entry.node, entry.generation, entry.attributes.inode_number))
}

/// What a handle has of a file is the same at every mount, and leads to it without a name: after the transport forgot it,
/// while nothing of it is stored yet, after a remount, after a kill.
#[test]
fn a_handle_leads_to_its_file_for_as_long_as_that_is_there() {
    let backing = Backing::new();
    let fs = backing.mount(false);
    let folder = make_directory(&fs, USER, NodeId::ROOT, "folder", 0o755).unwrap();
    let file = make_file(&fs, USER, folder, "file", 0o644).unwrap();
    fs.write(file, 0, b"content", WriteHow::default()).unwrap();
    let handles = [found(&fs, folder).unwrap(), found(&fs, file).unwrap()];
    let forget = |fs: &crate::fs::Filesystem| [file, folder].iter().for_each(|node| fs.forget(*node, 9));
    let look = |fs: &crate::fs::Filesystem| {
        for handle in handles {
            assert_eq!(found(fs, handle.0), Some(handle));
        }
        let mut out = [0; 7];
        assert_eq!((fs.read(file, 0, &mut out), &out), (Ok(7), b"content"));
        assert_eq!(
            fs.parent(folder).map(|entry| (entry.node, entry.generation)),
            Ok((NodeId::ROOT, Some(0)))
        );
        assert_eq!(found(fs, NodeId::ROOT).map(|entry| entry.1), Some(Some(0)));
        forget(fs);
    };
    forget(&fs);
    look(&fs);
    fs.sync_all().unwrap();
    look(&fs);
    fs.shut_down().unwrap();
    drop(fs);
    // One that is killed, and the next.
    look(&backing.mount(false));
    let fs = backing.mount(false);
    look(&fs);

    let folder = fs.lookup(USER, NodeId::ROOT, b"folder").unwrap().unwrap().node;
    let file = fs.lookup(USER, folder, b"file").unwrap().unwrap().node;
    fs.unlink(USER, folder, b"file").unwrap();
    assert_eq!(found(&fs, file), Some(handles[1]), "somebody has it open");
    fs.forget(file, 9);
    assert_eq!(found(&fs, file), None);
    fs.sync_all().unwrap();
    assert_eq!(found(&fs, file), None);
    fs.shut_down().unwrap();
    assert_eq!(found(&backing.mount(false), file), None);
}

/// Numbers that are of the mount, and those of no inode.
#[test]
fn other_numbers_lead_nowhere() {
    let fs = Backing::new().mount(false);
    assert!(matches!(fs.find(NodeId(2)), Err(Error::Stale)));
    assert!(matches!(fs.find(NodeId(u64::MAX >> 8)), Ok(None)));
    assert!(matches!(fs.parent(NodeId(7)), Err(Error::Stale)));
}
