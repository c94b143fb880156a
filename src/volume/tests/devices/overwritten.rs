//! Files that arrive just when somebody overwrites them, who was shown, or read, what they were before.

use super::unshown::edited_by_a;
use super::*;
use crate::volume::{Change, Observer};
use std::time::Duration;

struct Overwriter(std::sync::Weak<crate::volume::Volume>, bool);

impl Observer for Overwriter {
    fn changed(&self, _: &[Change]) {
        let Some(volume) = self.0.upgrade() else { return };
        let inode = find(&volume, "f").unwrap();
        if self.1 {
            volume.resize(&inode, 0, now(), 0).unwrap();
        }
        volume.write(&inode, 0, b"by b", now(), 0).unwrap();
    }
}

/// Whoever shows the volume is told a moment after memory has changed, and overwrites what he saw.
#[test]
fn what_arrived_and_is_not_shown_yet_is_not_overwritten() {
    for is_cut in [true, false] {
        let mut live = edited_by_a();
        content(live.at(1), &find(live.at(1), "f").unwrap());
        live.fleet.sync_all(1);
        live.at(1).observe(Box::new(Overwriter(Arc::downgrade(&live.volumes[1].0), is_cut)));
        live.arrive(1);
        live.fleet.made.insert("by b".into());
        assert_eq!(content(live.at(1), &find(live.at(1), "f").unwrap()), b"by b");
        // Whoever was told of it goes on without another file.
        edit(live.at(1), "f", "by b").unwrap();
        assert_eq!(live.unmount().judge().len(), 3, "{is_cut}");
    }
}

/// Whoever overwrites it right after it was told read what was there before, unless he reads it again.
#[test]
fn what_arrived_and_nobody_read_is_not_overwritten() {
    for (is_read, is_late) in [(false, false), (true, false), (false, true)] {
        let mut live = edited_by_a();
        let inode = find(live.at(1), "f").unwrap();
        content(live.at(1), &inode);
        live.fleet.sync_all(1);
        live.arrive(1);
        if is_read {
            content(live.at(1), &inode);
        }
        if is_late {
            std::thread::sleep(Duration::from_secs(2));
        }
        live.at(1).write(&inode, 0, b"by b", now(), 0).unwrap();
        live.fleet.made.insert("by b".into());
        if is_read || is_late {
            live.fleet.removed.insert("by a".into());
        }
        let names = live.unmount().judge().len();
        assert_eq!(names, if is_read || is_late { 2 } else { 3 }, "{is_read}, {is_late}");
    }
}

/// It is in the folder, nobody has noticed that yet, and what it takes the place of is at rest.
#[test]
fn what_is_in_the_folder_and_was_not_noticed_is_not_overwritten() {
    for is_cut in [true, false] {
        let mut live = edited_by_a();
        let inode = find(live.at(1), "f").unwrap();
        content(live.at(1), &inode);
        inode.state.write().close(ChunkIndex::FIRST);
        live.fleet.sync_all(1);
        if is_cut {
            live.at(1).resize(&inode, 0, now(), 0).unwrap();
        }
        live.at(1).write(&inode, 0, b"by b", now(), 0).unwrap();
        live.fleet.made.insert("by b".into());
        live.arrive(1);
        assert_eq!(content(live.at(1), &inode)[..4], *b"by b");
        drop(inode);
        assert_eq!(live.unmount().judge().len(), 3, "{is_cut}");
    }
}

#[test]
fn each_rule_about_overwriting_is_needed() {
    each_is_noticed(&[
        (Mutant::UnseenOverwritten, what_arrived_and_is_not_shown_yet_is_not_overwritten),
        (Mutant::UnreadOverwritten, what_arrived_and_nobody_read_is_not_overwritten),
        (Mutant::TakenByChange, what_is_in_the_folder_and_was_not_noticed_is_not_overwritten),
    ]);
}
