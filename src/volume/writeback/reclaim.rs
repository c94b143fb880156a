//! What can wait until an inode is durable: backup roots, space given back.

use super::Writeback;
use crate::chunk::{self, Chunk};
use crate::volume::inode::state::Inode;
use std::sync::Arc;

impl Writeback {
    /// What can wait until an inode is durable: settled roots, space given back.
    pub fn reclaim(&self, inode: &Arc<Inode>) {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        if state.is_dirty() {
            return;
        }
        for chunk in state.chunks_mut() {
            let tidied = if chunk.needs_reclaim() { tidy(chunk) } else { Ok(()) };
            if let Err(error) = tidied.and_then(|()| chunk.write_backup_root().map(|_| ())) {
                log::warn!("a chunk could not be tidied up: {error}");
            }
        }
    }
}

/// What tidying changed is committed at once: no flush would come for it.
fn tidy(chunk: &mut Chunk) -> chunk::Result<()> {
    chunk.reclaim()?;
    if chunk.is_dirty() {
        chunk.commit()?;
        chunk.sync()?;
    }
    Ok(())
}
