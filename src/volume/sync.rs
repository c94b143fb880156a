//! fsync: returns when what was written, and the name it has, would survive a power cut.

use super::inode::{Inode, Standing};
use super::{Result, Volume};
use std::sync::Arc;

impl Volume {
    /// Makes a file durable with its name. `data_only`: times may be lost.
    pub fn sync(&self, inode: &Arc<Inode>, data_only: bool) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.check_live()?;
        if inode.is_directory() {
            return self.sync_directory(inode);
        }
        let (carryable, settled, wanted, clean) = {
            let _flushed = inode.serial.lock();
            let state = inode.state.read();
            if state.record.links_count == 0 {
                return Ok(());
            }
            let wanted = if data_only { state.progress.substantial } else { state.progress.made };
            let settled = state.standing == Standing::Settled;
            (state.is_carryable(), settled && state.named, wanted, state.progress.durable >= wanted)
        };
        match (settled, clean, carryable) {
            (true, true, _) => Ok(()),
            (true, false, _) => self.flush(std::slice::from_ref(inode)),
            (false, true, _) => self.commit_unless_settled(inode),
            (false, false, true) => {
                self.commit_batch(Some(inode))?;
                // Meanwhile it may have outgrown what a batch carries.
                let is_durable = inode.state.read().progress.durable >= wanted;
                if is_durable { Ok(()) } else { self.flush(std::slice::from_ref(inode)) }
            }
            (false, false, false) => {
                self.flush(std::slice::from_ref(inode))?;
                self.commit_unless_settled(inode)
            }
        }
    }

    /// Makes a directory's entries durable, with whatever is pending of all directories, and its attributes.
    pub fn sync_directory(&self, directory: &Arc<Inode>) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.commit_batch(None)?;
        let state = directory.state.read();
        let (named, progress) = (state.record.links_count > 0, state.progress);
        drop(state);
        if named && progress.durable < progress.attributes {
            return self.flush(std::slice::from_ref(directory));
        }
        Ok(())
    }

    fn commit_unless_settled(&self, inode: &Arc<Inode>) -> Result<()> {
        let standing = inode.state.read().standing;
        if standing == Standing::Settled { Ok(()) } else { self.commit_batch(None) }
    }
}
