use super::super::BlindSpot;
use super::super::tests::pinned;
use super::*;
use crate::keys::test_support::{AGE_PUBLIC, KeysFixture};
use crate::keys::{Contact, Credential, Enrol, Issuer, RecoveryKey, Slot, Spent};

/// Row 20 of the attack matrix: header and recipient slot exchanged for the attacker's own, for the victim's key.
#[test]
fn row_20_a_volume_of_somebody_else_under_the_own_public_key_is_another_one() {
    let [own, theirs] = [(); 2].map(|()| KeysFixture::new());
    theirs.add("x", &Enrol::Recipient(AGE_PUBLIC));
    let (_state, trust) = pinned(&own);
    let found = theirs.look_as(&trust.expected().unwrap());
    assert_eq!(found.contact, Contact::Other { pinned: own.keyring.owner() });
}

#[test]
fn lists_that_were_believed_are_kept_whole() {
    let fixture = KeysFixture::new();
    let (_state, trust) = pinned(&fixture);
    let [key, other] = [(); 2].map(|()| RecoveryKey::generate());
    let [going, way] = [&key, &other].map(|key| fixture.add("x", &Enrol::Recovery(key)));
    let mut locked = fixture.look();
    let opened = locked.unlock(&Credential::Recovery(&other), Some(way)).unwrap();
    locked.remove(going, Some(&opened)).unwrap();
    let next = fixture.keyring.with_new_owner();
    let word = Succession::from_bytes(&[7; Succession::LENGTH]);
    let mut list = locked.list.clone();
    list.successions.insert(word);
    list.epochs.extend(next.with_new_epoch().unwrap().epochs());
    trust.pin(next.owner(), &list).unwrap();
    trust.announce(fixture.keyring.owner()).unwrap();
    let expected = trust.expected().unwrap();
    assert_eq!(expected.list, list);
    assert_eq!((expected.pinned, expected.announced), (Some(next.owner()), Some(fixture.keyring.owner())));
}

#[test]
fn slots_are_noted() {
    let (_state, trust) = pinned(&KeysFixture::new());
    let ids = [1, 2, 3].map(|byte| SlotId([byte; 16]));
    assert!(trust.note_slots(&ids[..2]).unwrap());
    assert!(!trust.note_slots(&ids[..2]).unwrap());
    assert!(trust.note_slots(&ids).unwrap());
    assert_eq!(trust.known_slots().unwrap(), ids);
    assert!(trust.removed_slots().unwrap().is_empty());
    trust.note_removed_slots(&ids[1..]).unwrap();
    assert_eq!(trust.removed_slots().unwrap(), ids[1..]);
    trust.forget_removed_slots(&ids[..2]).unwrap();
    assert_eq!(trust.removed_slots().unwrap(), ids[2..]);
    trust.forget_removed_slots(&ids).unwrap();
    assert!(trust.removed_slots().unwrap().is_empty());
}

#[test]
fn row_17_a_removed_slot_that_was_brought_back_opens_nothing() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let slot = fixture.add("x", &Enrol::Recovery(&key));
    let (_state, trust) = pinned(&fixture);
    assert!(fixture.look_as(&trust.expected().unwrap()).unlock(&Credential::Recovery(&key), None).is_ok());
    trust.note_removed_slots(&[slot]).unwrap();
    let locked = fixture.look_as(&trust.expected().unwrap());
    assert!(locked.unlock(&Credential::Recovery(&key), None).is_err());
    assert_eq!(locked.listing.spent[0].1, Spent::Revoked);
}

#[test]
fn a_slot_of_this_device_is_kept() {
    let fixture = KeysFixture::new();
    let (_state, trust) = pinned(&fixture);
    assert!(trust.own_slot().unwrap().is_none());
    let by = Issuer { volume: fixture.header.digest(), generation: 1, seed: None };
    let key = RecoveryKey::generate();
    let slot = Slot::enrol(&by, "x".parse().unwrap(), &Enrol::Recovery(&key), &fixture.keyring).unwrap().0;
    trust.keep_own_slot(&slot).unwrap();
    assert_eq!(trust.own_slot().unwrap().unwrap().to_json(), slot.to_json());
    assert!(Trust::ephemeral().keep_own_slot(&slot).is_err());
}

#[test]
fn without_a_memory_nothing_is_noticed_and_that_is_said() {
    let trust = Trust::ephemeral();
    trust.pin(KeysFixture::new().keyring.owner(), &List::default()).unwrap();
    trust.note_removed_slots(&[SlotId([1; 16])]).unwrap();
    let expected = trust.expected().unwrap();
    assert!(expected.pinned.is_none() && expected.removed.is_empty());
    assert!(trust.blind_spots().contains(&BlindSpot::ReplacedVolume) && trust.blind_spots().len() == 3);
    assert_ne!(trust.device(), Trust::ephemeral().device());
}

#[test]
fn row_48_another_volume_in_a_known_folder_is_noticed() {
    let state = tempfile::tempdir().unwrap();
    let [one, other] = [5, 6].map(|byte| Trust::open_in(state.path(), VolumeId([byte; 16])).unwrap());
    let (here, there) = (Path::new("/vault"), Path::new("/stick\nvault"));
    one.note_place(here).unwrap();
    one.note_place(there).unwrap();
    for place in [here, there] {
        assert!(other.knows_another_at(place).unwrap() && !one.knows_another_at(place).unwrap());
    }
    assert!(!other.knows_another_at(Path::new("/elsewhere")).unwrap());
    assert!(!Trust::ephemeral().knows_another_at(here).unwrap());
    // Known itself, elsewhere: exchanged with the other.
    other.note_place(Path::new("/other")).unwrap();
    assert!(other.knows_another_at(here).unwrap() && one.knows_another_at(Path::new("/other")).unwrap());
    // Accepted there as well, as two sticks that take turns at one mountpoint.
    other.note_place(here).unwrap();
    assert!(!other.knows_another_at(here).unwrap() && !one.knows_another_at(here).unwrap());
}
