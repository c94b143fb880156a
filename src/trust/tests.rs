use super::*;
use crate::crypto::Cipher;
use crate::crypto::recipient::Identities;
use crate::keys::test_support::{AGE_PRIVATE, AGE_PUBLIC};
use crate::keys::{ChunkSize, Credential, Enrol, Header, Locked, RecoveryKey, create};
use std::os::unix::fs::PermissionsExt;

const VOLUME: VolumeId = VolumeId([5; 16]);

fn pinned(keyring: &Keyring) -> (tempfile::TempDir, Trust) {
    let state = tempfile::tempdir().unwrap();
    let trust = Trust::open_in(state.path(), VOLUME).unwrap();
    assert_eq!(trust.check_pin(keyring, SlotType::Recipient).unwrap(), Pin::First);
    trust.pin(keyring.fingerprint()).unwrap();
    let reopened = Trust::open_in(state.path(), VOLUME).unwrap();
    (state, reopened)
}

#[test]
fn a_device_keeps_its_name_and_its_files_to_itself() {
    let state = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| Trust::open_in(state.path(), VOLUME).unwrap().device());
    assert_eq!(first, second);
    assert_ne!(first, Trust::open_in(state.path(), VolumeId([6; 16])).unwrap().device());
    let folder = state.path().join("cryptfs").join(VOLUME.to_string());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("device"))), (0o700, 0o600));
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["device"], "nothing temporary stays");
}

#[test]
fn another_keyring_is_noticed() {
    let keyring = Keyring::generate();
    let (_state, trust) = pinned(&keyring);
    for slot_type in [SlotType::Passphrase, SlotType::Recovery, SlotType::Tpm2, SlotType::Recipient] {
        assert_eq!(trust.check_pin(&keyring, slot_type).unwrap(), Pin::Same);
        let mismatch = Pin::Mismatch { pinned: keyring.fingerprint() };
        assert_eq!(trust.check_pin(&Keyring::generate(), slot_type).unwrap(), mismatch);
    }
}

#[test]
fn a_rotation_is_accepted_from_the_owners_own_slots_only() {
    let old = Keyring::generate();
    let (_state, trust) = pinned(&old);
    let new = old.with_new_epoch().unwrap();
    let mismatch = Pin::Mismatch { pinned: old.fingerprint() };
    assert_eq!(trust.check_pin(&new, SlotType::Recipient).unwrap(), mismatch);
    assert_eq!(trust.check_pin(&new, SlotType::Tpm2).unwrap(), mismatch);
    assert_eq!(trust.check_pin(&new, SlotType::Recovery).unwrap(), Pin::Rotated);
    assert_eq!(trust.check_pin(&new, SlotType::Passphrase).unwrap(), Pin::Rotated);
    trust.pin(new.fingerprint()).unwrap();
    assert_eq!(trust.check_pin(&new.without_old_epochs(), SlotType::Tpm2).unwrap(), Pin::Same);
    assert_eq!(trust.check_pin(&old, SlotType::Passphrase).unwrap(), Pin::Retired);
    trust.pin(old.fingerprint()).unwrap();
    assert_eq!(trust.check_pin(&old, SlotType::Tpm2).unwrap(), Pin::Same);
}

/// Row 20 of the attack matrix: header and recipient slot exchanged for the attacker's own, for the victim's key.
#[test]
fn row_20_a_volume_of_somebody_else_under_the_own_public_key_is_a_mismatch() {
    let [own, theirs] = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        let header = Header { uuid: VOLUME, ..Header::new(Cipher::Aes256Gcm, ChunkSize::DEFAULT) };
        let opened = create(
            folder.path(),
            None,
            header,
            &[("x".parse().unwrap(), Enrol::Recipient(AGE_PUBLIC))],
            |_| Ok(()),
        );
        (folder, opened.unwrap())
    });
    let (_state, trust) = pinned(&own.1.keyring);
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    let locked = Locked::open(theirs.0.path(), None).unwrap();
    let opened = locked.unlock(&Credential::Identities(&identities), None).unwrap();
    let pin = trust.check_pin(&opened.keyring, opened.slot_type).unwrap();
    assert_eq!(pin, Pin::Mismatch { pinned: own.1.keyring.fingerprint() });
}

#[test]
fn slots_are_noted() {
    let (_state, trust) = pinned(&Keyring::generate());
    let ids = [1, 2, 3].map(|byte| SlotId([byte; 16]));
    assert!(trust.note_slots(&ids[..2]).unwrap());
    assert!(!trust.note_slots(&ids[..2]).unwrap());
    assert!(trust.note_slots(&ids).unwrap());
    assert_eq!(trust.known_slots().unwrap(), ids);
    assert!(trust.removed_slots().unwrap().is_empty());
    trust.note_removed_slots(&ids[1..2]).unwrap();
    assert_eq!(trust.removed_slots().unwrap(), ids[1..2]);
}

#[test]
fn row_17_a_removed_slot_that_was_brought_back_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let key = RecoveryKey::generate();
    let header = Header::new(Cipher::Aes256Gcm, ChunkSize::DEFAULT);
    let made =
        create(folder.path(), None, header, &[("x".parse().unwrap(), Enrol::Recovery(&key))], |_| Ok(()))
            .unwrap();
    let (_state, trust) = pinned(&made.keyring);
    trust.note_removed_slots(&[made.slot]).unwrap();
    let mut locked = Locked::open(folder.path(), None).unwrap();
    assert!(locked.unlock(&Credential::Recovery(&key), None).is_ok());
    locked.set_aside(&trust.removed_slots().unwrap());
    assert!(locked.unlock(&Credential::Recovery(&key), None).is_err());
}

#[test]
fn without_a_memory_nothing_is_noticed_and_that_is_said() {
    let trust = Trust::ephemeral();
    let keyring = Keyring::generate();
    trust.pin(keyring.fingerprint()).unwrap();
    trust.note_removed_slots(&[SlotId([1; 16])]).unwrap();
    assert_eq!(trust.check_pin(&keyring, SlotType::Tpm2).unwrap(), Pin::First);
    assert!(trust.removed_slots().unwrap().is_empty());
    assert_eq!(trust.blind_spots().len(), 3);
    assert_ne!(trust.device(), Trust::ephemeral().device());
}

#[test]
fn damage_is_said_and_not_taken_for_a_first_time() {
    let keyring = Keyring::generate();
    let (state, trust) = pinned(&keyring);
    let folder = state.path().join("cryptfs").join(VOLUME.to_string());
    for bad in [&b""[..], b"nonsense\n", b"\xff\n"] {
        fs::write(folder.join("pin"), bad).unwrap();
        let checked = trust.check_pin(&keyring, SlotType::Tpm2);
        assert!(matches!(checked, Err(TrustUnavailable::Damaged(_))), "{checked:?}");
    }
    fs::write(folder.join("device"), "12\n").unwrap();
    assert!(matches!(Trust::open_in(state.path(), VOLUME), Err(TrustUnavailable::Damaged(_))));
    fs::write(state.path().join("file"), "").unwrap();
    assert!(matches!(Trust::open_in(&state.path().join("file"), VOLUME), Err(TrustUnavailable::Io(..))));
}

#[test]
fn the_state_folder_is_found_as_others_find_it() {
    let with = |variables: &[(&str, &str)], root| {
        let find =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| PathBuf::from(value));
        state_folder(find, root)
    };
    let home = ("HOME", "/home/a");
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "/s")], false), Some("/s".into()));
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "/s")], true), Some("/s".into()));
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "s")], false), Some("/home/a/.local/state".into()));
    assert_eq!(with(&[home], true), Some("/var/lib".into()));
    assert_eq!(with(&[], false), None);
}

#[test]
fn a_rotation_by_this_device_is_accepted_from_any_slot() {
    let old = Keyring::generate();
    let (_state, trust) = pinned(&old);
    let new = old.with_new_epoch().unwrap();
    trust.announce(new.fingerprint()).unwrap();
    assert_eq!(trust.check_pin(&new, SlotType::Recipient).unwrap(), Pin::Rotated);
    let other = old.with_new_epoch().unwrap();
    let mismatch = Pin::Mismatch { pinned: old.fingerprint() };
    assert_eq!(trust.check_pin(&other, SlotType::Recipient).unwrap(), mismatch);
}

#[test]
fn another_volume_in_a_known_folder_is_noticed() {
    let state = tempfile::tempdir().unwrap();
    let [known, new] = [5, 6].map(|byte| Trust::open_in(state.path(), VolumeId([byte; 16])).unwrap());
    let (here, there) = (Path::new("/vault"), Path::new("/stick\nvault"));
    known.note_place(here).unwrap();
    known.note_place(there).unwrap();
    for place in [here, there] {
        assert!(new.knows_another_at(place).unwrap() && !known.knows_another_at(place).unwrap());
    }
    assert!(!new.knows_another_at(Path::new("/elsewhere")).unwrap());
    assert!(!Trust::ephemeral().knows_another_at(here).unwrap());
}

fn finding(number: usize, length: usize) -> Found {
    let file = format!("chunks/{number}");
    Found { when: 7, kind: "corrupt".into(), file, what: "p".repeat(length) }
}

#[test]
fn the_list_of_findings_stays_as_short_as_it_can_be_read() {
    let (state, trust) = pinned(&Keyring::generate());
    let path = state.path().join("cryptfs").join(VOLUME.to_string()).join("findings");
    let (paths, file) = (500, || fs::metadata(&path).unwrap().len());
    let more = trust.change_findings(|_| false, (0..paths).map(|n| finding(n, 4096)).collect()).unwrap();
    let list = trust.findings();
    assert!(list.damage.is_none(), "{:?}", list.damage);
    assert!(file() < MAX_LENGTH && more > 0 && list.list.len() == paths - more, "{more} too many");
    let short: Vec<Found> = (paths..paths + 2).map(|n| finding(n, 10)).collect();
    assert_eq!(trust.change_findings(|_| false, short.clone()).unwrap(), 0, "what is short still has room");
    assert!(trust.findings().list.ends_with(&short));
    let many = (0..2000).map(|n| finding(n, 1)).collect();
    assert_eq!(trust.change_findings(|_| true, many).unwrap(), 1000);
    assert_eq!(trust.findings().list.len(), 1000);
}

#[test]
fn a_damaged_list_of_findings_is_read_as_far_as_it_makes_sense() {
    let (state, trust) = pinned(&Keyring::generate());
    let path = state.path().join("cryptfs").join(VOLUME.to_string()).join("findings");
    let line = |n, length| format!("{}\n", finding(n, length)).into_bytes();
    let long = (0..300).flat_map(|n| line(n, 4096)).collect::<Vec<u8>>();
    for (bad, read) in [
        (Vec::new(), 0),
        (b"nonsense\n".to_vec(), 0),
        ([b"\xff 1 2 3\n".to_vec(), line(1, 1)].concat(), 1),
        ([line(1, 1), b"7 corrupt chunks/2 a\x1b[2J\n".to_vec()].concat(), 1),
        ([line(1, 1), b"7 corrupt chunks/2 cut of".to_vec()].concat(), 1),
        (long, MAX_LENGTH as usize / line(100, 4096).len()),
    ] {
        fs::write(&path, bad).unwrap();
        let found = trust.findings();
        assert!(matches!(found.damage, Some(TrustUnavailable::Damaged(_))), "{:?}", found.damage);
        assert_eq!(found.list.len(), read);
        trust.change_findings(|_| false, Vec::new()).unwrap();
        assert!(trust.findings().damage.is_none(), "written anew");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(trust.findings().damage, Some(TrustUnavailable::Io(..))));
}
