//! A file that no attack concerns: its own chunk file, its directory's, the root's and this device's journal are spared.
//!
//! It can be written and synced whatever happens to the others. A volume that stopped is nothing wrong to whoever only
//! reads.

use super::*;

pub(super) struct Bystander {
    directory: InodeId,
    inode: InodeId,
    pub files: Vec<FileName>,
    /// Otherwise these files may be attacked as well.
    pub is_spared: bool,
}

impl Bystander {
    pub fn new(volume: &Arc<Volume>) -> Bystander {
        let root = volume.root().unwrap();
        let directory = volume.create(&root, b"aside", new(Kind::Directory)).unwrap();
        let inode = volume.create(&directory, b"bystander", new(Kind::File)).unwrap().id();
        let directory = directory.id();
        let chunks = [InodeId::ROOT, directory, inode].map(ChunkId::first);
        let chunks = chunks.into_iter().chain([volume.base.context.own_journal()]);
        let files = chunks.map(|id| volume.base.context.file_name(id)).collect();
        Bystander { directory, inode, files, is_spared: false }
    }

    /// Whether an entry is the bystander's, which nobody else works with.
    pub fn has(&self, entry: &Entry) -> bool {
        entry.0 == self.directory || entry.2 == self.directory
    }
}

impl Scenario {
    pub(super) fn know_bystander(&mut self) {
        let Bystander { directory, inode, .. } = self.bystander;
        self.entries.insert((InodeId::ROOT, b"aside".to_vec(), directory));
        self.entries.insert((directory, b"bystander".to_vec(), inode));
        self.contents.insert(inode, vec![Vec::new()]);
    }

    pub(super) fn spares(&self, name: FileName) -> bool {
        self.bystander.is_spared && self.bystander.files.contains(&name)
    }

    pub(super) fn check_bystander(&mut self, volume: &Volume) {
        if !self.bystander.is_spared {
            return;
        }
        let content = pattern(1 + self.rng.below(2 * BLOCK), self.rng.0);
        let states = self.contents.get_mut(&self.bystander.inode).expect("it is known");
        // Cut first: each call is a state.
        states.extend([Vec::new(), content.clone()]);
        let outcome = volume.inode(self.bystander.inode).and_then(|inode| {
            volume.resize(&inode, 0, now(), 0)?;
            volume.write(&inode, 0, &content, now(), 0)?;
            volume.sync(&inode, false)
        });
        assert!(outcome.is_ok(), "the bystander suffers: {outcome:?}; {:#?}", self.attacks);
    }
}
