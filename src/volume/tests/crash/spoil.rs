//! What may become of one file of the folder, and who finds it.

use crate::chunk::{BLOCK, InodeId};
use crate::store::power::Power;
use crate::store::{Area, FileName, Store};
use crate::test_rng::TestRng;

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Spoil {
    Gone,
    Empty,
    /// Its first block alone.
    Short,
    Zeros,
    /// A bit of each root.
    Roots,
    /// A bit of each block.
    Blocks,
    /// As it was at some time before.
    Older,
}

pub(super) const SPOILS: [Spoil; 7] =
    [Spoil::Gone, Spoil::Empty, Spoil::Short, Spoil::Zeros, Spoil::Roots, Spoil::Blocks, Spoil::Older];

/// Who looks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Who {
    Writer,
    /// Its memory is as it was before the workload.
    Behind,
    /// It has lost its memory.
    Forgetful,
    /// Another device that knows the volume as it was before the workload.
    Acquainted,
    Stranger,
}

pub(super) const WHO: [Who; 5] = [Who::Writer, Who::Behind, Who::Forgetful, Who::Acquainted, Who::Stranger];

/// One file, what became of it, and who finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub name: FileName,
    pub inode: InodeId,
    pub spoil: Spoil,
    pub who: Who,
}

impl Case {
    pub fn is_journal(&self) -> bool {
        self.inode.journal_of().is_some()
    }

    pub fn is_own(&self) -> bool {
        matches!(self.who, Who::Writer | Who::Behind | Who::Forgetful)
    }

    /// An older state that is authentic: who cannot know better may take it. The first of two roots may be one.
    pub fn is_lenient(&self) -> bool {
        self.who != Who::Writer && (self.is_journal() || matches!(self.spoil, Spoil::Older | Spoil::Short))
    }
}

pub(super) fn bytes(store: &Power, name: FileName) -> Option<Vec<u8>> {
    let file = store.open(name).ok()?;
    let mut bytes = vec![0; file.length().expect("it is in memory") as usize];
    file.read_at(0, &mut bytes).expect("it is in memory");
    Some(bytes)
}

pub(super) fn all_names(store: &Power) -> Vec<FileName> {
    let mut names = Vec::new();
    for area in [Area::Chunks, Area::Journals] {
        store.list(area, &mut |name, _| names.extend(FileName::parse(area, name))).expect("it is in memory");
    }
    names
}

/// `earlier`: how the folder was before. `false`: that changes nothing.
pub(super) fn spoil(store: &Power, case: Case, earlier: &[&Power], dice: &mut TestRng) -> bool {
    let Some(mut now) = bytes(store, case.name) else { return false };
    let flip = |bytes: &mut [u8], blocks: usize| {
        bytes.chunks_mut(BLOCK).take(blocks).for_each(|block| block[block.len() / 2] ^= 1);
    };
    match case.spoil {
        Spoil::Gone => {
            store.exchange(case.name, None);
            return true;
        }
        Spoil::Empty => now.clear(),
        Spoil::Short => now.truncate(BLOCK),
        Spoil::Zeros => now.fill(0),
        Spoil::Roots => flip(&mut now, 2),
        Spoil::Blocks => flip(&mut now, usize::MAX),
        Spoil::Older => {
            let Some(older) = dice.pick(earlier).and_then(|store| bytes(store, case.name)) else {
                return false;
            };
            now = older;
        }
    }
    if bytes(store, case.name).as_ref() == Some(&now) {
        return false;
    }
    store.exchange(case.name, Some(&now));
    true
}
