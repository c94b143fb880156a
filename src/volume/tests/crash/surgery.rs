//! Operations and attacks on a volume under a live mount, and what they mean for the inode that is corrupt: whether it may
//! be an error by now, and what is promised of it.

use super::Start;
use super::attack::{Attack, Subject};
use super::check::{read, said};
use super::model::Model;
use super::operation::Bench;
use super::operation::Operation::{self, *};
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::power::Power;
use crate::volume::inode::state::Standing;
use crate::volume::{Error, Inode, Kind, Volume};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of the inode that was corrupt.
#[derive(Clone, Default)]
pub(super) struct Wound {
    pub id: Option<InodeId>,
    pub is_in_place: bool,
    /// It may be an error.
    pub may_fail: bool,
    /// It was given up, and nothing of it was stored since.
    pub is_lost: bool,
    /// A kill left it unreadable, and a power cut may bring back the file that stood there before: a directory's entries
    /// are not in the model.
    pub is_blind: bool,
    /// A directory's entries, which nobody finds where it cannot be read.
    pub hidden: BTreeSet<InodeId>,
}

/// What of an inode is not in its own chunks yet.
struct Busy {
    chunks: bool,
    durable: bool,
}

impl Busy {
    fn of(volume: &Volume, id: InodeId) -> Option<Busy> {
        let inode = volume.cache.peek(id)?;
        let state = inode.state.read();
        let is_listed = state.entries.as_ref().is_none_or(|entries| entries.is_stored());
        let chunks = state.is_dirty() || state.standing != Standing::Durable || !is_listed;
        Some(Busy { chunks, durable: state.progress.durable < state.progress.made })
    }
}

pub(super) fn in_memory(volume: &Volume, id: InodeId) -> Option<Arc<Inode>> {
    volume.cache.peek(id)
}

pub(super) fn is_lost(inode: &Arc<Inode>) -> bool {
    inode.state.read().lost.is_some()
}

/// Whoever had it open closes it.
fn close(volume: &Volume, inode: Arc<Inode>) {
    if inode.view(|record| record.links_count > 0) {
        volume.release(inode);
    }
}

fn is_carryable(inode: &Arc<Inode>) -> bool {
    inode.state.read().is_carryable()
}

/// A step of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Do(Operation),
    Spoil(Attack),
}

/// Runs operations on a volume and notes what they mean for what is corrupt.
pub(super) struct Surgery<'a> {
    pub start: &'a Start,
    pub subject: &'a Subject,
    pub volume: &'a Volume,
    pub store: &'a Power,
    pub wound: Wound,
    /// Somebody has it open all the time, or else as long as an operation takes.
    pub is_held: bool,
}

impl Surgery<'_> {
    /// `false`: it makes no sense.
    pub fn step(&mut self, bench: &mut Bench<'_>, step: Step) -> Result<bool, String> {
        match step {
            Step::Spoil(attack) => {
                let done = self.spoil(bench.model, attack);
                bench.model.advance();
                Ok(done)
            }
            Step::Do(operation) => self.operate(bench, operation),
        }
    }

    fn spoil(&mut self, model: &Model, attack: Attack) -> bool {
        let Some(id) = model.find(self.subject.path) else { return false };
        let name =
            self.volume.base.context.file_name(ChunkId { inode: id, index: ChunkIndex(self.subject.index) });
        let is_carried = in_memory(self.volume, id).is_some_and(|inode| {
            let state = inode.state.read();
            let is_written = !attack.is_in_place() || state.is_carryable();
            state.record.kind != Kind::Directory && state.progress.carried > 0 && is_written
        });
        self.wound = Wound {
            id: Some(id),
            is_in_place: attack.is_in_place(),
            // The same is as good as it was.
            may_fail: !is_carried && attack != Attack::Same,
            is_lost: false,
            is_blind: false,
            hidden: model.entries(id, model.done()).0,
        };
        attack.run(self.store, &self.start.store, name)
    }

    fn operate(&mut self, bench: &mut Bench<'_>, operation: Operation) -> Result<bool, String> {
        let Some(id) = self.wound.id else { return said("an operation", bench.run(operation)) };
        let promised = bench.model.promised(id);
        let names_it = bench.model.find(self.subject.path) == Some(id);
        let busy = Busy::of(self.volume, id);
        let open = in_memory(self.volume, id);
        let was_carryable = open.as_ref().is_some_and(is_carryable);
        let was_whole =
            was_carryable || open.as_ref().is_some_and(|inode| inode.state.read().entries.is_some());
        let is_done = match bench.run(operation) {
            Ok(true) => true,
            Ok(false) => return Ok(false),
            Err(error) if names_it && names(operation, self.subject.path) && is_of(&error, id) => {
                // A write to several chunks may have been done in part.
                if self.subject.path == "c"
                    && !open.as_ref().is_some_and(is_lost)
                    && operation != self.subject.sync()
                {
                    return Ok(false);
                }
                bench.model.advance();
                false
            }
            Err(error) => return Err(format!("{operation:?}: {error:?}")),
        };
        let has_blocks = open.as_ref().is_some_and(|inode| !is_carryable(inode));
        let is_lost = open.as_ref().is_some_and(is_lost);
        if let Some(open) = open.filter(|_| !self.is_held) {
            close(self.volume, open);
        }
        if is_lost && was_whole && !self.wound.is_lost && self.subject.index == 0 {
            return Err(format!("{operation:?}: it was given up, and memory had all of it"));
        }
        self.wound.is_lost |= is_lost;
        if is_lost {
            bench.model.promise_only(id, promised);
            return self.look_again(bench.model, id).map(|()| true);
        }
        let is_stored = match operation {
            Round => busy.is_some_and(|busy| busy.chunks),
            Sync(path) => names_it && path == self.subject.path && busy.is_some_and(|busy| busy.durable),
            _ => false,
        };
        let is_noticed = self.subject.index == 0 && (!self.wound.is_in_place || was_carryable);
        if is_done && is_stored && is_noticed {
            (self.wound.may_fail, self.wound.is_lost) = (false, false);
        }
        if self.wound.is_lost {
            bench.model.promise_only(id, promised);
        }
        self.wound.may_fail |= self.wound.is_in_place && has_blocks;
        self.wound.hidden.extend(bench.model.entries(id, bench.model.done()).0);
        Ok(true)
    }

    /// What was given up and left memory is what its chunk files say from now on, if they do.
    fn look_again(&self, model: &mut Model, id: InodeId) -> Result<(), String> {
        if in_memory(self.volume, id).is_some() {
            return Ok(());
        }
        match read(self.volume, id) {
            Ok((version, _)) => {
                model.check_file(model.done(), id, &version)?;
                model.change(id, version);
            }
            Err(error) if is_of(&error, id) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(())
    }
}

/// Whether an operation works with a path itself.
fn names(operation: Operation, path: &str) -> bool {
    match operation {
        Write { path: on, .. } | Append { path: on, .. } | Unlink(on) | SetMode(on, _) | SetXattr(on, _) => {
            on == path || on.starts_with(path) && path == "d"
        }
        Create(on) => on.starts_with(path) && path == "d",
        Sync(on) | SyncDirectory(on) | Flush(on) | Rename(on, _) | Link(on, _) => on == path,
        _ => false,
    }
}

fn is_of(error: &Error, id: InodeId) -> bool {
    error.chunk().is_some_and(|chunk| chunk.inode == id)
}
