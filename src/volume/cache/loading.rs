//! Single-flight loading: whoever wants an inode that is being read waits for that.

use crate::chunk::InodeId;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::{Condvar, Mutex};

/// Inodes that are being read, so that nobody reads one twice at a time.
#[derive(Default)]
pub struct Loading {
    /// Whether somebody waits for it.
    ids: Mutex<HashMap<InodeId, bool>>,
    done: Condvar,
}

/// The right to read one.
pub struct Claim<'a>(&'a Loading, InodeId);

impl Loading {
    /// `None` after somebody else was done with it, well or not.
    pub fn claim(&self, id: InodeId) -> Option<Claim<'_>> {
        let mut ids = self.ids.lock();
        if let Entry::Vacant(free) = ids.entry(id) {
            free.insert(false);
            return Some(Claim(self, id));
        }
        while let Some(awaited) = ids.get_mut(&id) {
            *awaited = true;
            self.done.wait(&mut ids);
        }
        None
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let was_awaited = self.0.ids.lock().remove(&self.1) == Some(true);
        // Whoever waits for another one is not woken in vain.
        if was_awaited {
            self.0.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_an_inode_goes_on_when_it_was_read() {
        let (loading, id) = (Loading::default(), InodeId([1; 12]));
        let claim = loading.claim(id).unwrap();
        assert!(loading.claim(InodeId([2; 12])).is_some(), "another one is free");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| loading.claim(id).is_none());
            while loading.ids.lock().get(&id) != Some(&true) {
                std::thread::yield_now();
            }
            drop(claim);
            assert!(waiter.join().unwrap());
        });
        assert!(loading.claim(id).is_some(), "it may be read again");
    }
}
