//! What must hold in every state that is explored.

use super::*;

impl Explorer {
    pub(super) fn judge_content(&self, chunk: &Chunk, content: &Content) -> Judgement {
        for (number, block) in (0..).zip(content) {
            let mut out = [0; BLOCK];
            chunk.read(Section::Data, BlockNumber(number), &mut out).map_err(text)?;
            let expected = block.map_or([0; BLOCK], plain);
            if out != expected {
                return Err(format!("block {number} is not what was written"));
            }
        }
        Ok(())
    }

    /// A version is read whole: with all devices, or none of them for what was there before they joined.
    pub(super) fn judge_devices(&self, chunk: &Chunk) -> Judgement {
        let devices =
            if chunk.version().commit() == self.filled { 0 } else { usize::from(self.size.devices) };
        match chunk.version().0.len() {
            count if count == 1 + devices => Ok(()),
            count => Err(format!("{count} devices in {:?}", chunk.version())),
        }
    }

    /// An unreadable slot is an error, or is not needed; it is no reason to find an older commit.
    pub(super) fn judge_read_errors(&self, node: &Node) -> Judgement {
        let Ok(newest) = self.reopen().map(|chunk| chunk.version().commit()) else { return Ok(()) };
        for slot in 2..node.disk.slots.len() {
            self.drive.0.lock().unreadable = Some(slot);
            let opened = self.reopen().map(|chunk| chunk.version().commit());
            self.drive.0.lock().unreadable = None;
            match opened {
                Ok(commit) if commit == newest => {}
                Err(Error::Io(..)) => {}
                Ok(commit) => return Err(format!("{commit:?} instead of {newest:?} after a read error")),
                Err(error) => return Err(format!("a read error became: {error}")),
            }
        }
        Ok(())
    }

    fn is_of_version(&self, chunk: &Chunk, slot: usize) -> bool {
        let entry = chunk.metadata.get(vector::NUMBER, &chunk.blocks());
        entry.is_ok_and(|entry| entry.slot.index() == slot)
    }

    /// A settled commit, or one known durable, never falls back, whatever became of its blocks.
    pub(super) fn judge_damage(&self, node: &Node) -> Judgement {
        let Some(newest) = self.reopen().ok().filter(|chunk| chunk.rejected().is_none()) else {
            return Ok(());
        };
        let (version, settled) = (newest.version().clone(), newest.newest.is_some_and(|root| root.settled));
        for slot in 2..node.disk.slots.len() {
            self.drive.0.lock().slots[slot].versions.push(Disk::torn());
            let known = Chunk::open_known(&self.context, ID, BlockCount(self.size.blocks), Some(&version))
                .map_err(text);
            let unknown = self.reopen();
            self.drive.0.lock().slots[slot].versions.pop();
            // Without its version nobody knows how new it is.
            if self.is_of_version(&newest, slot) && known.is_err() && (unknown.is_err() || !settled) {
                continue;
            }
            let sure = [Some(known?), settled.then_some(unknown).transpose().map_err(text)?];
            if sure.iter().flatten().any(|chunk| chunk.rejected().is_some()) {
                return Err(format!("{version:?} was given up"));
            }
        }
        Ok(())
    }
}
