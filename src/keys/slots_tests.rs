use super::*;
use crate::crypto::Cipher;
use crate::keys::golden_tests::VOLUME;
use crate::keys::test_support::{CrashingFiles, OpenTpm};
use crate::keys::tpm::PcrMask;
use crate::keys::{ChunkSize, Credential, Enrol, Header, RecoveryKey};
use std::os::unix::fs::symlink;

fn slots(files: &CrashingFiles) -> Slots {
    Slots::of(files.clone())
}

fn new_slot(with: &Enrol<'_>, keyring: &Keyring) -> (Slot, SlotKey) {
    Slot::enrol(VOLUME, "test".parse().unwrap(), with, keyring).unwrap()
}

/// The volume as this slot opens it.
fn opened_by(slot: &Slot, keyring: Keyring) -> Opened {
    let header = Header::new(Cipher::Aes256Gcm, ChunkSize::DEFAULT);
    Opened { header, keyring, slot: slot.id, slot_type: slot.kind.slot_type() }
}

/// Whether some slot opens with this key.
fn opens(slots: &Slots, key: &RecoveryKey) -> bool {
    let credential = Credential::Recovery(key);
    slots.list().unwrap().slots.iter().any(|slot| slot.open(VOLUME, &credential).is_ok())
}

#[test]
fn a_crash_at_any_step_leaves_the_old_slot_or_the_new_one() {
    let keyring = Keyring::generate();
    let keys = [(); 3].map(|()| RecoveryKey::generate());
    let mut outcomes = [0; 2];
    for steps in 0.. {
        let files = CrashingFiles::default();
        let slots = slots(&files);
        let [old, other, new] = keys.each_ref().map(|key| new_slot(&Enrol::Recovery(key), &keyring));
        slots.add(VOLUME, &old, &keyring).unwrap();
        slots.add(VOLUME, &other, &keyring).unwrap();
        files.steps_left.set(Some(steps));
        let result = slots.change(VOLUME, old.0.id, &new, &keyring);
        files.steps_left.set(None);
        let opened = keys.each_ref().map(|key| opens(&slots, key));
        assert!(opened[1] && (opened[0] || opened[2]), "{steps}: {opened:?}");
        outcomes[usize::from(!opened[0])] += 1;
        if result.is_ok() {
            assert_eq!(opened, [false, true, true]);
            break;
        }
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn what_does_not_read_back_is_not_a_slot() {
    let files = CrashingFiles::default();
    let slots = slots(&files);
    let (keyring, other) = (Keyring::generate(), Keyring::generate());
    let new = new_slot(&Enrol::Recovery(&RecoveryKey::generate()), &keyring);
    assert!(matches!(slots.add(VOLUME, &new, &other), Err(SlotsError::NotVerified(_))));
    assert!(files.files.borrow().is_empty());
    slots.add(VOLUME, &new, &keyring).unwrap();
}

#[test]
fn the_last_slot_without_a_tpm_stays() {
    let slots = slots(&CrashingFiles::default());
    let keyring = Keyring::generate();
    let tpm = Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None };
    let [a, b] = [(); 2].map(|()| new_slot(&Enrol::Recovery(&RecoveryKey::generate()), &keyring));
    let tpm = new_slot(&tpm, &keyring);
    for slot in [&a, &b, &tpm] {
        slots.add(VOLUME, slot, &keyring).unwrap();
    }
    let remove = |going: &(Slot, SlotKey), way: &(Slot, SlotKey)| {
        slots.remove(going.0.id, Some(&opened_by(&way.0, keyring.duplicate())))
    };
    remove(&a, &b).unwrap();
    assert!(matches!(remove(&a, &b), Err(SlotsError::NoSuchSlot(_))));
    assert!(matches!(remove(&b, &tpm), Err(SlotsError::LastIndependentOfTpm)));
    remove(&tpm, &b).unwrap();
    assert!(matches!(remove(&b, &b), Err(SlotsError::LastSlot)));
    slots.remove(b.0.id, None).unwrap();
    assert!(slots.list().unwrap().slots.is_empty());
}

#[test]
fn a_broken_slot_counts_for_nothing_and_can_be_removed() {
    let files = CrashingFiles::default();
    let slots = slots(&files);
    let keyring = Keyring::generate();
    let slot = new_slot(&Enrol::Recovery(&RecoveryKey::generate()), &keyring);
    slots.add(VOLUME, &slot, &keyring).unwrap();
    let broken = SlotId([7; 16]);
    files.files.borrow_mut().insert(file_name(broken), b"{".to_vec());
    let way = opened_by(&slot.0, keyring);
    assert!(matches!(slots.remove(slot.0.id, Some(&way)), Err(SlotsError::LastSlot)));
    slots.remove(broken, Some(&way)).unwrap();
    assert!(slots.list().unwrap().broken.is_empty());
}

#[test]
fn the_number_of_slots_is_bounded() {
    let files = CrashingFiles::default();
    let slots = slots(&files);
    for number in 0..64 {
        files.files.borrow_mut().insert(file_name(SlotId([number; 16])), Vec::new());
    }
    assert_eq!(slots.list().unwrap().broken.len(), 64);
    let keyring = Keyring::generate();
    let slot = new_slot(&Enrol::Recovery(&RecoveryKey::generate()), &keyring);
    assert!(matches!(slots.add(VOLUME, &slot, &keyring), Err(SlotsError::TooMany)));
    assert_eq!(files.files.borrow().len(), 64);
    files.files.borrow_mut().insert(file_name(SlotId([64; 16])), Vec::new());
    assert!(matches!(slots.list(), Err(SlotsError::TooMany)));
}

#[test]
fn row_21_hostile_files_are_reported_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots::open(folder.path(), None).unwrap();
    assert!(slots.list().unwrap().slots.is_empty());
    let keyring = Keyring::generate();
    let key = RecoveryKey::generate();
    let slot = new_slot(&Enrol::Recovery(&key), &keyring);
    slots.add(VOLUME, &slot, &keyring).unwrap();

    let keys = folder.path().join("keys");
    let path = |first: u8| keys.join(file_name(SlotId([first; 16])));
    symlink(keys.join(file_name(slot.0.id)), path(1)).unwrap();
    std::process::Command::new("mkfifo").arg(path(2)).status().unwrap();
    std::fs::create_dir(path(3)).unwrap();
    std::fs::write(path(4), vec![b' '; MAX_LENGTH + 1]).unwrap();
    std::fs::write(path(5), slot.0.to_json()).unwrap();
    std::fs::write(keys.join(format!("{} (conflicted copy).json", slot.0.id)), slot.0.to_json()).unwrap();
    std::fs::write(keys.join(file_name(slot.0.id).to_uppercase()), slot.0.to_json()).unwrap();

    let listing = slots.list().unwrap();
    assert_eq!(listing.slots.iter().map(|slot| slot.id).collect::<Vec<_>>(), [slot.0.id]);
    assert_eq!(listing.foreign.len(), 2);
    let broken: Vec<_> = listing.broken.iter().map(|(id, _)| id.0[0]).collect();
    assert_eq!(broken, [4, 5], "only regular files are looked at");
    assert!(opens(&slots, &key));
}

#[test]
fn detached_slots_lie_right_in_their_folder() {
    let [backing, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let slots = Slots::open(backing.path(), Some(elsewhere.path())).unwrap();
    let keyring = Keyring::generate();
    let slot = new_slot(&Enrol::Recovery(&RecoveryKey::generate()), &keyring);
    slots.add(VOLUME, &slot, &keyring).unwrap();
    assert!(elsewhere.path().join(file_name(slot.0.id)).is_file());
    assert_eq!(std::fs::read_dir(backing.path()).unwrap().count(), 0);
    slots.remove(slot.0.id, None).unwrap();
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
