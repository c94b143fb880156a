use super::*;
use crate::keys::{Fingerprint, hex};

/// A member's keyring with epochs of these numbers.
fn bytes(count: u8, numbers: &[u64]) -> Vec<u8> {
    let mut bytes = [&[2, 0][..], &[7; 32], &[8; 32], &[count]].concat();
    numbers
        .iter()
        .for_each(|number| bytes.extend([&number.to_le_bytes()[..], &[*number as u8; 32]].concat()));
    bytes
}

#[test]
fn decodes_only_what_encode_makes() {
    assert_eq!(*Keyring::decode(&bytes(2, &[3, 9])).unwrap().encode(), bytes(2, &[3, 9]));
    let all: Vec<u64> = (1..=65).collect();
    assert!(Keyring::decode(&bytes(64, &all[..64])).is_some());
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes(1, &[1]);
        bytes[at] = byte;
        bytes
    };
    let owners = Keyring::generate().encode().to_vec();
    assert_eq!(*Keyring::decode(&owners).unwrap().encode(), owners);
    let mut other_seed = owners.clone();
    other_seed[70] ^= 1;
    for (what, bad) in [
        ("no epochs", bytes(0, &[])),
        ("too many epochs", bytes(65, &all)),
        ("count too small", bytes(1, &[1, 2])),
        ("count too large", bytes(2, &[1])),
        ("not increasing", bytes(2, &[2, 1])),
        ("one epoch twice", bytes(2, &[2, 2])),
        ("a byte more", [bytes(1, &[1]), vec![0]].concat()),
        ("a byte less", bytes(1, &[1])[..106].to_vec()),
        ("nothing", Vec::new()),
        ("other version", with(0, 1)),
        ("a seed that is not there", with(1, 1)),
        ("an unknown flag", with(1, 2)),
        ("a seed of another key", other_seed),
    ] {
        assert!(Keyring::decode(&bad).is_none(), "{what}");
    }
}

#[test]
fn rotation_keeps_names_and_owner_and_adds_an_epoch() {
    let old = Keyring::generate();
    let both = old.with_new_epoch().unwrap();
    let new = both.without_old_epochs();
    assert!(crypto::same(old.name_key().bytes(), new.name_key().bytes()));
    assert_eq!((old.identity_id(), old.owner()), (new.identity_id(), new.owner()));
    assert_eq!([old.epochs(), new.epochs()].concat(), both.epochs());
    assert!(old.newest() < both.newest() && both.newest() == new.newest());
    let roots = |keyring: &Keyring, newest| {
        keyring.content_roots(newest).iter().map(|root| *root.bytes()).collect::<Vec<_>>()
    };
    let (first, last) = (old.newest(), new.newest());
    assert_eq!(roots(&both, last), [roots(&new, last), roots(&old, first)].concat());
    assert_eq!(roots(&both, first), roots(&old, first), "an epoch that no list names is not used");
}

#[test]
fn another_owner_signs_and_members_do_not() {
    let keyring = Keyring::generate();
    let next = keyring.with_new_owner();
    assert_ne!(next.owner(), keyring.owner());
    assert_eq!(next.seed().unwrap().public(), next.owner());
    assert!(next.without_seed().seed().is_none());
    assert_eq!(next.without_seed().owner(), next.owner());
}

#[test]
fn epochs_of_owners_who_rotated_apart_join() {
    let old = Keyring::generate();
    let [one, other] = [(); 2].map(|()| old.with_new_epoch().unwrap());
    assert_ne!(one.newest(), other.newest());
    let joined = |a: &Keyring, b: &Keyring| {
        let mut joined = a.duplicate();
        joined.join(b).unwrap();
        joined.epochs()
    };
    assert_eq!(joined(&one, &other), joined(&other, &one));
    assert_eq!(joined(&one, &other).len(), 3);
    assert_eq!(joined(&one, &old), one.epochs());
}

#[test]
fn the_number_of_epochs_is_bounded() {
    let mut keyring = Keyring::generate();
    let mut other = keyring.with_new_epoch().unwrap();
    for _ in 1..MAX_EPOCHS {
        keyring = keyring.with_new_epoch().unwrap();
    }
    assert!(keyring.with_new_epoch().is_err() && keyring.join(&other).is_err());
    assert!(keyring.without_old_epochs().with_new_epoch().is_ok());
    assert!(other.join(&keyring.without_old_epochs()).is_ok());
    let last = Keyring::decode(&bytes(1, &[u64::MAX])).unwrap();
    assert!(last.with_new_epoch().is_err());
}

#[test]
fn a_keyring_supersedes_what_it_opens_all_of() {
    let old = Keyring::generate();
    let (one, other) = (old.with_new_epoch().unwrap(), old.with_new_epoch().unwrap());
    assert!(one.supersedes(&old) && one.without_old_epochs().supersedes(&old) && one.supersedes(&one));
    assert!(!one.supersedes(&other), "two rotations from one start");
    assert!(!old.supersedes(&one), "an epoch more");
    assert!(!one.supersedes(&Keyring::generate()), "another volume");
}

#[test]
fn fingerprints_are_typed_back() {
    let fingerprint = Keyring::generate().owner().fingerprint();
    let shown = fingerprint.to_string();
    assert_eq!(shown.split(' ').map(str::len).collect::<Vec<_>>(), [4; 8]);
    for typed in [shown.clone(), shown.replace(' ', ""), shown.replace(' ', ":").to_uppercase()] {
        assert_eq!(typed.parse(), Ok(fingerprint));
    }
    for bad in [&shown[1..], "", &hex::encode(&[0; 17]), &shown.replace(shown.as_bytes()[0] as char, "g")] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}
