//! What of an inode is shown. Whoever shows a volume keeps names and attributes until he is told that they are others, so what
//! nobody asked for is noted before it changes, and compared with what came of it once it is told.

use super::state::{Inode, State};
use crate::chunk::{DeviceId, InodeId, Version};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::Record;
use crate::volume::mutants::{self, Mutant};
use hashbrown::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Whoever overwrites content so soon after it was told, and that nobody has read, means what it was before.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// What is shown of an inode, and was read.
#[derive(Default)]
pub struct Showing {
    /// What is shown of it, if that is perhaps another since.
    shown: Option<Box<Shown>>,
    /// When content that took the place of what was shown was told, if nobody has read it since.
    unread: Option<Instant>,
}

/// A state of an inode as it was shown.
pub struct Shown {
    pub record: Record,
    /// Of chunk 0.
    pub version: Version,
    /// Of a directory that was loaded, what each name led to.
    pub names: Option<Names>,
    /// Names of it that were asked for since: what they lead to now is shown.
    asked: HashSet<Box<[u8]>>,
    /// Of a file: what it became and is not shown has a file of its own.
    is_spared: bool,
    /// What it became is being told.
    is_being_told: bool,
}

/// What the names of a directory lead to.
pub type Names = HashMap<Box<[u8]>, (InodeId, Kind)>;

impl Inode {
    /// Whether it is perhaps another than whoever shows it was told last.
    pub fn is_another_than_shown(&self) -> bool {
        self.state.read().shown().is_some()
    }

    /// Whether it has content of another device's, none of which this device changed since, that is about to be overwritten from
    /// `at` on by somebody who was shown another one, or was told just now and did not read it. It is to be spared once.
    pub fn takes_unseen(&self, at: u64, device: DeviceId) -> bool {
        let mut state = self.state.write();
        let (content, is_own_work) = (state.record.content, state.is_dirty() && !state.is_only_learnt());
        let is_there = state.record.kind == Kind::File && at < state.record.size && state.table.is_empty();
        let is_unread = state.0.showing.unread.take().is_some_and(|told| told.elapsed() < READ_WITHIN);
        let shown = state.0.showing.shown.as_mut();
        let is_untold =
            shown.as_ref().is_some_and(|shown| !shown.is_spared && shown.record.content != content);
        let is_unseen = is_there && (is_untold || is_unread) && !is_own_work && content.device != device;
        shown.into_iter().for_each(|shown| shown.is_spared |= is_unseen);
        is_unseen
    }

    /// What was told then has been read ([`State::unread`]).
    pub fn was_read(&self, told: Instant) {
        self.state.write().0.showing.unread.take_if(|unread| *unread == told);
    }

    /// What a name in it leads to now was asked for, and is shown.
    pub fn was_asked_for(&self, name: &[u8]) {
        if self.is_another_than_shown()
            && let Some(shown) = &mut self.state.write().0.showing.shown
        {
            shown.asked.insert(name.into());
        }
    }
}

impl State {
    /// What is shown of it, if that is perhaps another since.
    pub fn shown(&self) -> Option<&Shown> {
        self.showing.shown.as_deref()
    }

    /// When content was told that nobody has read.
    pub fn unread(&self) -> Option<Instant> {
        self.showing.unread
    }

    /// Whether [`Inode::takes_unseen`] is to be asked before content is overwritten.
    pub fn may_be_unseen(&self) -> bool {
        self.showing.shown.is_some() || self.showing.unread.is_some()
    }

    /// The version of a file that is shown, if that is perhaps another.
    pub fn shown_version(&self) -> Option<&Version> {
        self.shown().filter(|_| self.record.kind != Kind::Directory).map(|shown| &shown.version)
    }

    /// What a name in a directory is shown for, if it leads elsewhere, and since that was not asked for. `None`: nothing is known of that;
    /// `Some(None)`: it is shown for nothing. `is_asked`: what was asked for is not what counts.
    pub fn shown_for(&self, name: &[u8], is_asked: bool) -> Option<Option<InodeId>> {
        let shown = self.shown().filter(|shown| is_asked || !shown.asked.contains(name))?;
        let (before, now) = (shown.names.as_ref()?.get(name), self.entries.as_ref()?.directory.get(name)?);
        let before = before.map(|entry| entry.0);
        (before != Some(now.inode)).then_some(before)
    }

    /// It is about to be another: what it is now is shown, or is being told, unless nobody was told of that either.
    pub fn note_shown(&mut self) {
        if self.shown().is_none_or(|shown| shown.is_being_told) {
            let (record, version) = (self.record.clone(), self.version().clone());
            let (names, asked) = (self.names(), HashSet::new());
            let shown = Shown { record, version, names, asked, is_spared: false, is_being_told: false };
            self.0.showing.shown = Some(Box::new(shown));
        }
    }

    /// What it is now is told from here on.
    pub fn is_told(&mut self) {
        if let Some(shown) = &mut self.0.showing.shown {
            shown.is_being_told = true;
        }
    }

    /// That was told, and is shown now.
    pub fn was_told(&mut self) {
        let told = self.0.showing.shown.take_if(|shown| shown.is_being_told);
        let is_new = |shown: Box<Shown>| !shown.is_spared && shown.record.content != self.0.record.content;
        if told.is_some_and(is_new) && !mutants::is_active(Mutant::UnreadOverwritten) {
            self.0.showing.unread = Some(Instant::now());
        }
    }

    /// Takes another state in place of all this one has, of which nothing is open any more.
    pub fn replace(&mut self, state: State) {
        self.note_shown();
        let showing = std::mem::take(&mut self.0.showing);
        *self = state;
        self.0.showing = showing;
    }

    /// Of a directory that was loaded.
    pub fn names(&self) -> Option<Names> {
        let directory = &self.entries.as_ref()?.directory;
        Some(directory.iter_after(0).map(|entry| (entry.name.into(), (entry.inode, entry.kind))).collect())
    }
}
