use super::*;
use crate::crypto::Cipher;
use crate::crypto::recipient::Identities;
use crate::keys::test_support::{AGE_PRIVATE, AGE_PUBLIC, CrashingFiles, OpenTpm, SSH_PUBLIC};
use crate::keys::tpm::PcrMask;
use crate::keys::{ChunkSize, Header, RecoveryKey};

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn opened(keyring: Keyring) -> Opened {
    let header = Header::new(Cipher::Aes256Gcm, ChunkSize::DEFAULT);
    Opened { header, keyring, slot: SlotId([0; 16]), slot_type: crate::keys::SlotType::Recovery }
}

fn add(slots: &Slots, opened: &Opened, name: &str, with: &Enrol<'_>, keyring: &Keyring) -> SlotId {
    let new = Slot::enrol(opened.header.uuid, label(name), with, keyring).unwrap();
    slots.add(opened.header.uuid, &new, keyring).unwrap();
    new.0.id
}

/// The epochs of each keyring that this credential opens.
fn epochs(slots: &Slots, opened: &Opened, credential: &Credential<'_>) -> Vec<usize> {
    let slots = slots.list().unwrap().slots;
    let keyrings = slots.iter().filter_map(|slot| slot.open(opened.header.uuid, credential).ok());
    keyrings.map(|keyring| keyring.epochs()).collect()
}

#[test]
fn every_slot_that_is_reached_gets_the_new_keyring() {
    let slots = Slots::of(CrashingFiles::default());
    let opened = opened(Keyring::generate());
    let keyring = &opened.keyring;
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    let [key, lost] = [(); 2].map(|()| RecoveryKey::generate());
    let tpm = || Credential::Tpm { tpm: &OpenTpm, pin: None };
    add(&slots, &opened, "recovery", &Enrol::Recovery(&key), keyring);
    add(&slots, &opened, "age", &Enrol::Recipient(AGE_PUBLIC), keyring);
    add(&slots, &opened, "tpm", &Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None }, keyring);
    let lost = add(&slots, &opened, "lost", &Enrol::Recovery(&lost), keyring);
    let ssh = add(&slots, &opened, "ssh", &Enrol::Recipient(SSH_PUBLIC.trim_end()), keyring);
    let new = keyring.with_new_epoch().unwrap();
    let means = [
        Means::Credential(Credential::Recovery(&key)),
        Means::Credential(Credential::Identities(&identities)),
        Means::Credential(tpm()),
    ];
    let rekeyed = rekey(&slots, &opened, &new, &means).unwrap();
    assert_eq!(rekeyed.replaced.len(), 3);
    let mut left: Vec<_> = rekeyed.left.iter().map(|(id, label)| (*id, label.as_str())).collect();
    left.sort_unstable_by_key(|(_, label)| *label);
    assert_eq!(left, [(lost, "lost"), (ssh, "ssh")]);
    for credential in [Credential::Recovery(&key), Credential::Identities(&identities), tpm()] {
        assert_eq!(epochs(&slots, &opened, &credential), [2]);
    }

    let by_key = rekey(&slots, &opened, &new, &[Means::PublicKey(SSH_PUBLIC.trim_end())]).unwrap();
    assert_eq!(by_key.replaced.iter().map(|(old, _)| *old).collect::<Vec<_>>(), [ssh]);
    let newest = new.without_old_epochs();
    assert_eq!(rekey(&slots, &opened, &newest, &means).unwrap().replaced.len(), 3);
    assert_eq!(epochs(&slots, &opened, &tpm()), [1]);
    assert_eq!(rekey(&slots, &opened, &newest, &means).unwrap().replaced.len(), 0);
}

#[test]
fn a_crash_at_any_step_locks_nobody_out_and_can_be_resumed() {
    let keys = [(); 2].map(|()| RecoveryKey::generate());
    let means = keys.each_ref().map(|key| Means::Credential(Credential::Recovery(key)));
    for steps in 0.. {
        let files = CrashingFiles::default();
        let slots = Slots::of(files.clone());
        let mut opened = opened(Keyring::generate());
        for key in &keys {
            add(&slots, &opened, "one label", &Enrol::Recovery(key), &opened.keyring);
        }
        let new = opened.keyring.with_new_epoch().unwrap();
        files.steps_left.set(Some(steps));
        let result = rekey(&slots, &opened, &new, &means);
        files.steps_left.set(None);
        for key in &keys {
            assert!(!epochs(&slots, &opened, &Credential::Recovery(key)).is_empty(), "{steps}");
        }
        // Somebody who knows nothing of it starts over, with whichever slot came first.
        let mut again = opened.keyring.with_new_epoch().unwrap();
        while let Err(error) = rekey(&slots, &opened, &again, &means) {
            let RekeyError::Diverged(id) = error else { panic!("{error}") };
            let listing = slots.list().unwrap();
            let slot = listing.slots.iter().find(|slot| slot.id == id).unwrap();
            let held =
                keys.iter().find_map(|key| slot.open(opened.header.uuid, &Credential::Recovery(key)).ok());
            again = held.unwrap();
            opened.slot = id;
        }
        for key in &keys {
            assert_eq!(epochs(&slots, &opened, &Credential::Recovery(key)), [2], "{steps}");
        }
        if result.is_ok() {
            break;
        }
    }
}

#[test]
fn a_rotation_that_was_cut_short_is_not_run_over() {
    let slots = Slots::of(CrashingFiles::default());
    let opened = opened(Keyring::generate());
    let key = RecoveryKey::generate();
    let [one, other] = [(); 2].map(|()| opened.keyring.with_new_epoch().unwrap());
    add(&slots, &opened, "old", &Enrol::Recovery(&key), &opened.keyring);
    let ahead = add(&slots, &opened, "new", &Enrol::Recovery(&key), &one);
    let means = [Means::Credential(Credential::Recovery(&key))];
    let refused = rekey(&slots, &opened, &other, &means);
    assert!(matches!(refused, Err(RekeyError::Diverged(id)) if id == ahead));
    assert_eq!(slots.list().unwrap().slots.len(), 2);
}

#[test]
fn row_20_a_planted_slot_gets_nothing() {
    let slots = Slots::of(CrashingFiles::default());
    let opened = opened(Keyring::generate());
    let key = RecoveryKey::generate();
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    add(&slots, &opened, "own", &Enrol::Recovery(&key), &opened.keyring);
    // By somebody who never held the keys, and by a former holder.
    let stranger = add(&slots, &opened, "a", &Enrol::Recipient(AGE_PUBLIC), &Keyring::generate());
    let former = add(&slots, &opened, "b", &Enrol::Recipient(SSH_PUBLIC.trim_end()), &opened.keyring);
    let means = [
        Means::Credential(Credential::Recovery(&key)),
        Means::Credential(Credential::Identities(&identities)),
    ];
    let new = opened.keyring.with_new_epoch().unwrap();
    let rekeyed = rekey(&slots, &opened, &new, &means).unwrap();
    let mut left: Vec<_> = rekeyed.left.iter().map(|(id, _)| *id).collect();
    left.sort_unstable_by_key(|id| *id != stranger);
    assert_eq!(left, [stranger, former]);
}

#[test]
fn a_slot_that_opens_with_one_key_and_names_another_gets_nothing() {
    let slots = Slots::of(CrashingFiles::default());
    let opened = opened(Keyring::generate());
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    let two_faced =
        Slot::forged_recipient(opened.header.uuid, SSH_PUBLIC.trim_end(), AGE_PUBLIC, &opened.keyring);
    slots.add(opened.header.uuid, &two_faced, &opened.keyring).unwrap();
    let new = opened.keyring.with_new_epoch().unwrap();
    let means = [Means::Credential(Credential::Identities(&identities))];
    assert!(matches!(rekey(&slots, &opened, &new, &means), Err(RekeyError::Slot(..))));
    assert_eq!(epochs(&slots, &opened, &Credential::Identities(&identities)), [1]);
}

#[test]
fn nothing_is_reached_by_nothing() {
    let slots = Slots::of(CrashingFiles::default());
    let opened = opened(Keyring::generate());
    add(&slots, &opened, "key", &Enrol::Recovery(&RecoveryKey::generate()), &opened.keyring);
    let new = opened.keyring.with_new_epoch().unwrap();
    assert!(matches!(rekey(&slots, &opened, &new, &[]), Err(RekeyError::NoMeans)));
}

#[test]
fn a_rotation_goes_on_from_where_it_came_furthest() {
    let slots = Slots::of(CrashingFiles::default());
    let opened = opened(Keyring::generate());
    let key = RecoveryKey::generate();
    let means = [Means::Credential(Credential::Recovery(&key))];
    let furthest_now = || furthest(&opened, &survey(&slots, &opened, &means).unwrap());
    let same = |a: &Keyring, b: &Keyring| crypto::same(&a.encode(), &b.encode());
    add(&slots, &opened, "first", &Enrol::Recovery(&key), &opened.keyring);
    add(&slots, &opened, "foreign", &Enrol::Recovery(&key), &Keyring::generate());
    let (keyring, under_way) = furthest_now();
    assert!(same(&keyring, &opened.keyring) && !under_way);
    let new = opened.keyring.with_new_epoch().unwrap();
    add(&slots, &opened, "second", &Enrol::Recovery(&key), &new);
    let (keyring, under_way) = furthest_now();
    assert!(same(&keyring, &new) && under_way);
    // Interrupted in its last step, with the old epochs in some slots still: they are taken out of the others again.
    add(&slots, &opened, "third", &Enrol::Recovery(&key), &new.without_old_epochs());
    let (keyring, under_way) = furthest_now();
    assert!(same(&keyring, &new) && under_way);
}
