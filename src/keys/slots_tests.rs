use super::*;
use crate::keys::test_support::{OpenTpm, World};
use crate::keys::tpm::PcrMask;
use crate::keys::{Credential, Enrol, Opened, RecoveryKey};
use std::os::unix::fs::symlink;

fn opened_by(world: &World, id: SlotId) -> Opened {
    let slots = world.look().listing.slots;
    let slot_type = slots.iter().find(|slot| slot.id == id).unwrap().kind.slot_type();
    Opened { slot: id, slot_type, ..world.opened() }
}

fn opens(world: &World, key: &RecoveryKey) -> bool {
    world.look().unlock(&Credential::Recovery(key), None).is_ok()
}

fn new_slot(world: &World, key: &RecoveryKey) -> (Slot, SlotKey) {
    let by = world.look();
    let by = by.issuer(&world.keyring);
    Slot::enrol(&by, "test".parse().unwrap(), &Enrol::Recovery(key), &world.keyring).unwrap()
}

#[test]
fn a_crash_at_any_step_leaves_the_old_slot_or_the_new_one() {
    let keys = [(); 3].map(|()| RecoveryKey::generate());
    let mut outcomes = [0; 2];
    for steps in 0.. {
        let world = World::new();
        let old = world.add("old", &Enrol::Recovery(&keys[0]));
        world.add("other", &Enrol::Recovery(&keys[1]));
        let new = new_slot(&world, &keys[2]);
        let mut locked = world.look();
        world.files.steps_left.set(Some(steps));
        let result = locked.change(old, &new, (&world.keyring, world.keyring.seed().unwrap()));
        world.files.steps_left.set(None);
        let opened = keys.each_ref().map(|key| opens(&world, key));
        assert!(opened[1] && (opened[0] || opened[2]), "{steps}: {opened:?}");
        outcomes[usize::from(!opened[0])] += 1;
        if result.is_ok() {
            assert_eq!(opened, [false, true, true]);
            assert_eq!(world.files.files.borrow().len(), 3, "two slots and one list");
            break;
        }
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn what_does_not_read_back_is_not_a_slot() {
    let world = World::new();
    let new = new_slot(&world, &RecoveryKey::generate());
    let other = Keyring::generate();
    assert!(matches!(world.look().add(&new, &other), Err(SlotsError::NotVerified(_))));
    assert_eq!(world.files.files.borrow().len(), 1);
    world.look().add(&new, &world.keyring).unwrap();
}

#[test]
fn the_last_slot_without_a_tpm_stays() {
    let world = World::new();
    let [a, b] = [(); 2].map(|()| world.add("x", &Enrol::Recovery(&RecoveryKey::generate())));
    let tpm = world.add("tpm", &Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None });
    let remove = |going: SlotId, way: SlotId| world.look().remove(going, Some(&opened_by(&world, way)));
    remove(a, b).unwrap();
    assert!(matches!(remove(a, b), Err(SlotsError::NoSuchSlot(_))));
    assert!(matches!(remove(b, tpm), Err(SlotsError::LastIndependentOfTpm)));
    remove(tpm, b).unwrap();
    assert!(matches!(remove(b, b), Err(SlotsError::LastSlot)));
    world.look().remove(b, None).unwrap();
    assert!(world.look().listing.slots.is_empty());
}

#[test]
fn a_removed_slot_stays_removed_for_all_who_see_the_list() {
    let world = World::new();
    let [a, b] = [(); 2].map(|()| world.add("x", &Enrol::Recovery(&RecoveryKey::generate())));
    let file = world.files.files.borrow()[&file_name(a)].clone();
    world.look().remove(a, Some(&opened_by(&world, b))).unwrap();
    world.put(&file_name(a), &file);
    let listing = world.look().listing;
    assert_eq!(listing.slots.iter().map(|slot| slot.id).collect::<Vec<_>>(), [b]);
    assert_eq!(listing.spent[0].1, Spent::Revoked);
    // Members cannot.
    let way = Opened { keyring: world.keyring.without_seed(), ..opened_by(&world, b) };
    world.add("c", &Enrol::Recovery(&RecoveryKey::generate()));
    let c = world.look().listing.slots.iter().map(|slot| slot.id).find(|id| *id != b).unwrap();
    assert!(matches!(world.look().remove(c, Some(&way)), Err(SlotsError::NotOwner)));
}

#[test]
fn junk_counts_for_nothing_and_can_be_removed() {
    let world = World::new();
    let own = world.add("x", &Enrol::Recovery(&RecoveryKey::generate()));
    let broken = SlotId([7; 16]);
    world.put(&file_name(broken), b"{");
    let way = opened_by(&world, own);
    assert!(matches!(world.look().remove(own, Some(&way)), Err(SlotsError::LastSlot)));
    world.look().remove(broken, Some(&way)).unwrap();
    assert!(world.look().listing.junk.is_empty());
}

#[test]
fn the_number_of_slots_is_bounded() {
    let world = World::new();
    for _ in 0..64 {
        world.add("x", &Enrol::Recovery(&RecoveryKey::generate()));
    }
    let new = new_slot(&world, &RecoveryKey::generate());
    assert!(matches!(world.look().add(&new, &world.keyring), Err(SlotsError::TooMany)));
    assert_eq!(world.files.files.borrow().len(), 65);
}

#[test]
fn a_list_that_grew_too_long_is_said() {
    let world = World::new();
    let revoked = (0..2000u32).map(|n| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_le_bytes());
        (SlotId(id), 1)
    });
    let more = List { revoked: revoked.collect(), ..List::default() };
    let refused = world.look().publish(&more, world.keyring.seed().unwrap());
    assert!(matches!(refused, Err(SlotsError::ListFull)));
    let newer = List { floor: 2, ..more };
    world.look().publish(&newer, world.keyring.seed().unwrap()).unwrap();
    assert!(world.look().list.revoked.is_empty(), "what is outdated need not be revoked");
}

#[test]
fn row_21_hostile_files_are_reported_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let slots = Slots::open(folder.path(), None).unwrap();
    let key = RecoveryKey::generate();
    let slot = new_slot(&world, &key);
    let keyring = &world.keyring;
    slots.write_slot(&world.header.digest(), &slot, keyring).unwrap();
    let list = List { generation: 1, epochs: keyring.epochs().into_iter().collect(), ..List::default() };
    slots.write_list(&world.header.digest(), keyring.seed().unwrap(), &list).unwrap();

    let keys = folder.path().join("keys");
    let path = |first: u8| keys.join(file_name(SlotId([first; 16])));
    symlink(keys.join(file_name(slot.0.id)), path(1)).unwrap();
    std::process::Command::new("mkfifo").arg(path(2)).status().unwrap();
    std::fs::create_dir(path(3)).unwrap();
    std::fs::write(path(4), vec![b' '; MAX_LENGTH + 1]).unwrap();
    std::fs::write(keys.join(format!("{} (conflicted copy).json", slot.0.id)), slot.0.to_json()).unwrap();
    std::fs::write(keys.join(file_name(slot.0.id).to_uppercase()), slot.0.to_json()).unwrap();

    let locked = crate::keys::Found::of(world.header.clone(), slots).look(&Default::default()).unwrap();
    assert_eq!(locked.listing.slots.iter().map(|slot| slot.id).collect::<Vec<_>>(), [slot.0.id]);
    let junk =
        locked.listing.junk.iter().map(|(name, _)| name.as_str()).collect::<std::collections::BTreeSet<_>>();
    let upper = file_name(slot.0.id).to_uppercase();
    let long = file_name(SlotId([4; 16]));
    assert_eq!(junk, [upper.as_str(), long.as_str()].into(), "only regular files are looked at");
    assert!(locked.unlock(&Credential::Recovery(&key), None).is_ok());
}

#[test]
fn detached_slots_lie_right_in_their_folder() {
    let [backing, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let slots = Slots::open(backing.path(), Some(elsewhere.path())).unwrap();
    let world = World::new();
    let slot = new_slot(&world, &RecoveryKey::generate());
    slots.write_slot(&world.header.digest(), &slot, &world.keyring).unwrap();
    assert!(elsewhere.path().join(file_name(slot.0.id)).is_file());
    assert_eq!(std::fs::read_dir(backing.path()).unwrap().count(), 0);
    assert!(slots.are_begun().unwrap());
    slots.clear().unwrap();
    assert!(!slots.are_begun().unwrap());
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
