//! The reader against the volume that wrote: same names, attributes, content, with and without live batches.

use super::super::tests::{CHUNK, FIRST, Fixture, content, file, new, now, pattern};
use super::super::{Damage, Error, Inode, Kind, Volume};
use super::{Content, Reader};
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::memory::Memory;
use crate::store::{FileName, Store};
use std::sync::Arc;

fn reader(fixture: &Fixture, store: &Arc<Memory>) -> Reader {
    let (reader, problems) =
        Reader::new(fixture.context(store.clone()), CHUNK).with_journals().expect("journals are listed");
    assert!(problems.is_empty(), "{problems:?}");
    reader
}

fn read(reader: &Reader, id: InodeId) -> Vec<u8> {
    let node = reader.node(id).unwrap();
    let mut bytes = vec![0; (node.record.size as usize).next_multiple_of(4096)];
    Content::new(reader, &node).read(0, &mut bytes).unwrap();
    bytes.truncate(node.record.size as usize);
    bytes
}

/// Every name below a directory is there with the record and content that the volume has.
fn compare(volume: &Volume, reader: &Reader, directory: &Arc<Inode>) -> usize {
    let node = reader.node(directory.id()).unwrap();
    let entries = reader.entries(&node).unwrap();
    let (mut listed, mut seen) = (Vec::new(), 0);
    let mut visit = |cookie, name: &[u8], id, kind| {
        listed.push((cookie, name.to_vec(), id, kind));
        true
    };
    volume.read_directory(directory, 0, &mut visit).unwrap();
    let found = entries.iter_after(0).map(|e| (e.cookie, e.name.to_vec(), e.inode, e.kind));
    assert_eq!(found.collect::<Vec<_>>(), listed);
    for (_, name, id, kind) in listed {
        let inode = volume.inode(id).unwrap();
        let node = reader.node(id).unwrap();
        inode.view(|record| {
            assert_eq!(node.record.extension.links, record.extension.links);
            assert_eq!((node.record.mode, node.record.links_count), (record.mode, record.links_count));
        });
        seen += 1;
        match kind {
            Kind::File => {
                assert!(read(reader, id) == content(volume, &inode), "{}", String::from_utf8_lossy(&name));
            }
            Kind::Directory => seen += compare(volume, reader, &inode),
            _ => {}
        }
    }
    seen
}

fn fill(volume: &Volume) {
    let root = volume.root().unwrap();
    file(volume, "inline", &pattern(700, 1));
    file(volume, "blocks", &pattern(300_000, 2));
    let large = file(volume, "large", &pattern(2 * CHUNK as usize + 5000, 3));
    volume.write(&large, 5 * CHUNK + 4096, b"behind a hole", now(), 0).unwrap();
    let folder = volume.create(&root, b"folder", new(Kind::Directory)).unwrap();
    for n in 0..200 {
        volume.create(&folder, format!("entry {n}").as_bytes(), new(Kind::File)).unwrap();
    }
    volume.unlink(&folder, b"entry 7", now()).unwrap();
    let inline = volume.lookup(&root, b"inline").unwrap().unwrap();
    volume.link(&inline, &folder, b"second name", now()).unwrap();
}

#[test]
fn it_reads_what_the_volume_wrote() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    fill(&volume);
    volume.close().unwrap();
    let volume = fixture.open(store.clone());
    assert_eq!(compare(&volume, &reader(&fixture, &store), &volume.root().unwrap()), 204);
    let reader = reader(&fixture, &store);
    let large = reader.node(reader.find(b"/large").unwrap().0).unwrap();
    let layout = Content::new(&reader, &large).layout();
    assert_eq!(layout.data, [0..2 * CHUNK + 8192, 5 * CHUNK + 4096..5 * CHUNK + 4096 + 13]);
    assert!(layout.lost.is_empty());
    assert_eq!(reader.path_of(reader.find(b"folder/entry 8").unwrap().0).unwrap(), b"folder/entry 8");
    assert!(matches!(reader.find(b"folder/entry 7"), Err(Error::NotFound)));
}

#[test]
fn what_only_batches_say_is_read_from_them() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    let folder = volume.create(&root, b"folder", new(Kind::Directory)).unwrap();
    let carried = volume.create(&folder, b"carried", new(Kind::File)).unwrap();
    volume.write(&carried, 0, b"in the batch", now(), 0).unwrap();
    volume.sync(&carried, false).unwrap();
    // As after a kill: nothing but the journal has the names.
    let reader = reader(&fixture, &store);
    let (id, _) = reader.find(b"folder/carried").unwrap();
    assert_eq!(read(&reader, id), b"in the batch");
    let bare = Reader::new(fixture.context(store.clone()), CHUNK);
    assert!(matches!(bare.find(b"folder/carried"), Err(Error::NotFound)), "chunk files alone do not say so");
    // Whoever has only a copy of the folder gets no empty file for a chunk file that did not come along.
    let empty = volume.create(&folder, b"not carried", new(Kind::File)).unwrap();
    volume.sync_directory(&folder).unwrap();
    let other = fixture.another(*b"device 2");
    let (seen, _) = Reader::new(other.context(store.clone()), CHUNK).with_journals().unwrap();
    assert!(matches!(seen.node(empty.id()), Err(Error::NotArrived(_))));
}

#[test]
fn what_is_lost_is_said_and_the_rest_is_read() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    let all = pattern(3 * CHUNK as usize, 9);
    let id = file(&volume, "large", &all).id();
    volume.close().unwrap();
    drop(volume);
    let context = fixture.context(store.clone());
    store.remove(context.file_name(ChunkId { inode: id, index: ChunkIndex(1) })).unwrap();
    let block = store.open(context.file_name(ChunkId { inode: id, index: ChunkIndex(2) })).unwrap();
    block.write_at(4096 * 20 + 9, &[std::io::IoSlice::new(b"damage")]).unwrap();
    let reader = reader(&fixture, &store);
    let node = reader.node(id).unwrap();
    let mut content = Content::new(&reader, &node);
    let layout = content.layout();
    assert_eq!(layout.data, [0..FIRST, FIRST + CHUNK..3 * CHUNK]);
    assert_eq!(layout.lost.len(), 1);
    assert_eq!(layout.lost[0].range, FIRST..FIRST + CHUNK);
    assert!(content.read(FIRST, &mut [0; 4096]).is_err());
    let (mut bytes, mut lost) = (vec![0; CHUNK as usize], Vec::new());
    content.read_rest(FIRST + CHUNK, &mut bytes, &mut lost);
    assert_eq!(lost.len(), 1);
    let range = lost[0].range.clone();
    assert_eq!(range.end - range.start, 4096);
    let from = (range.start - FIRST - CHUNK) as usize;
    bytes[from..from + 4096].copy_from_slice(&all[range.start as usize..][..4096]);
    assert!(bytes == all[(FIRST + CHUNK) as usize..][..CHUNK as usize]);
}

#[test]
fn a_chunk_that_is_older_than_its_table_says_is_lost() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    let large = file(&volume, "large", &pattern((FIRST + CHUNK) as usize, 9));
    volume.checkpoint().unwrap();
    let second =
        fixture.context(store.clone()).file_name(ChunkId { inode: large.id(), index: ChunkIndex(1) });
    let held = bytes_of(&store, second);
    volume.write(&large, CHUNK, b"newer", now(), 0).unwrap();
    let id = large.id();
    drop(large);
    volume.close().unwrap();
    store.create(second).unwrap().write_at(0, &[std::io::IoSlice::new(&held)]).unwrap();
    // A device that has seen neither.
    let other = fixture.another(*b"device 2");
    let reader = reader(&other, &store);
    let layout = Content::new(&reader, &reader.node(id).unwrap()).layout();
    assert_eq!((layout.data.len(), layout.data[0].end, layout.lost.len()), (1, FIRST, 1));
    assert!(
        matches!(layout.lost[0].error, Error::Damaged(_, Damage::RolledBack { .. })),
        "{:?}",
        layout.lost
    );
}

fn bytes_of(store: &Memory, name: FileName) -> Vec<u8> {
    let file = store.open(name).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}
