//! Fuzzing of inode records, directory logs, batches and the journal, and of whole volumes whose chunks authenticate but
//! say anything.

use crate::chunk::fuzzing::seal;
use crate::chunk::{BLOCK, ChunkId, Context, DeviceId, InodeId};
use crate::crypto::{Cipher, Secret};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::volume::format::batch::{Item, parse};
use crate::volume::format::journal::JournalRecord;
use crate::volume::format::record::FIXED;
use crate::volume::{Directory, Kind, Options, Record, Volume};
use std::io::IoSlice;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

const DEVICES: [DeviceId; 2] = [DeviceId([1; 8]), DeviceId([2; 8])];
const CHUNK: u64 = 1 << 20;

/// An inode's record, in a root or in a batch.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = Record::decode_whole(bytes) {
        let mut again = Vec::new();
        record.encode_whole(&mut again).expect("what was decoded is within the limits");
        assert!(
            Record::decode_whole(&again).as_ref() == Ok(&record),
            "a record changes when it is written again"
        );
    }
    let (root, overflow) = bytes.split_at(bytes.len().min(FIXED));
    for (root, overflow) in [(bytes, None), (root, Some(overflow))] {
        let _ = Record::overflow_length(root);
        let _ = Record::decode(root, overflow);
    }
}

/// A directory's log, as stored and as it stands in a batch.
pub fn directory(bytes: &[u8]) {
    let vector: Vec<_> = DEVICES.iter().map(|device| (*device, 100)).collect();
    let mut applied = Vec::new();
    let _ = Directory::new(vector.clone()).apply(bytes, &DEVICES, &mut applied);
    let mut directory = Directory::new(vector.clone());
    if directory.load(bytes).is_err() {
        return;
    }
    let mut compacted = Vec::new();
    directory.write_compacted(&mut compacted);
    let mut again = Directory::new(vector);
    again.load(&compacted).expect("what was compacted can be loaded");
    let entries = |directory: &Directory| {
        let entries = directory.iter_after(0).map(|entry| (entry.cookie, entry.name.to_vec(), entry.inode));
        entries.collect::<Vec<_>>()
    };
    assert!(entries(&directory) == entries(&again), "a directory changes when it is compacted");
}

/// The live part of a journal.
pub fn batch(bytes: &[u8]) {
    for batch in parse(bytes).into_iter().flatten() {
        for item in batch.items {
            if let Item::Directory { devices, log, .. } = item {
                let _ = Directory::new(Vec::new()).apply(log, &devices, &mut Vec::new());
            }
        }
    }
}

/// The record in a journal's root.
pub fn journal(bytes: &[u8]) {
    let _ = JournalRecord::decode(bytes);
}

/// A volume of one chunk, or of a root directory and one more chunk: the first byte says which. The rest is the
/// plaintext of its root.
pub fn sealed(bytes: &[u8]) {
    let Some((which, plain)) = bytes.split_first() else { return };
    static EMPTY: OnceLock<(Arc<Context>, [u8; BLOCK])> = OnceLock::new();
    let (context, root) = EMPTY.get_or_init(|| {
        let context = context(Arc::new(Memory::new()));
        Volume::format(&context, CHUNK, 0, 0).expect("a new volume");
        let mut block = [0; BLOCK];
        let name = context.file_name(head(InodeId::ROOT));
        context.store.open(name).and_then(|file| file.read_at(0, &mut block)).expect("its root directory");
        (context, block)
    });
    let store = Memory::new();
    let put = |id, block: &[u8; BLOCK]| {
        let file = store.create(context.file_name(id)).expect("a file in memory");
        // A second root that is none: the file is not cut short.
        file.write_at(0, &[IoSlice::new(block), IoSlice::new(&[0; BLOCK])]).expect("memory");
    };
    put(head(InodeId::ROOT), root);
    let id = match which % 3 {
        0 => head(InodeId::ROOT),
        1 => context.own_journal(),
        _ => head(InodeId([5; 12])),
    };
    put(id, &seal(context, id, plain));
    look(Arc::new(store), id.inode);
}

fn look(store: Arc<dyn Store>, suspect: InodeId) {
    let open_files = NonZeroUsize::new(64).expect("not zero");
    let options = Options { chunk_size: CHUNK, read_only: true, open_files, stateless: false };
    let Ok(volume) = Volume::open(context(store), options) else { return };
    for id in [InodeId::ROOT, suspect] {
        let Ok(inode) = volume.inode(id) else { continue };
        if inode.view(|record| record.kind) == Kind::Directory {
            let _ = volume.read_directory(&inode, 0, &mut |_, _, id, _| volume.inode(id).is_ok());
        } else {
            let _ = volume.read(&inode, 0, &mut [0; 3 * BLOCK]);
            let _ = volume.read(&inode, 3 * CHUNK, &mut [0; 2 * BLOCK]);
            let _ = volume.seek(&inode, 0, true);
        }
    }
}

/// Always the same keys.
fn context(store: Arc<dyn Store>) -> Arc<Context> {
    let secret = |byte| Secret::from_slice(&[byte; 32]).expect("32 bytes");
    Arc::new(Context::new(store, DEVICES[0], Cipher::Aes256Gcm, &secret(1), vec![secret(2)]))
}

fn head(inode: InodeId) -> ChunkId {
    ChunkId::first(inode)
}
