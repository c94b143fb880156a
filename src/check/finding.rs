//! What a check can find.

use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::FileName;
use crate::volume::{Damage, Error, Kind, Link};
use std::ops::Range;

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    pub what: What,
    /// The chunk that it is about; `None` for files that are no chunk files.
    pub chunk: Option<ChunkId>,
    /// The path below the backing folder, if there is a file, or is to be one.
    pub file: Option<String>,
    /// The path in the volume, as far as it can be told.
    pub path: Option<Vec<u8>>,
}

/// How grave a finding is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Something is lost, wrong, or does not agree.
    Damage,
    /// Nothing is known to be lost: a copy of the folder is under way, or was never whole on this device.
    Waiting,
    /// Nothing is wrong with the volume.
    Note,
}

/// Why a chunk cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its file is not there or not whole, and this device never knew it so.
    NotArrived,
    /// The same, and a client shows a placeholder for it.
    Placeholder,
    Damage(Damage),
    /// The store's error.
    Store(String),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A file that is none of cryptfs's.
    Foreign,
    /// A key slot's file that opens nothing, and why.
    DeadSlot(String),
    /// A sync client's copy of a chunk file, beside it.
    ConflictCopy,
    /// A chunk file that nothing names and that authenticates as nothing.
    Garbage(Trouble),
    /// A chunk file that its inode's chunk table does not name.
    Unused,
    /// A part of a file's content is lost: bytes.
    Content {
        range: Range<u64>,
        trouble: Trouble,
    },
    /// The entries of a directory cannot be read, or its table of segments.
    Entries(Trouble),
    /// A chunk table, or the blocks of a record, cannot be read.
    Table(Trouble),
    /// A name leads to an inode that cannot be read. `further`: those of its chunks that have a file.
    Dangling {
        directory: InodeId,
        name: Vec<u8>,
        kind: Kind,
        trouble: Trouble,
        further: Vec<ChunkIndex>,
    },
    /// The root directory cannot be read.
    Root(Trouble),
    /// No directory has a name for this inode. `may_come`, here and below: another device wrote one of the files that do
    /// not agree, so that what is missing may be on its way.
    Unnamed {
        kind: Kind,
        may_come: bool,
    },
    /// The last name of this inode was removed on this device, and its chunk file is back.
    Returned,
    /// The names that an inode has are not those that it says it has. `missing`: those that no directory has.
    Links {
        missing: Vec<Link>,
        may_come: bool,
    },
    /// A file that several devices wrote says that it has names which are gone: the next mount that shows it puts that right.
    FormerNames,
    LinkCount {
        found: u32,
        due: u32,
    },
    /// A directory has two entries of this name; the hidden one's inode.
    Twice {
        directory: InodeId,
        name: Vec<u8>,
        hidden: InodeId,
    },
    /// A directory that has several names.
    SeveralNames {
        may_come: bool,
    },
    /// A directory that lies in itself, and nowhere else.
    Cycle {
        may_come: bool,
    },
    Journal(Trouble),
}

impl Finding {
    /// About a chunk.
    pub fn of(what: What, chunk: ChunkId, file: FileName, path: Option<Vec<u8>>) -> Finding {
        Finding { what, chunk: Some(chunk), file: Some(file.path()), path }
    }

    pub fn class(&self) -> Class {
        self.what.class()
    }

    /// Says of a chunk that has not arrived whether a client shows a placeholder for it.
    pub fn look_for_placeholder(&mut self, has_placeholder: impl FnOnce(ChunkId) -> bool) {
        let trouble = self.what.trouble_mut().filter(|trouble| **trouble == Trouble::NotArrived);
        if let (Some(trouble), Some(chunk)) = (trouble, self.chunk)
            && has_placeholder(chunk)
        {
            *trouble = Trouble::Placeholder;
        }
    }

    /// By which a finding that its owner knows of is known again: what, and about which file.
    pub fn key(&self) -> String {
        let file = self.file.as_deref().unwrap_or("-");
        match &self.what {
            What::Content { range, .. } => {
                format!("{} {file} {}-{}", self.what.word(), range.start, range.end)
            }
            what => format!("{} {file}", what.word()),
        }
    }
}

impl Trouble {
    /// What an error says of a chunk.
    pub fn of(error: &Error) -> Trouble {
        match error {
            Error::Damaged(_, damage) => Trouble::Damage(damage.clone()),
            Error::NotArrived(_) => Trouble::NotArrived,
            error => Trouble::Store(error.to_string()),
        }
    }

    fn class(&self) -> Class {
        match self {
            Trouble::NotArrived | Trouble::Placeholder => Class::Waiting,
            Trouble::Damage(_) | Trouble::Store(_) => Class::Damage,
        }
    }
}

impl What {
    /// One word for it, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            What::Foreign => "foreign-file",
            What::DeadSlot(_) => "dead-slot",
            What::ConflictCopy => "conflict-copy",
            What::Garbage(_) => "garbage",
            What::Unused => "unused-chunk",
            What::Returned => "returned",
            What::Content { .. } => "content",
            What::Entries(_) => "entries",
            What::Table(_) => "table",
            What::Dangling { .. } => "dangling-name",
            What::Root(_) => "root",
            What::Unnamed { .. } => "unnamed",
            What::Links { .. } => "links",
            What::FormerNames => "former-names",
            What::LinkCount { .. } => "link-count",
            What::Twice { .. } => "name-twice",
            What::SeveralNames { .. } => "several-names",
            What::Cycle { .. } => "cycle",
            What::Journal(_) => "journal",
        }
    }

    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            What::Garbage(trouble)
            | What::Content { trouble, .. }
            | What::Entries(trouble)
            | What::Table(trouble)
            | What::Dangling { trouble, .. }
            | What::Root(trouble)
            | What::Journal(trouble) => Some(trouble),
            _ => None,
        }
    }

    fn trouble_mut(&mut self) -> Option<&mut Trouble> {
        match self {
            What::Garbage(trouble)
            | What::Content { trouble, .. }
            | What::Entries(trouble)
            | What::Table(trouble)
            | What::Dangling { trouble, .. }
            | What::Root(trouble)
            | What::Journal(trouble) => Some(trouble),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            What::Foreign | What::ConflictCopy | What::Unused | What::Returned | What::FormerNames => {
                Class::Note
            }
            What::Unnamed { may_come: true, .. }
            | What::Links { may_come: true, .. }
            | What::SeveralNames { may_come: true }
            | What::Cycle { may_come: true } => Class::Waiting,
            what => what.trouble().map_or(Class::Damage, Trouble::class),
        }
    }
}
