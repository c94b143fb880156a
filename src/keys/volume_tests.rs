use super::*;
use crate::crypto::recipient::Identities;
use crate::crypto::{Cipher, Cost};
use crate::keys::test_support::{AGE_PRIVATE, AGE_PUBLIC, OpenTpm};
use crate::keys::tpm::PcrMask;
use crate::keys::{ChunkSize, RecoveryKey};
use tempfile::TempDir;

fn new_header() -> Header {
    Header::new(Cipher::Aes256Gcm, ChunkSize::DEFAULT)
}

fn label() -> Label {
    "test".parse().unwrap()
}

fn volume(key: &RecoveryKey) -> (TempDir, Opened) {
    let folder = tempfile::tempdir().unwrap();
    let opened =
        create(folder.path(), None, new_header(), &[(label(), Enrol::Recovery(key))], |_| Ok(())).unwrap();
    (folder, opened)
}

#[test]
fn what_was_made_opens_again() {
    for detached in [false, true] {
        let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let keys = detached.then_some(elsewhere.path());
        let key = RecoveryKey::generate();
        let ways = [
            (label(), Enrol::Passphrase { passphrase: b"secret", cost: Cost::LEAST }),
            (label(), Enrol::Recovery(&key)),
        ];
        let header = Header::new(Cipher::ChaCha20Poly1305, ChunkSize::new(1 << 20).unwrap());
        let made = create(folder.path(), keys, header, &ways, |_| Ok(())).unwrap();
        let locked = Locked::open(folder.path(), keys).unwrap();
        assert_eq!(locked.listing.slots.len(), 2);
        for credential in [Credential::Passphrase(b"secret"), Credential::Recovery(&key)] {
            let opened = locked.unlock(&credential, None).unwrap();
            assert_eq!(opened.header, made.header);
            assert_eq!(opened.keyring.fingerprint(), made.keyring.fingerprint());
        }
        assert_eq!(detached, !folder.path().join("keys").exists());
    }
}

#[test]
fn refusals_say_why() {
    let key = RecoveryKey::generate();
    let (folder, opened) = volume(&key);
    let locked = Locked::open(folder.path(), None).unwrap();
    assert!(matches!(locked.unlock(&Credential::Passphrase(b""), None), Err(UnlockError::NoSlot)));
    let other = RecoveryKey::generate();
    let Err(UnlockError::Refused(slots)) = locked.unlock(&Credential::Recovery(&other), None) else {
        panic!()
    };
    assert!(matches!(slots[..], [(id, SlotError::WrongKey)] if id == opened.slot));
    let nowhere = Some(SlotId([0; 16]));
    assert!(matches!(locked.unlock(&Credential::Recovery(&key), nowhere), Err(UnlockError::NoSlot)));
    assert!(locked.unlock(&Credential::Recovery(&key), Some(opened.slot)).is_ok());
    let mut locked = locked;
    locked.set_aside(&[opened.slot]);
    assert!(matches!(locked.unlock(&Credential::Recovery(&key), None), Err(UnlockError::NoSlot)));
}

#[test]
fn a_folder_is_a_volume_or_it_is_said_why_not() {
    let key = RecoveryKey::generate();
    let (folder, _) = volume(&key);
    let file = folder.path().join(FILE);
    let good = std::fs::read_to_string(&file).unwrap();
    let open = |contents: &str| {
        std::fs::write(&file, contents).unwrap();
        Locked::open(folder.path(), None).err()
    };
    assert!(open(&good).is_none());
    assert!(matches!(
        open(&good.replace("\"version\": 1", "\"version\": 9")),
        Some(OpenError::NewerVersion(9))
    ));
    assert!(matches!(open(&good[..100]), Some(OpenError::DamagedHeader(Defect::NotJson))));
    assert!(matches!(open(&good.replace("4194304", "4194305")), Some(OpenError::DamagedHeader(_))));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(Locked::open(folder.path(), None), Err(OpenError::NotAVolume)));
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    let linked = Locked::open(folder.path(), None);
    assert!(matches!(linked, Err(OpenError::DamagedHeader(Defect::NotAFile))));
}

#[test]
fn row_19_a_changed_header_is_refused_after_the_slot_was_opened() {
    let key = RecoveryKey::generate();
    let (folder, _) = volume(&key);
    let file = folder.path().join(FILE);
    let weaker = std::fs::read_to_string(&file).unwrap().replace("4194304", "1048576");
    std::fs::write(&file, weaker).unwrap();
    let locked = Locked::open(folder.path(), None).unwrap();
    let Err(UnlockError::Refused(slots)) = locked.unlock(&Credential::Recovery(&key), None) else { panic!() };
    assert!(matches!(slots[..], [(_, SlotError::ForeignKeyring)]));
}

#[test]
fn a_planted_slot_does_not_stand_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let made =
        create(folder.path(), None, new_header(), &[(label(), Enrol::Recipient(AGE_PUBLIC))], |_| Ok(()))
            .unwrap();
    let slots = Slots::open(folder.path(), None).unwrap();
    let own = Keyring::generate();
    for _ in 0..8 {
        let planted = Slot::enrol(made.header.uuid, label(), &Enrol::Recipient(AGE_PUBLIC), &own).unwrap();
        slots.add(made.header.uuid, &planted, &own).unwrap();
    }
    let identities = Identities::parse(AGE_PRIVATE).unwrap();
    let locked = Locked::open(folder.path(), None).unwrap();
    let opened = locked.unlock(&Credential::Identities(&identities), None).unwrap();
    assert_eq!(opened.keyring.fingerprint(), made.keyring.fingerprint());
    let planted = locked.listing.slots.iter().map(|slot| slot.id).find(|id| *id != made.slot);
    assert!(locked.unlock(&Credential::Identities(&identities), planted).is_err());
}

#[test]
fn nothing_is_made_twice_or_left_behind() {
    let key = RecoveryKey::generate();
    let (folder, _) = volume(&key);
    let ways = [(label(), Enrol::Recovery(&key))];
    let again = create(folder.path(), None, new_header(), &ways, |_| Ok(()));
    assert!(matches!(again, Err(CreateError::Exists)));
    std::fs::write(folder.path().join(FILE), "").unwrap();
    assert!(matches!(create(folder.path(), None, new_header(), &ways, |_| Ok(())), Err(CreateError::Exists)));
    std::fs::remove_file(folder.path().join(FILE)).unwrap();
    assert!(matches!(
        create(folder.path(), None, new_header(), &ways, |_| Ok(())),
        Err(CreateError::KeysExist)
    ));

    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(create(folder.path(), None, new_header(), &[], |_| Ok(())), Err(CreateError::NoSlots)));
    let ways = [(label(), Enrol::Recovery(&key)), (label(), Enrol::Recipient("nobody"))];
    assert!(matches!(
        create(folder.path(), None, new_header(), &ways, |_| Ok(())),
        Err(CreateError::Slot(_))
    ));
    let locked = Slots::open(folder.path(), None).unwrap().list().unwrap();
    assert!(locked.slots.is_empty() && locked.broken.is_empty());
    assert!(matches!(Locked::open(folder.path(), None), Err(OpenError::NotAVolume)));
}

/// A slot that lies there and was not opened makes up for nothing.
#[test]
fn what_does_not_make_up_for_a_slot_is_left_out() {
    let key = RecoveryKey::generate();
    let (folder, opened) = volume(&key);
    let locked = || Locked::open(folder.path(), None).unwrap();
    let add = |with: &Enrol<'_>| {
        let new = Slot::enrol(opened.header.uuid, label(), with, &opened.keyring).unwrap();
        locked().slots.add(opened.header.uuid, &new, &opened.keyring).unwrap();
        new.0.id
    };
    let left_for = |going: SlotId| {
        let mut locked = locked();
        let left = locked.leave_out_for(going);
        left.map(|()| locked.listing.slots.iter().map(|slot| slot.id).collect::<Vec<_>>())
    };
    assert!(matches!(left_for(opened.slot), Err(SlotsError::LastSlot)));
    assert!(matches!(left_for(SlotId([0; 16])), Err(SlotsError::NoSuchSlot(_))));
    let tpm = add(&Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None });
    assert!(matches!(left_for(opened.slot), Err(SlotsError::LastIndependentOfTpm)));
    assert_eq!(left_for(tpm).unwrap(), [opened.slot]);
    let age = add(&Enrol::Recipient(AGE_PUBLIC));
    assert_eq!(left_for(opened.slot).unwrap(), [age]);
}
