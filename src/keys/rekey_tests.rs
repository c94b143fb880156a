use super::*;
use crate::crypto::recipient::Identities;
use crate::keys::test_support::{AGE_PRIVATE, AGE_PUBLIC, KeysFixture, OpenTpm, SSH_PUBLIC};
use crate::keys::tpm::PcrMask;
use crate::keys::{Expected, RecoveryKey, SlotId};

const SSH: &str = SSH_PUBLIC.trim_ascii();

fn give(fixture: &KeysFixture, keyring: &Keyring, means: &[Means<'_>]) -> Result<Rekeyed, RekeyError> {
    rekey(&mut fixture.look(), &fixture.opened(), keyring, means)
}

fn recovery(key: &RecoveryKey) -> Means<'_> {
    Means::Credential(Credential::Recovery(key))
}

fn opens(fixture: &KeysFixture, key: &RecoveryKey) -> bool {
    fixture.look().unlock(&Credential::Recovery(key), None).is_ok()
}

#[test]
fn every_slot_that_is_reached_gets_the_new_keyring() {
    let fixture = KeysFixture::new();
    let keyring = &fixture.keyring;
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    let [key, lost] = [(); 2].map(|()| RecoveryKey::generate());
    let tpm = || Credential::Tpm { tpm: &OpenTpm, pin: None };
    fixture.add("recovery", &Enrol::Recovery(&key));
    fixture.add_by(keyring, "age", &Enrol::Recipient(AGE_PUBLIC), &keyring.without_seed());
    fixture.add("tpm", &Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None });
    let lost = fixture.add("lost", &Enrol::Recovery(&lost));
    let ssh = fixture.add("ssh", &Enrol::Recipient(SSH));
    let new = keyring.with_new_epoch().unwrap();
    let means =
        [recovery(&key), Means::Credential(Credential::Identities(&identities)), Means::Credential(tpm())];
    let rekeyed = give(&fixture, &new, &means).unwrap();
    assert_eq!(rekeyed.replaced.len(), 3);
    let mut left: Vec<_> = rekeyed.left.iter().map(|(id, label)| (*id, label.as_str())).collect();
    left.sort_unstable_by_key(|(_, label)| *label);
    assert_eq!(left, [(lost, "lost"), (ssh, "ssh")]);
    for credential in [Credential::Recovery(&key), Credential::Identities(&identities), tpm()] {
        assert_eq!(fixture.epochs(&credential), [2]);
    }
    let opened = fixture.look().unlock(&Credential::Identities(&identities), None).unwrap();
    assert!(opened.keyring.seed().is_none(), "a member stays one");
    assert!(fixture.look().unlock(&tpm(), None).unwrap().keyring.seed().is_some());
    assert_eq!(fixture.files.files.borrow().len(), 3 + 2 + 1, "old slots and the old list are gone");

    let by_key = give(&fixture, &new, &[Means::PublicKey(SSH)]).unwrap();
    assert_eq!(by_key.replaced.iter().map(|(old, _)| *old).collect::<Vec<_>>(), [ssh]);
    let newest = new.without_old_epochs();
    assert_eq!(give(&fixture, &newest, &means).unwrap().replaced.len(), 3);
    assert_eq!(fixture.epochs(&tpm()), [1]);
    assert_eq!(give(&fixture, &newest, &means).unwrap().replaced.len(), 0);
}

#[test]
fn a_crash_at_any_step_locks_nobody_out_and_can_be_resumed() {
    let keys = [(); 2].map(|()| RecoveryKey::generate());
    let means = keys.each_ref().map(recovery);
    for steps in 0.. {
        let fixture = KeysFixture::new();
        for key in &keys {
            fixture.add("one label", &Enrol::Recovery(key));
        }
        let new = fixture.keyring.with_new_epoch().unwrap();
        let mut locked = fixture.look();
        fixture.files.steps_left.set(Some(steps));
        let result = rekey(&mut locked, &fixture.opened(), &new, &means);
        fixture.files.steps_left.set(None);
        assert!(keys.iter().all(|key| opens(&fixture, key)), "{steps}");
        // Nothing is sealed under an epoch that one of the slots lacks.
        let newest = fixture.look().list.newest().unwrap();
        let all = fixture.look().listing.slots.iter().all(|slot| slot.epochs.contains(&newest));
        assert!(all, "{steps}");
        // Somebody who knows nothing of it goes on, with whichever slot comes first.
        let locked = fixture.look();
        let opened = locked.unlock(&Credential::Recovery(&keys[0]), None).unwrap();
        let (gathered, under_way) = gather(&locked, &opened, &means).unwrap();
        let again = if under_way { gathered } else { gathered.with_new_epoch().unwrap() };
        rekey(&mut fixture.look(), &opened, &again, &means).unwrap();
        for key in &keys {
            assert_eq!(fixture.epochs(&Credential::Recovery(key)), [2], "{steps}");
        }
        if result.is_ok() {
            break;
        }
    }
}

#[test]
fn a_rotation_that_was_cut_short_is_not_run_over() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let [one, other] = [(); 2].map(|()| fixture.keyring.with_new_epoch().unwrap());
    fixture.add("old", &Enrol::Recovery(&key));
    let ahead = fixture.add_by(&one, "new", &Enrol::Recovery(&key), &one);
    let refused = give(&fixture, &other, &[recovery(&key)]);
    assert!(matches!(refused, Err(RekeyError::Diverged(id)) if id == ahead));
    assert_eq!(fixture.look().listing.slots.len(), 2);
}

#[test]
fn row_20_a_planted_slot_gets_nothing() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    fixture.add("own", &Enrol::Recovery(&key));
    // By somebody who never held the keys, and by a former member: neither can sign.
    let stranger = Keyring::generate();
    let mut planted = vec![fixture.add_by(&stranger, "a", &Enrol::Recipient(AGE_PUBLIC), &stranger)];
    let members = fixture.keyring.without_seed();
    planted.push(fixture.add_by(&members, "b", &Enrol::Recipient(AGE_PUBLIC), &members));
    planted.push(fixture.add_by(&stranger, "c", &Enrol::Recipient(SSH), &fixture.keyring));
    let means =
        [recovery(&key), Means::Credential(Credential::Identities(&identities)), Means::PublicKey(SSH)];
    let new = fixture.keyring.with_new_epoch().unwrap();
    let rekeyed = give(&fixture, &new, &means).unwrap();
    assert_eq!((rekeyed.replaced.len(), rekeyed.left.len()), (1, 0));
    assert_eq!(fixture.look().listing.junk.len(), planted.len());
}

#[test]
fn a_slot_that_opens_with_one_key_and_names_another_gets_nothing() {
    let fixture = KeysFixture::new();
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    let locked = fixture.look();
    let two_faced =
        Slot::forged_recipient(&locked.issuer(&fixture.keyring), SSH, AGE_PUBLIC, &fixture.keyring);
    locked.add(&two_faced, &fixture.keyring).unwrap();
    let new = fixture.keyring.with_new_epoch().unwrap();
    let means = [Means::Credential(Credential::Identities(&identities))];
    assert!(matches!(give(&fixture, &new, &means), Err(RekeyError::Slot(..))));
    assert_eq!(fixture.epochs(&Credential::Identities(&identities)), [1]);
}

#[test]
fn nothing_is_reached_by_nothing_and_nobody_but_the_owner_rotates() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    fixture.add("key", &Enrol::Recovery(&key));
    let new = fixture.keyring.with_new_epoch().unwrap();
    assert!(matches!(give(&fixture, &new, &[]), Err(RekeyError::NoMeans)));
    let members = give(&fixture, &new.without_seed(), &[recovery(&key)]);
    assert!(matches!(members, Err(RekeyError::Slots(SlotsError::NotOwner))));
}

#[test]
fn a_rotation_goes_on_from_where_it_came_furthest() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let means = [recovery(&key)];
    let gathered = || gather(&fixture.look(), &fixture.opened(), &means).unwrap();
    fixture.add("first", &Enrol::Recovery(&key));
    let (keyring, under_way) = gathered();
    assert_eq!((keyring.epochs(), under_way), (fixture.keyring.epochs(), false));
    let new = fixture.keyring.with_new_epoch().unwrap();
    fixture.add_by(&new, "second", &Enrol::Recovery(&key), &new);
    let (keyring, under_way) = gathered();
    assert_eq!((keyring.epochs(), under_way), (new.epochs(), true));
    // Cut short in its last step, with the old epochs in some slots still: they are taken out of the others again.
    fixture.add_by(&new, "third", &Enrol::Recovery(&key), &new.without_old_epochs());
    let (keyring, under_way) = gathered();
    assert_eq!((keyring.epochs(), under_way), (new.epochs(), true));
}

/// Two owners rotate on copies of the folder, which a sync client then brings together.
#[test]
fn rotations_apart_join() {
    for finished in [false, true] {
        let fixture = KeysFixture::new();
        let key = RecoveryKey::generate();
        fixture.add("x", &Enrol::Recovery(&key));
        let before = fixture.files.files.borrow().clone();
        let rotations = [(); 2].map(|()| {
            *fixture.files.files.borrow_mut() = before.clone();
            let new = fixture.keyring.with_new_epoch().unwrap();
            give(&fixture, &new, &[recovery(&key)]).unwrap();
            if finished {
                give(&fixture, &new.without_old_epochs(), &[recovery(&key)]).unwrap();
            }
            let epoch = new.newest();
            (epoch, fixture.files.files.borrow().clone())
        });
        let [(one, files), (other, more)] = rotations;
        *fixture.files.files.borrow_mut() = files.into_iter().chain(more).collect();
        let locked = fixture.look();
        let opened = locked.unlock(&Credential::Recovery(&key), None).unwrap();
        assert_eq!(opened.newest, one.max(other));
        let held = opened.keyring.epochs();
        assert!(held.contains(&one) && held.contains(&other), "all that either sealed can be read");
        let (joined, under_way) = gather(&locked, &opened, &[recovery(&key)]).unwrap();
        assert!(!under_way, "a new epoch is wanted, or one of two would never go");
        let new = joined.with_new_epoch().unwrap();
        give(&fixture, &new, &[recovery(&key)]).unwrap();
        give(&fixture, &new.without_old_epochs(), &[recovery(&key)]).unwrap();
        assert_eq!(fixture.epochs(&Credential::Recovery(&key)), [1]);
        assert_eq!(fixture.files.files.borrow().len(), 2, "one slot and one list");
    }
}

#[test]
fn a_new_owner_key_is_signed_by_the_old_one_and_makes_all_slots_anew() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let old = fixture.add("x", &Enrol::Recovery(&key));
    let new = fixture.keyring.with_new_epoch().unwrap().with_new_owner();
    let rekeyed = give(&fixture, &new, &[recovery(&key)]).unwrap();
    assert_eq!(rekeyed.replaced.iter().map(|(old, _)| *old).collect::<Vec<SlotId>>(), [old]);
    let locked = fixture.look();
    assert_eq!(locked.owner, new.owner());
    let opened = locked.unlock(&Credential::Recovery(&key), None).unwrap();
    assert_eq!(opened.keyring.owner(), new.owner());
    // Whoever has the old key signs nothing any more.
    let planted = fixture.add("former", &Enrol::Recipient(AGE_PUBLIC));
    let expected = Expected { pinned: Some(new.owner()), list: locked.list, ..Expected::default() };
    let locked = fixture.look_as(&expected);
    assert_eq!(locked.listing.junk[0].0, format!("{planted}.json"));
    assert_eq!(locked.listing.slots.len(), 1);
}
