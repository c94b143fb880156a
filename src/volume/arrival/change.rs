//! What changed without anybody having asked for it through this volume, as it is told upward.

use crate::chunk::InodeId;
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::Link;
use crate::volume::inode::state::State;

/// One inode that is another than whoever knows it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub inode: InodeId,
    pub what: Changed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Names in a directory came, or went, or lead elsewhere: each with what it led to, if it went.
    Names(Vec<(Box<[u8]>, Option<InodeId>)>),
    Attributes,
    /// Of a file or symlink, which has these names.
    Content(Vec<Link>),
}

/// Who is told. No lock is held meanwhile.
pub trait Observer: Send + Sync {
    fn changed(&self, changes: &[Change]);
}

/// How an inode differs from what is shown of it.
pub fn changes(inode: InodeId, state: &State) -> Vec<Change> {
    let Some(shown) = state.shown() else { return Vec::new() };
    let mut changes = Vec::new();
    if let (Some(before), Some(after)) = (&shown.names, state.names()) {
        let went = before.iter().filter(|(name, _)| !after.contains_key(*name));
        let mut names: Vec<_> = went.map(|(name, entry)| (name.clone(), Some(entry.0))).collect();
        let others = after.into_iter().filter(|(name, entry)| before.get(name) != Some(entry));
        names.extend(others.map(|(name, _)| (name, None)));
        if !names.is_empty() {
            changes.push(Change { inode, what: Changed::Names(names) });
        }
    }
    let (old, new) = (&shown.record, &state.record);
    let is_directory = new.kind == Kind::Directory;
    let content = old.content != new.content || old.size != new.size || !new.is_exact;
    if !is_directory && (content || old.extension.target != new.extension.target) {
        changes.push(Change { inode, what: Changed::Content(new.extension.links.clone()) });
    } else if changes.is_empty() && old != new {
        changes.push(Change { inode, what: Changed::Attributes });
    }
    changes
}
