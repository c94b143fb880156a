//! What every room of a volume works with: the chunk context and options, whether promises can still be kept, and when
//! the flusher has something to do.

mod clock;
mod schedule;
mod stand_ins;
mod withheld;

pub use schedule::{Schedule, Task};

use crate::chunk::Context;
use crate::store::FileName;
use crate::volume::format::directory_log::Author;
use crate::volume::format::geometry::Geometry;
use crate::volume::format::stamp::Stamp;
use crate::volume::{Error, Result};
use parking_lot::Mutex;
use stand_ins::StandIns;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use withheld::Withheld;

/// Above this many files one syncfs is cheaper than an fdatasync each, where it does as much.
pub const SYNC_ALL_ABOVE: usize = 30;

/// What a volume is opened with, besides the context.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes; from the header.
    pub chunk_size: u64,
    pub read_only: bool,
    /// Chunk files held open at most, unless more are waiting to be synced.
    pub open_files: NonZeroUsize,
}

pub struct Base {
    pub context: Arc<Context>,
    pub geometry: Geometry,
    pub read_only: bool,
    pub schedule: Schedule,
    pub stand_ins: Mutex<StandIns>,
    pub withheld: Mutex<Withheld>,
    stopped: AtomicBool,
}

impl Base {
    pub fn new(context: Arc<Context>, options: Options) -> Base {
        Base {
            geometry: Geometry::new(options.chunk_size),
            read_only: options.read_only || context.store.is_read_only(),
            schedule: Schedule::default(),
            stand_ins: Mutex::default(),
            withheld: Mutex::default(),
            stopped: AtomicBool::new(false),
            context,
        }
    }

    /// No promise can be kept any more: from now on nothing is written.
    pub fn stop(&self, error: &Error) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            log::error!("the volume stops, and nothing is written any more: {error}");
        }
    }

    /// # Errors
    /// [`Error::Stopped`] once the volume stopped.
    pub fn check_live(&self) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// # Errors
    /// [`Error::ReadOnly`] and [`Error::Stopped`].
    pub fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_live()
    }

    /// A stamp for a change of content, which names nothing else.
    pub fn stamp(&self) -> Stamp {
        Stamp { device: self.context.device, commit: self.context.next_commit() }
    }

    /// This device, as it adds an entry to a directory.
    pub fn author(&self) -> Author {
        Author { device: self.context.device, now: self.context.next_commit() }
    }

    /// # Errors
    /// [`Error::FileTooLarge`] if a file cannot end at `end` bytes.
    pub fn check_size(&self, end: u64) -> Result<()> {
        if end > self.geometry.size_limit() { Err(Error::FileTooLarge) } else { Ok(()) }
    }

    /// Makes the coming and going of files durable.
    pub fn sync_names(&self, names: &[FileName]) -> Result<()> {
        match names.len() {
            0 => {}
            count if count > SYNC_ALL_ABOVE && self.context.store.sync_all_is_complete() => {
                self.context.store.sync_all()?
            }
            _ => self.context.store.sync_names(names)?,
        }
        Ok(())
    }
}
