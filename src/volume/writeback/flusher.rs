//! The background flusher: runs a checkpoint, closes chunk files, or tells of findings, when the schedule says so.

use super::Writeback;
use crate::volume::base::{Task, threads};
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::{Inode, State};
use crate::volume::{Error, Result};
use std::sync::{Arc, Weak};

/// Bytes of files that are stored within a second.
const SMALL: u64 = 1 << 20;
/// Bytes of new files that a batch of a round carries, about.
const CARRIED: usize = 1 << 20;
/// Bytes that a batch has of a file beside its content and its extension, at most.
const RECORD: usize = 512;

impl Writeback {
    /// Starts the background flusher, and who holds space ahead; they end with [`Writeback::end_flusher`]. Of a volume that is
    /// read-only the flusher does nothing but tell of findings.
    ///
    /// # Errors
    ///
    /// The system has no thread for it: nothing would be written but by fsync.
    pub fn start_flusher(self: &Arc<Self>) -> Result<()> {
        let writeback = Arc::downgrade(self);
        let thread =
            std::thread::Builder::new().name("flusher".into()).spawn(move || flush_on_schedule(&writeback));
        *self.flusher.lock() = Some(thread?);
        if !self.base.read_only {
            let headroom = self.base.context.headroom.clone();
            let thread = std::thread::Builder::new().name("headroom".into());
            let thread = thread.spawn(move || headroom.hold_ahead());
            // Whoever needs space waits for it, then.
            let thread = thread.inspect_err(|error| log::warn!("no space is held ahead: {error}"));
            *self.holder.lock() = thread.ok();
        }
        Ok(())
    }

    /// Ends the flusher, and who holds space ahead, and waits for them.
    pub fn end_flusher(&self) {
        self.base.schedule.end();
        self.base.context.headroom.end();
        let thread = self.flusher.lock().take();
        thread.into_iter().for_each(|thread| threads::join(thread, "the flusher"));
        let thread = self.holder.lock().take();
        thread.into_iter().for_each(|thread| threads::join(thread, "holding space ahead"));
    }
}

impl Writeback {
    /// Stores what is new of names and small files: the death of this process must not take it along. What fails waits for
    /// the next checkpoint, and so does what somebody works with just now.
    ///
    /// # Errors
    ///
    /// As [`Writeback::commit`] and [`Writeback::flush`].
    pub fn round(&self) -> Result<()> {
        self.base.check_live()?;
        self.commit_new()?;
        let is_wanted = |state: &State| {
            let is_small = state.record.kind == Kind::File && state.record.size <= SMALL;
            is_small && state.recorded && is_unsaved(state) && !is_new(state)
        };
        self.flush(&self.cache.queued(is_wanted))
    }

    /// Commits what is pending, with as many of the files that have no chunk file yet as the journal has room for. Making
    /// those is what costs, and whoever creates more of them wants the CPUs and the disk: making them waits for a checkpoint.
    fn commit_new(&self) -> Result<()> {
        let mut new = self.cache.queued(|state| is_unsaved(state) && is_new(state)).into_iter().peekable();
        while new.peek().is_some() && !self.journal.file().is_filling() {
            let mut room = CARRIED;
            let carried: Vec<_> = std::iter::from_fn(|| {
                let length = length_in_batch(new.peek()?);
                room = room.checked_sub(length)?;
                new.next()
            })
            .collect();
            match self.try_commit(&carried, false) {
                Ok(true) => {}
                Err(error) if !error.is_passing() => return Err(error),
                // Space is held for names alone.
                _ => break,
            }
        }
        self.commit(&[])
    }
}

fn is_unsaved(state: &State) -> bool {
    state.record.links_count > 0 && state.is_unsaved()
}

/// A file that a batch can carry, and that has no chunk file.
fn is_new(state: &State) -> bool {
    state.record.kind == Kind::File && !state.named && state.is_carryable()
}

/// About, and at most what a batch carries.
fn length_in_batch(inode: &Inode) -> usize {
    let length = inode.view(|record| record.size as usize + record.extension_length());
    (length + RECORD).min(CARRIED)
}

fn flush_on_schedule(writeback: &Weak<Writeback>) {
    let mut is_failing = false;
    while let Some(writeback) = writeback.upgrade() {
        match writeback.base.schedule.wait() {
            None => return,
            Some(Task::Report) => writeback.cache.report_lasting(),
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
                let done = writeback.checkpoint();
                if !done.as_ref().is_err_and(Error::is_exchange) {
                    writeback.base.note_checkpoint(&done);
                }
                match done {
                    Err(error) => {
                        // Of a sync client at work nobody need be told; what stays so is found damaged.
                        let is_news = !is_failing && !error.is_exchange();
                        let level = if is_news { log::Level::Warn } else { log::Level::Debug };
                        log::log!(target: "cryptfs::delayed", level, "not everything could be written yet, and is tried again: {error}");
                        is_failing |= is_news;
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
