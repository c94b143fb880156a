//! Two directories of one name that become one on two devices, each in another direction.

use super::fleet::file_of;
use super::live::Live;
use super::*;

/// One device deletes its directory, and has it back as the other one put everything into it; here that moves to the other directory,
/// which is deleted there.
#[test]
fn what_lies_in_twins_that_two_devices_unite_into_each_other_is_there() {
    let mut fleet = FleetFixture::new(2, &BOTH[..1]);
    make_directories(&mut fleet, 1, &["d"]);
    fleet.make(1, "d/f");
    assert!(fleet.sync_all(1));
    let mut live = Live::mount(fleet);
    make_directory(live.at(0), "d").unwrap();
    live.at(0).checkpoint().unwrap();
    let own = file_of(live.at(0), "d");
    assert!(live.fleet.sync_all(0));
    let root = live.at(0).root().unwrap();
    let removed = live.at(0).remove_directory(&root, b"d", now()).unwrap();
    removed.into_iter().for_each(|inode| live.at(0).release(inode));
    drop(root);
    live.arrive(0);
    live.at(0).checkpoint().unwrap();
    live.fleet.sync_all(1);
    live.arrive(1);
    live.at(1).merge().unwrap();
    let file = file_of(live.at(1), "d/f");
    assert_eq!(file_of(live.at(1), "d"), own);
    live.at(1).checkpoint().unwrap();
    live.fleet.sync_all(1);
    let Device { store, client, .. } = &mut live.fleet.devices[0];
    for name in [own, file] {
        assert!(client.sync(&Item::File(name), store, &live.fleet.server));
    }
    live.arrive(0);
    live.at(0).merge().unwrap();
    live.at(0).checkpoint().unwrap();
    let tree = live.unmount().judge();
    assert_eq!(tree.values().flatten().collect::<Vec<_>>(), ["d/f of BBBBBBB"], "{tree:?}");
}

#[test]
fn the_rule_about_twins_is_needed() {
    each_is_noticed(&[(
        Mutant::TwinNotGivenAnew,
        what_lies_in_twins_that_two_devices_unite_into_each_other_is_there,
    )]);
}
