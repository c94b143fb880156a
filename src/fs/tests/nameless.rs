//! Files without a name (`O_TMPFILE`): what they are like, how they get a name, and that they go.

use super::support::*;
use crate::fs::ops::*;
use crate::fs::{Error, Filesystem};
use crate::store::{Area, Store};

fn nameless(fs: &Filesystem, content: &[u8]) -> NodeId {
    let made = fs.make_nameless(USER, NodeId::ROOT, 0o666, 0o022).unwrap();
    assert_eq!((made.attributes.links, made.attributes.mode, made.attributes.uid), (0, 0o644, USER.uid));
    assert_eq!(fs.write(made.node, 0, content, WriteHow::default()), Ok(content.len()));
    made.node
}

fn read(fs: &Filesystem, node: NodeId) -> Vec<u8> {
    let mut out = vec![0; 4 << 20];
    let length = fs.read(node, 0, &mut out).unwrap();
    out.truncate(length);
    out
}

fn chunk_files(backing: &Backing) -> usize {
    let mut count = 0;
    backing.store.list(Area::Chunks, &mut |_, is_file| count += usize::from(is_file)).unwrap();
    count
}

/// But for itself and its parent.
fn entries(fs: &Filesystem) -> usize {
    list(fs, NodeId::ROOT, 0, 9).unwrap().len() - 2
}

/// Inline, and of several chunks.
const LENGTHS: [usize; 2] = [100, 3 << 20];

#[test]
fn a_file_without_a_name_gets_one_that_lasts() {
    for length in LENGTHS {
        let backing = Backing::new();
        let fs = backing.mount(false);
        let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let file = nameless(&fs, &content);
        assert_eq!(entries(&fs), 0);
        // Nothing of it is promised before it has a name.
        fs.sync(file, false).unwrap();
        assert_eq!(fs.link(USER, file, NodeId::ROOT, b"name").unwrap().attributes.links, 1);
        assert_eq!(fs.link(USER, file, NodeId::ROOT, b"other").unwrap().attributes.links, 2);
        fs.sync_directory(NodeId::ROOT, false).unwrap();
        // The daemon dies.
        drop(fs);
        let fs = backing.mount(false);
        for name in [b"name".as_slice(), b"other"] {
            let found = fs.lookup(USER, NodeId::ROOT, name).unwrap().unwrap();
            assert_eq!((found.attributes.links, found.attributes.size), (2, length as u64));
            assert!(read(&fs, found.node) == content);
        }
        fs.shut_down().unwrap();
    }
}

#[test]
fn a_file_that_never_got_a_name_leaves_nothing() {
    for length in LENGTHS {
        for ends in ["forgotten", "closed", "killed"] {
            let backing = Backing::new();
            let fs = backing.mount(false);
            make_file(&fs, USER, NodeId::ROOT, "other", 0o644).unwrap();
            fs.sync_all().unwrap();
            let before = chunk_files(&backing);
            let file = nameless(&fs, &vec![7; length]);
            fs.sync_all().unwrap();
            assert_eq!(
                chunk_files(&backing) > before,
                length > 4096,
                "its chunks are there as they are written"
            );
            match ends {
                "forgotten" => fs.forget(file, 1),
                "closed" => fs.shut_down().unwrap(),
                _ => {}
            }
            let fs = match ends {
                "forgotten" => fs,
                _ => {
                    drop(fs);
                    backing.mount(false)
                }
            };
            make_file(&fs, USER, NodeId::ROOT, "another", 0o644).unwrap();
            fs.sync_all().unwrap();
            assert_eq!(chunk_files(&backing), before + 1, "{length} bytes, {ends}");
            fs.shut_down().unwrap();
        }
    }
}

/// Each takes an id that is reserved: more than are at a time, and none of them ever in a batch.
#[test]
fn many_files_have_no_name_at_the_same_time() {
    let backing = Backing::new();
    let fs = backing.mount(false);
    let files: Vec<NodeId> = (0..300_u32).map(|number| nameless(&fs, &number.to_le_bytes())).collect();
    for (number, file) in files.iter().enumerate() {
        assert_eq!(read(&fs, *file), (number as u32).to_le_bytes());
    }
    for number in [0, 299] {
        fs.link(USER, files[number], NodeId::ROOT, number.to_string().as_bytes()).unwrap();
    }
    files.iter().for_each(|file| fs.forget(*file, 1));
    fs.sync_all().unwrap();
    assert_eq!(entries(&fs), 2);
    fs.shut_down().unwrap();
}

#[test]
fn who_may_not_write_to_a_folder_makes_no_file_in_it() {
    let fs = Backing::new().mount(true);
    let folder = make_directory(&fs, ROOT_USER, NodeId::ROOT, "folder", 0o755).unwrap();
    let refused = fs.make_nameless(USER, folder, 0o644, 0).map(|entry| entry.node);
    assert_eq!(refused, Err(Error::AccessDenied));
    // One that is gone takes no more, and a file that lost its last name gets no other.
    fs.remove_directory(ROOT_USER, NodeId::ROOT, b"folder").unwrap();
    let refused = fs.make_nameless(ROOT_USER, folder, 0o644, 0).map(|entry| entry.node);
    assert_eq!(refused, Err(Error::NotFound));
    let file = fs.make_nameless(ROOT_USER, NodeId::ROOT, 0o644, 0).unwrap().node;
    fs.link(ROOT_USER, file, NodeId::ROOT, b"file").unwrap();
    fs.unlink(ROOT_USER, NodeId::ROOT, b"file").unwrap();
    let refused = fs.link(ROOT_USER, file, NodeId::ROOT, b"file").map(|entry| entry.node);
    assert_eq!(refused, Err(Error::NotFound));
}
