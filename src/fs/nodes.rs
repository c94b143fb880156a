//! Which inodes the transport knows, and under which numbers.
//!
//! A node number is allotted at an inode's first lookup, in sequence, and never used again: so no generation is needed.
//! An inode stays here, whether or not a name still leads to it, until as many lookups were taken back as were counted.
//! The root is number 1, always here and not counted.

use super::ops::NodeId;
use crate::chunk::InodeId;
use crate::locks::{Mutex, Rank};
use crate::volume::Inode;
use std::collections::HashMap;
use std::sync::Arc;

/// What stands behind a node number.
#[derive(Clone)]
pub(super) enum Node {
    Inode(Arc<Inode>),
    /// Its directory entry is there, its record cannot be read. Known so that it can be listed and unlinked.
    Unreadable(InodeId),
}

impl Node {
    pub(super) fn id(&self) -> InodeId {
        match self {
            Node::Inode(inode) => inode.id(),
            Node::Unreadable(id) => *id,
        }
    }
}

pub(super) struct Nodes {
    table: Mutex<Table>,
}

struct Table {
    next: u64,
    by_number: HashMap<NodeId, (Node, u64)>,
    by_inode: HashMap<InodeId, NodeId>,
}

impl Nodes {
    pub(super) fn new(root: Arc<Inode>) -> Nodes {
        let by_inode = HashMap::from([(root.id(), NodeId::ROOT)]);
        let by_number = HashMap::from([(NodeId::ROOT, (Node::Inode(root), 0))]);
        Nodes { table: Mutex::new(Rank::Nodes, Table { next: NodeId::ROOT.0 + 1, by_number, by_inode }) }
    }

    /// What a number stands for; `None` if it was forgotten or never given out.
    pub(super) fn get(&self, number: NodeId) -> Option<Node> {
        self.table.lock().by_number.get(&number).map(|(node, _)| node.clone())
    }

    pub(super) fn knows(&self, inode: InodeId) -> bool {
        self.table.lock().by_inode.contains_key(&inode)
    }

    /// The number that an inode has, if it is known.
    pub(super) fn number(&self, inode: InodeId) -> Option<NodeId> {
        self.table.lock().by_inode.get(&inode).copied()
    }

    /// Has the next lookup of an inode allot another number; the one it has is stale.
    pub(super) fn retire(&self, inode: InodeId) {
        let table = &mut *self.table.lock();
        let number = table.by_inode.get(&inode).filter(|number| **number != NodeId::ROOT);
        if let Some((node, _)) = number.and_then(|number| table.by_number.get_mut(number)) {
            *node = Node::Unreadable(inode);
        }
    }

    /// Counts a lookup, allotting a number at the first one. An inode that was unreadable and no longer is (its file
    /// has arrived) gets another: with the writeback cache the kernel would keep to the size that it was told first.
    pub(super) fn enter(&self, node: Node) -> NodeId {
        let table = &mut *self.table.lock();
        let id = node.id();
        let became_readable = |number: &NodeId| {
            let known = table.by_number.get(number).map(|(known, _)| known);
            matches!((known, &node), (Some(Node::Unreadable(_)), Node::Inode(_)))
        };
        let number = match table.by_inode.get(&id).filter(|number| !became_readable(number)) {
            Some(number) => *number,
            None => {
                table.next += 1;
                NodeId(table.next - 1)
            }
        };
        table.by_inode.insert(id, number);
        let (_, lookups) = table.by_number.entry(number).or_insert_with(|| (node, 0));
        *lookups += u64::from(number != NodeId::ROOT);
        number
    }

    /// Takes lookups back; gives out the node if these were its last.
    pub(super) fn forget(&self, number: NodeId, count: u64) -> Option<Node> {
        let table = &mut *self.table.lock();
        if number == NodeId::ROOT {
            return None;
        }
        let (_, lookups) = table.by_number.get_mut(&number)?;
        *lookups = lookups.saturating_sub(count);
        if *lookups > 0 {
            return None;
        }
        let (node, _) = table.by_number.remove(&number)?;
        if table.by_inode.get(&node.id()) == Some(&number) {
            table.by_inode.remove(&node.id());
        }
        Some(node)
    }
}
