use super::*;
use crate::keys::hex;

fn bytes(count: u8, numbers: &[u32]) -> Vec<u8> {
    let mut bytes = [&[1][..], &[7; 32], &[count]].concat();
    numbers
        .iter()
        .for_each(|number| bytes.extend([&number.to_le_bytes()[..], &[*number as u8; 32]].concat()));
    bytes
}

#[test]
fn decodes_only_what_encode_makes() {
    assert_eq!(*Keyring::decode(&bytes(2, &[3, 9])).unwrap().encode(), bytes(2, &[3, 9]));
    let all: Vec<u32> = (1..=65).collect();
    assert!(Keyring::decode(&bytes(64, &all[..64])).is_some());
    let mut other_version = bytes(1, &[1]);
    other_version[0] = 2;
    for (what, bad) in [
        ("no epochs", bytes(0, &[])),
        ("too many epochs", bytes(65, &all)),
        ("count too small", bytes(1, &[1, 2])),
        ("count too large", bytes(2, &[1])),
        ("not increasing", bytes(2, &[2, 1])),
        ("one epoch twice", bytes(2, &[2, 2])),
        ("a byte more", [bytes(1, &[1]), vec![0]].concat()),
        ("a byte less", bytes(1, &[1])[..69].to_vec()),
        ("nothing", Vec::new()),
        ("other version", other_version),
    ] {
        assert!(Keyring::decode(&bad).is_none(), "{what}");
    }
}

#[test]
fn rotation_keeps_the_names_and_changes_the_fingerprint() {
    let old = Keyring::generate();
    let both = old.with_new_epoch().unwrap();
    let new = both.without_old_epochs();
    assert!(crypto::same(old.name_key().bytes(), new.name_key().bytes()));
    assert_ne!(old.fingerprint(), both.fingerprint());
    assert_eq!(both.fingerprint(), new.fingerprint());
    assert_eq!((old.epochs(), both.epochs(), new.epochs()), (1, 2, 1));
    let roots =
        |keyring: &Keyring| keyring.content_roots().iter().map(|root| *root.bytes()).collect::<Vec<_>>();
    assert_eq!(roots(&both), [roots(&new), roots(&old)].concat());
    assert!(both.remembers(&old.fingerprint()) && !new.remembers(&old.fingerprint()));
}

#[test]
fn the_number_of_epochs_is_bounded() {
    let mut keyring = Keyring::generate();
    for _ in 1..MAX_EPOCHS {
        keyring = keyring.with_new_epoch().unwrap();
    }
    assert!(keyring.with_new_epoch().is_err());
    assert!(keyring.without_old_epochs().with_new_epoch().is_ok());
    let last = Keyring::decode(&bytes(1, &[u32::MAX])).unwrap();
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
    let fingerprint = Keyring::generate().fingerprint();
    let shown = fingerprint.to_string();
    assert_eq!(shown.split(' ').map(str::len).collect::<Vec<_>>(), [4; 8]);
    for typed in [shown.clone(), shown.replace(' ', ""), shown.replace(' ', ":").to_uppercase()] {
        assert_eq!(typed.parse(), Ok(fingerprint));
    }
    for bad in [&shown[1..], "", &hex::encode(&[0; 17]), &shown.replace(shown.as_bytes()[0] as char, "g")] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}
