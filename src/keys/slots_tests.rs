use super::*;
use crate::keys::test_support::{KeysFixture, OpenTpm};
use crate::keys::tpm::PcrMask;
use crate::keys::{Credential, Enrol, Opened, RecoveryKey};
use std::os::unix::fs::symlink;

fn opened_by(fixture: &KeysFixture, id: SlotId) -> Opened {
    let slots = fixture.look().listing.slots;
    let slot_type = slots.iter().find(|slot| slot.id == id).unwrap().kind.slot_type();
    Opened { slot: id, slot_type, ..fixture.opened() }
}

fn opens(fixture: &KeysFixture, key: &RecoveryKey) -> bool {
    fixture.look().unlock(&Credential::Recovery(key), None).is_ok()
}

fn new_slot(fixture: &KeysFixture, key: &RecoveryKey) -> (Slot, SlotKey) {
    let by = fixture.look();
    let by = by.issuer(&fixture.keyring);
    Slot::enrol(&by, "test".parse().unwrap(), &Enrol::Recovery(key), &fixture.keyring).unwrap()
}

#[test]
fn a_crash_at_any_step_leaves_the_old_slot_or_the_new_one() {
    let keys = [(); 3].map(|()| RecoveryKey::generate());
    let mut outcomes = [0; 2];
    for steps in 0.. {
        let fixture = KeysFixture::new();
        let old = fixture.add("old", &Enrol::Recovery(&keys[0]));
        fixture.add("other", &Enrol::Recovery(&keys[1]));
        let new = new_slot(&fixture, &keys[2]);
        let mut locked = fixture.look();
        fixture.files.steps_left.set(Some(steps));
        let result = locked.change(old, &new, (&fixture.keyring, fixture.keyring.seed().unwrap()));
        fixture.files.steps_left.set(None);
        let opened = keys.each_ref().map(|key| opens(&fixture, key));
        assert!(opened[1] && (opened[0] || opened[2]), "{steps}: {opened:?}");
        outcomes[usize::from(!opened[0])] += 1;
        if result.is_ok() {
            assert_eq!(opened, [false, true, true]);
            assert_eq!(fixture.files.files.borrow().len(), 3, "two slots and one list");
            break;
        }
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn what_does_not_read_back_is_not_a_slot() {
    let fixture = KeysFixture::new();
    let new = new_slot(&fixture, &RecoveryKey::generate());
    let other = Keyring::generate();
    assert!(matches!(fixture.look().add(&new, &other), Err(SlotsError::NotVerified(_))));
    assert_eq!(fixture.files.files.borrow().len(), 1);
    fixture.look().add(&new, &fixture.keyring).unwrap();
}

#[test]
fn the_last_slot_without_a_tpm_stays() {
    let fixture = KeysFixture::new();
    let [a, b] = [(); 2].map(|()| fixture.add("x", &Enrol::Recovery(&RecoveryKey::generate())));
    let tpm = fixture.add("tpm", &Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None });
    let remove = |going: SlotId, way: SlotId| fixture.look().remove(going, Some(&opened_by(&fixture, way)));
    remove(a, b).unwrap();
    assert!(matches!(remove(a, b), Err(SlotsError::NoSuchSlot(_))));
    assert!(matches!(remove(b, tpm), Err(SlotsError::LastIndependentOfTpm)));
    remove(tpm, b).unwrap();
    assert!(matches!(remove(b, b), Err(SlotsError::LastSlot)));
    fixture.look().remove(b, None).unwrap();
    assert!(fixture.look().listing.slots.is_empty());
}

#[test]
fn a_removed_slot_stays_removed_for_all_who_see_the_list() {
    let fixture = KeysFixture::new();
    let [a, b] = [(); 2].map(|()| fixture.add("x", &Enrol::Recovery(&RecoveryKey::generate())));
    let file = fixture.files.files.borrow()[&file_name(a)].clone();
    fixture.look().remove(a, Some(&opened_by(&fixture, b))).unwrap();
    fixture.put(&file_name(a), &file);
    let listing = fixture.look().listing;
    assert_eq!(listing.slots.iter().map(|slot| slot.id).collect::<Vec<_>>(), [b]);
    assert_eq!(listing.spent[0].1, Spent::Revoked);
    // Members cannot.
    let way = Opened { keyring: fixture.keyring.without_seed(), ..opened_by(&fixture, b) };
    fixture.add("c", &Enrol::Recovery(&RecoveryKey::generate()));
    let c = fixture.look().listing.slots.iter().map(|slot| slot.id).find(|id| *id != b).unwrap();
    assert!(matches!(fixture.look().remove(c, Some(&way)), Err(SlotsError::NotOwner)));
}

#[test]
fn junk_counts_for_nothing_and_can_be_removed() {
    let fixture = KeysFixture::new();
    let own = fixture.add("x", &Enrol::Recovery(&RecoveryKey::generate()));
    let broken = SlotId([7; 16]);
    fixture.put(&file_name(broken), b"{");
    let way = opened_by(&fixture, own);
    assert!(matches!(fixture.look().remove(own, Some(&way)), Err(SlotsError::LastSlot)));
    fixture.look().remove(broken, Some(&way)).unwrap();
    assert!(fixture.look().listing.junk.is_empty());
}

#[test]
fn the_number_of_slots_is_bounded() {
    let fixture = KeysFixture::new();
    for _ in 0..64 {
        fixture.add("x", &Enrol::Recovery(&RecoveryKey::generate()));
    }
    let new = new_slot(&fixture, &RecoveryKey::generate());
    assert!(matches!(fixture.look().add(&new, &fixture.keyring), Err(SlotsError::TooMany)));
    assert_eq!(fixture.files.files.borrow().len(), 65);
}

#[test]
fn a_list_that_grew_too_long_is_said() {
    let fixture = KeysFixture::new();
    let revoked = (0..2000u32).map(|n| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_le_bytes());
        (SlotId(id), 1)
    });
    let more = List { revoked: revoked.collect(), ..List::default() };
    let refused = fixture.look().publish(&more, fixture.keyring.seed().unwrap());
    assert!(matches!(refused, Err(SlotsError::ListFull)));
    let newer = List { floor: 2, ..more };
    fixture.look().publish(&newer, fixture.keyring.seed().unwrap()).unwrap();
    assert!(fixture.look().list.revoked.is_empty(), "what is outdated need not be revoked");
}

#[test]
fn row_21_hostile_files_are_reported_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = KeysFixture::new();
    let slots = Slots::open(folder.path(), None).unwrap();
    let key = RecoveryKey::generate();
    let slot = new_slot(&fixture, &key);
    let keyring = &fixture.keyring;
    slots.write_slot(&fixture.header.digest(), &slot, keyring).unwrap();
    let list = List { generation: 1, epochs: keyring.epochs().into_iter().collect(), ..List::default() };
    slots.write_list(&fixture.header.digest(), keyring.seed().unwrap(), &list).unwrap();

    let keys = folder.path().join("keys");
    let path = |first: u8| keys.join(file_name(SlotId([first; 16])));
    symlink(keys.join(file_name(slot.0.id)), path(1)).unwrap();
    std::process::Command::new("mkfifo").arg(path(2)).status().unwrap();
    std::fs::create_dir(path(3)).unwrap();
    std::fs::write(path(4), vec![b' '; MAX_LENGTH + 1]).unwrap();
    std::fs::write(keys.join(format!("{} (conflicted copy).json", slot.0.id)), slot.0.to_json()).unwrap();
    std::fs::write(keys.join(file_name(slot.0.id).to_uppercase()), slot.0.to_json()).unwrap();

    let locked = crate::keys::Found::of(fixture.header.clone(), slots).look(&Default::default()).unwrap();
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
    let fixture = KeysFixture::new();
    let slot = new_slot(&fixture, &RecoveryKey::generate());
    slots.write_slot(&fixture.header.digest(), &slot, &fixture.keyring).unwrap();
    assert!(elsewhere.path().join(file_name(slot.0.id)).is_file());
    assert_eq!(std::fs::read_dir(backing.path()).unwrap().count(), 0);
    assert!(slots.are_begun().unwrap());
    slots.clear().unwrap();
    assert!(!slots.are_begun().unwrap());
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
