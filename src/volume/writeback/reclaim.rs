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
            let reclaimed = if chunk.needs_reclaim() { reclaim(chunk) } else { Ok(()) };
            if let Err(error) = reclaimed.and_then(|()| chunk.write_backup_root().map(|_| ())) {
                log::warn!("space of a chunk could not be reclaimed: {error}");
            }
        }
    }
}

/// What reclaiming changed is committed at once: no flush would come for it.
fn reclaim(chunk: &mut Chunk) -> chunk::Result<()> {
    chunk.reclaim()?;
    if chunk.is_dirty() {
        chunk.commit()?;
        chunk.sync()?;
    }
    Ok(())
}
