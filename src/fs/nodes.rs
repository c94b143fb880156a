//! Which inodes the transport knows, and under which numbers.
//!
//! A node number is the beginning of the inode's id, and its generation the rest: a file server's handle has both, so
//! that it leads to this inode or to nothing, also after the transport forgot it, and at another mount. Where an inode
//! has to get another number while it has one, that is allotted in sequence, and is of this mount only.
//! An inode stays here, whether or not a name still leads to it, until as many lookups were taken back as were counted.
//! The root is number 1, always here and not counted.

use super::ops::NodeId;
use super::{Error, Result};
use crate::chunk::InodeId;
use crate::locks::{Mutex, Rank};
use crate::volume::Inode;
use hashbrown::HashMap;
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

/// Numbers below are allotted in sequence.
const FIRST_OF_IDS: u64 = 1 << 32;

/// The number that is an inode's own.
fn of(id: InodeId) -> Option<NodeId> {
    let (first, _) = id.0.split_first_chunk().expect("an inode id has twelve bytes");
    Some(NodeId(u64::from_le_bytes(*first))).filter(|number| number.0 >= FIRST_OF_IDS)
}

/// How the ids of inodes begin whose own number this is.
pub(super) fn beginning(number: NodeId) -> Result<[u8; 8]> {
    if number.0 >= FIRST_OF_IDS { Ok(number.0.to_le_bytes()) } else { Err(Error::Stale) }
}

/// What tells an inode from others that have this number now or at another time; `None` where the mount does.
pub(super) fn generation(number: NodeId, id: InodeId) -> Option<u32> {
    let (_, rest) = id.0.split_last_chunk().expect("an inode id has twelve bytes");
    match number {
        NodeId::ROOT => Some(0),
        number if of(id) == Some(number) => Some(u32::from_le_bytes(*rest)),
        _ => None,
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
            None => match of(id).filter(|number| !table.by_number.contains_key(number)) {
                Some(number) => number,
                None => {
                    table.next += 1;
                    NodeId(table.next - 1)
                }
            },
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
