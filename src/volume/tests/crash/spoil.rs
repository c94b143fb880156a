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
    /// A bit of one block.
    Bit,
    /// One block is zeros.
    Hole,
    /// As it was at some time before.
    Older,
}

pub(super) const SPOILS: [Spoil; 9] = [
    Spoil::Gone,
    Spoil::Empty,
    Spoil::Short,
    Spoil::Zeros,
    Spoil::Roots,
    Spoil::Blocks,
    Spoil::Bit,
    Spoil::Hole,
    Spoil::Older,
];

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
    /// The power was cut before.
    pub is_cut: bool,
}

impl Case {
    pub fn is_journal(&self) -> bool {
        self.inode.journal_of().is_some()
    }

    pub fn is_own(&self) -> bool {
        matches!(self.who, Who::Writer | Who::Behind | Who::Forgetful)
    }

    /// An older state of a directory, too, may show. Of two roots one may be of such, the first one, too.
    pub fn may_be_older(&self) -> bool {
        matches!(self.spoil, Spoil::Older | Spoil::Bit | Spoil::Hole | Spoil::Short)
    }

    /// An older state that is authentic: who cannot know better may take it.
    pub fn is_lenient(&self) -> bool {
        self.who != Who::Writer && (self.is_journal() || self.may_be_older())
    }

    /// The state without content is gone from the file as soon as one with content is durable; but after a power cut it may be there.
    pub fn may_lack_content(&self) -> bool {
        self.is_cut || self.spoil == Spoil::Older
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

/// One of the blocks in which something is; nothing of an empty file.
fn one_of<'a>(bytes: &'a mut [u8], dice: &mut TestRng) -> &'a mut [u8] {
    let used: Vec<_> =
        (0..).zip(bytes.chunks(BLOCK)).filter(|(_, block)| block.iter().any(|byte| *byte != 0)).collect();
    let which = dice.pick(&used).map(|(which, _)| *which);
    which.and_then(|which: usize| bytes.chunks_mut(BLOCK).nth(which)).unwrap_or_default()
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
        Spoil::Bit => flip(one_of(&mut now, dice), 1),
        Spoil::Hole => one_of(&mut now, dice).fill(0),
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
