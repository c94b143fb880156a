//! The background flusher: runs a checkpoint, closes chunk files, or tells of findings, when the schedule says so.

use super::Writeback;
use crate::volume::Result;
use crate::volume::base::Task;
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::State;
use std::sync::{Arc, Weak};

/// Bytes of files that are stored within a second.
const SMALL: u64 = 1 << 20;

impl Writeback {
    /// Starts the background flusher, which ends with [`Writeback::end_flusher`]. Of a volume that is read-only it does
    /// nothing but tell of findings.
    ///
    /// # Errors
    /// The system has no thread for it: nothing would be written but by fsync.
    pub fn start_flusher(self: &Arc<Self>) -> Result<()> {
        let writeback = Arc::downgrade(self);
        let thread =
            std::thread::Builder::new().name("flusher".into()).spawn(move || flush_on_schedule(&writeback));
        *self.flusher.lock() = Some(thread?);
        Ok(())
    }

    /// Ends the flusher and waits for it.
    pub fn end_flusher(&self) {
        self.base.schedule.end();
        if self.flusher.lock().take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the flusher ended in a panic");
        }
    }
}

impl Writeback {
    /// Stores what is new of names and small files: the death of this process must not take it along. What fails waits for
    /// the next checkpoint, and so does what somebody works with just now.
    pub fn round(&self) -> Result<()> {
        self.base.check_live()?;
        self.commit(None)?;
        let is_wanted = |state: &State| {
            let is_small = state.record.kind == Kind::File && state.record.size <= SMALL;
            is_small && state.record.links_count > 0 && state.recorded && state.is_dirty()
        };
        self.flush(&self.cache.queued(is_wanted))
    }
}

fn flush_on_schedule(writeback: &Weak<Writeback>) {
    let mut is_failing = false;
    while let Some(writeback) = writeback.upgrade() {
        match writeback.base.schedule.wait() {
            None => return,
            Some(Task::Report) => writeback.cache.report(),
            Some(Task::Checkpoint | Task::Round) if writeback.base.read_only => {}
            Some(Task::Close) => {
                if writeback.cache.close_resting() {
                    writeback.base.schedule.close_later();
                }
            }
            Some(Task::Round) => {
                if let Err(error) = writeback.round() {
                    log::debug!("small files wait for a checkpoint: {error}");
                }
            }
            Some(Task::Checkpoint) => {
                match writeback.checkpoint() {
                    Err(error) => {
                        let level = if is_failing { log::Level::Debug } else { log::Level::Warn };
                        log::log!(level, "not everything could be written yet, and is tried again: {error}");
                        is_failing = true;
                        writeback.base.schedule.wake();
                        writeback.base.schedule.pause();
                    }
                    Ok(()) if std::mem::take(&mut is_failing) => log::warn!("everything is written again"),
                    Ok(()) => {}
                }
                writeback.base.schedule.close_later();
            }
        }
    }
}
