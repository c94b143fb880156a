use super::*;
use crate::crypto::{Cipher, Cost};
use crate::keys::test_support::{AGE_PUBLIC, KeysFixture, OpenTpm};
use crate::keys::tpm::PcrMask;
use crate::keys::{ChunkSize, RecoveryKey};
use tempfile::TempDir;

const KIND: (Cipher, ChunkSize) = (Cipher::Aes256Gcm, ChunkSize::DEFAULT);

/// The volume as a device sees it that knows nothing of it.
fn look(folder: &Path, keys: Option<&Path>) -> Locked {
    Found::open(folder, keys).unwrap().look(&Expected::default()).unwrap()
}

fn label() -> Label {
    "test".parse().unwrap()
}

fn volume(key: &RecoveryKey) -> (TempDir, Opened) {
    let folder = tempfile::tempdir().unwrap();
    let opened = create(folder.path(), None, KIND, &[(label(), Enrol::Recovery(key))], |_| Ok(())).unwrap();
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
        let kind = (Cipher::ChaCha20Poly1305, ChunkSize::new(1 << 20).unwrap());
        let made = create(folder.path(), keys, kind, &ways, |_| Ok(())).unwrap();
        let locked = look(folder.path(), keys);
        assert_eq!(locked.contact, Contact::First);
        assert_eq!(locked.listing.slots.len(), 2);
        for credential in [Credential::Passphrase(b"secret"), Credential::Recovery(&key)] {
            let opened = locked.unlock(&credential, None).unwrap();
            assert_eq!(opened.header, made.header);
            assert_eq!(*opened.keyring.encode(), *made.keyring.encode());
            assert_eq!(opened.newest, made.newest);
        }
        assert_eq!(detached, !folder.path().join("keys").exists());
    }
}

#[test]
fn refusals_say_why() {
    let key = RecoveryKey::generate();
    let (folder, opened) = volume(&key);
    let locked = look(folder.path(), None);
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
        Found::open(folder.path(), None).err()
    };
    assert!(open(&good).is_none());
    assert!(matches!(open(&good.replace("\"version\": 2", "\"version\": 9")), Some(OpenError::Version(9))));
    assert!(matches!(open(&good.replace("\"version\": 2", "\"version\": 1")), Some(OpenError::Version(1))));
    let with = |critical: &str| open(&good.replace("\"critical\": []", &format!("\"critical\": {critical}")));
    let needs = |name: &str| Some(vec![name.to_owned()]);
    let named = |error| match error {
        Some(OpenError::Critical(Defect::Critical(names))) => Some(names),
        _ => None,
    };
    assert_eq!(named(with("[\"compression\"]")), needs("compression"));
    assert!(matches!(with("[\"a\", 1]"), Some(OpenError::DamagedHeader(Defect::Invalid("critical")))));
    assert!(matches!(with("[[]]"), Some(OpenError::DamagedHeader(Defect::Invalid("critical")))));
    assert!(matches!(open(&good[..100]), Some(OpenError::DamagedHeader(Defect::NotJson))));
    assert!(matches!(open(&good.replace("4194304", "4194305")), Some(OpenError::DamagedHeader(_))));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(Found::open(folder.path(), None), Err(OpenError::NotAVolume)));
    std::fs::write(folder.path().join("cryptfs.json.nextcloud"), " ").unwrap();
    assert!(matches!(Found::open(folder.path(), None), Err(OpenError::Placeholder)));
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    let linked = Found::open(folder.path(), None);
    assert!(matches!(linked, Err(OpenError::DamagedHeader(Defect::NotAFile))));
}

/// As somebody who holds the folder changes it, and as a former member does, with an owner key of their own.
#[test]
fn row_19_a_changed_header_is_refused() {
    let key = RecoveryKey::generate();
    let (folder, opened) = volume(&key);
    let file = folder.path().join(FILE);
    let weaker = std::fs::read_to_string(&file).unwrap().replace("4194304", "1048576");
    std::fs::write(&file, weaker).unwrap();
    let changed = Found::open(folder.path(), None);
    assert!(matches!(changed, Err(OpenError::DamagedHeader(Defect::Forged))));

    let former = opened.keyring.with_new_owner();
    let chunk_size = ChunkSize::new(1 << 20).unwrap();
    let header = Header { chunk_size, owner: former.owner(), ..opened.header.clone() };
    std::fs::write(&file, header.to_json(former.seed().unwrap())).unwrap();
    let pinned = Expected { pinned: Some(opened.keyring.owner()), ..Expected::default() };
    let locked = Found::open(folder.path(), None).unwrap().look(&pinned).unwrap();
    assert_eq!(locked.contact, Contact::Other { pinned: opened.keyring.owner() });
    // Nor is there a way on a device that knows nothing: its slots are not those of that header.
    assert!(look(folder.path(), None).unlock(&Credential::Recovery(&key), None).is_err());
    // A former owner can sign, but not make the slots fit.
    let header = Header { chunk_size, ..opened.header.clone() };
    std::fs::write(&file, header.to_json(opened.keyring.seed().unwrap())).unwrap();
    let locked = Found::open(folder.path(), None).unwrap().look(&pinned).unwrap();
    assert!(locked.listing.slots.is_empty() && locked.list.newest().is_none());
}

#[test]
fn a_slot_of_other_keys_does_not_stand_in_the_way() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let (own, stranger) = (&fixture.keyring, Keyring::generate());
    // The owner was talked into signing these: other keys, and an epoch that is not the list's.
    let mut foreign = own.with_new_epoch().unwrap().without_old_epochs();
    foreign.join(own).unwrap();
    let planted = [
        fixture.add_by(own, "a", &Enrol::Recovery(&key), &stranger.without_seed()),
        fixture.add_by(own, "b", &Enrol::Recovery(&key), &own.with_new_owner().without_seed()),
    ];
    let good = fixture.add("good", &Enrol::Recovery(&key));
    let locked = fixture.look();
    assert_eq!(locked.unlock(&Credential::Recovery(&key), None).unwrap().slot, good);
    for id in planted {
        assert!(locked.unlock(&Credential::Recovery(&key), Some(id)).is_err());
    }
    let ahead = fixture.add_by(own, "c", &Enrol::Recovery(&key), &foreign);
    let opened = fixture.look().unlock(&Credential::Recovery(&key), Some(ahead)).unwrap();
    assert_eq!(opened.content_roots().len(), 1, "what no list names is not used");
}

#[test]
fn one_secret_for_a_members_slot_and_an_owners_is_an_owners() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    for _ in 0..8 {
        fixture.add_by(&fixture.keyring, "member", &Enrol::Recovery(&key), &fixture.keyring.without_seed());
    }
    fixture.add("owner", &Enrol::Recovery(&key));
    let opened = fixture.look().unlock_as_owner(&Credential::Recovery(&key)).unwrap();
    assert!(opened.keyring.seed().is_some());
}

#[test]
fn slots_of_this_device_are_tried_too() {
    let fixture = KeysFixture::new();
    let own = fixture.add("x", &Enrol::Recovery(&RecoveryKey::generate()));
    let local = |keyring: &Keyring| {
        let by = crate::keys::Issuer { volume: fixture.header.digest(), generation: 1, seed: None };
        let with = Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None };
        Slot::enrol(&by, label(), &with, keyring).unwrap().0
    };
    let tpm = || Credential::Tpm { tpm: &OpenTpm, pin: None };
    let slot = local(&fixture.keyring.without_seed());
    let id = slot.id;
    let locked = fixture.look().with_local(vec![slot]);
    assert_eq!(locked.unlock(&tpm(), None).unwrap().slot, id);
    assert!(locked.listing.slots.iter().all(|slot| slot.id == own));
    assert!(fixture.look().with_local(vec![local(&Keyring::generate())]).unlock(&tpm(), None).is_err());
}

#[test]
fn nothing_is_made_twice_or_left_behind() {
    let key = RecoveryKey::generate();
    let (folder, _) = volume(&key);
    let ways = [(label(), Enrol::Recovery(&key))];
    let again = create(folder.path(), None, KIND, &ways, |_| Ok(()));
    assert!(matches!(again, Err(CreateError::Exists)));
    std::fs::write(folder.path().join(FILE), "").unwrap();
    assert!(matches!(create(folder.path(), None, KIND, &ways, |_| Ok(())), Err(CreateError::Exists)));
    std::fs::remove_file(folder.path().join(FILE)).unwrap();
    assert!(matches!(create(folder.path(), None, KIND, &ways, |_| Ok(())), Err(CreateError::KeysExist)));

    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(create(folder.path(), None, KIND, &[], |_| Ok(())), Err(CreateError::NoSlots)));
    let ways = [(label(), Enrol::Recovery(&key)), (label(), Enrol::Recipient("nobody"))];
    assert!(matches!(create(folder.path(), None, KIND, &ways, |_| Ok(())), Err(CreateError::Slot(_))));
    assert!(!Slots::open(folder.path(), None).unwrap().are_begun().unwrap());
    assert!(matches!(Found::open(folder.path(), None), Err(OpenError::NotAVolume)));
}

/// A slot that lies there and was not opened makes up for nothing.
#[test]
fn what_does_not_make_up_for_a_slot_is_left_out() {
    let fixture = KeysFixture::new();
    let own = fixture.add("x", &Enrol::Recovery(&RecoveryKey::generate()));
    let left_for = |going: SlotId| {
        let mut locked = fixture.look();
        let left = locked.leave_out_for(going);
        left.map(|()| locked.listing.slots.iter().map(|slot| slot.id).collect::<Vec<_>>())
    };
    assert!(matches!(left_for(own), Err(SlotsError::LastSlot)));
    assert!(matches!(left_for(SlotId([0; 16])), Err(SlotsError::NoSuchSlot(_))));
    let tpm = fixture.add("tpm", &Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: None });
    assert!(matches!(left_for(own), Err(SlotsError::LastIndependentOfTpm)));
    assert_eq!(left_for(tpm).unwrap(), [own]);
    let (age, keyring) = (Enrol::Recipient(AGE_PUBLIC), &fixture.keyring);
    let member = fixture.add_by(keyring, "age", &age, &keyring.without_seed());
    assert!(matches!(left_for(own), Err(SlotsError::LastOwner)));
    assert_eq!(left_for(member).unwrap(), [own]);
    let age = fixture.add("age", &age);
    assert_eq!(left_for(own).unwrap(), [age]);
}
