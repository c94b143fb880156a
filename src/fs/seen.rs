//! What other devices changed, told to the transport in its own terms.

use super::nodes::Nodes;
use super::ops::{NodeId, Notifier};
use crate::volume::{Change, Changed, Link, Observer};
use parking_lot::RwLock;
use std::sync::Arc;

/// Whom to tell, if anybody listens.
pub(super) type Listener = Arc<RwLock<Option<Arc<dyn Notifier>>>>;

pub(super) struct Seen {
    pub(super) nodes: Arc<Nodes>,
    pub(super) listener: Listener,
}

impl Observer for Seen {
    fn changed(&self, changes: &[Change]) {
        let Some(notifier) = self.listener.read().clone() else { return };
        for Change { inode, what } in changes {
            let Some(node) = self.nodes.number(*inode) else { continue };
            match what {
                Changed::Attributes => notifier.attributes(node),
                Changed::Names(names) => {
                    for (name, went) in names {
                        match went.and_then(|went| self.nodes.number(went)) {
                            Some(child) => notifier.removed(node, child, name),
                            None => notifier.entry(node, name),
                        }
                    }
                    notifier.content(node);
                }
                Changed::Content(links) => self.content(&*notifier, (*inode, node), links),
            }
        }
    }
}

impl Seen {
    /// A transport that keeps to the size gets another node at the next lookup; the old one is stale.
    fn content(
        &self,
        notifier: &dyn Notifier,
        (inode, node): (crate::chunk::InodeId, NodeId),
        links: &[Link],
    ) {
        if notifier.keeps_sizes() {
            self.nodes.retire(inode);
            for link in links {
                if let Some(parent) = self.nodes.number(link.parent) {
                    notifier.entry(parent, &link.name);
                }
            }
        }
        notifier.content(node);
    }
}
