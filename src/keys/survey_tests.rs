use super::*;
use crate::crypto::Cost;
use crate::keys::test_support::{AGE_PUBLIC, KeysFixture, OpenTpm};
use crate::keys::tpm::{Answer, PcrMask, SealedSecret, TpmSlotFields};
use crate::keys::{Credential, Enrol, Keyring, RecoveryKey, Succession, UnlockError};

fn ids(listing: &Listing) -> Vec<SlotId> {
    listing.slots.iter().map(|slot| slot.id).collect()
}

/// Everything that somebody who holds the folder, or held a slot, can put there.
#[test]
fn row_41_only_what_the_owner_signed_counts() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let own = fixture.add("own", &Enrol::Recovery(&key));
    let stranger = Keyring::generate();
    // A former member has every key but the owner's.
    let former = fixture.keyring.with_new_epoch().unwrap().without_seed();
    for (by, inside) in [(&stranger, &stranger), (&stranger, &fixture.keyring), (&former, &former)] {
        fixture.add_by(by, "planted", &Enrol::Recipient(AGE_PUBLIC), inside);
    }
    let name = format!("{own}.json");
    let text = String::from_utf8(fixture.files.files.borrow()[&name].clone()).unwrap();
    let low = "0".repeat(32);
    fixture.put(&format!("{low}.json"), text.replace(&own.to_string(), &low).as_bytes());
    fixture.put("edited.json", text.replace("\"own\"", "\"hers\"").as_bytes());
    fixture.put(&format!("{own} (conflicted copy).json"), text.as_bytes());
    fixture.put("notes.txt", b"hello");
    fixture.put("ffffffffffffffffffffffffffffffff.json", b"{");
    // A list that revokes the owner's slot.
    let all = fixture.files.files.borrow().clone();
    let list = all.into_values().find(|file| file.windows(12).any(|word| word == b"cryptfs-list")).unwrap();
    let list = String::from_utf8(list).unwrap();
    let revoking = list.replacen("\"revoked\": \"\"", &format!("\"revoked\": \"{own}{:016x}\"", 1), 1);
    assert_ne!(revoking, list);
    fixture.put(&format!("{low}1.json"), revoking.as_bytes());

    let locked = fixture.look();
    assert_eq!(ids(&locked.listing), [own]);
    assert_eq!(locked.listing.junk.len(), 8, "{:?}", locked.listing.junk);
    assert_eq!(locked.unlock(&Credential::Recovery(&key), None).unwrap().slot, own);
    // The copy counts where the original is gone.
    fixture.files.files.borrow_mut().remove(&name);
    assert_eq!(ids(&fixture.look().listing), [own]);
}

/// Part by part: no signature, no try.
#[test]
fn row_42_what_is_not_signed_costs_no_try() {
    let fixture = KeysFixture::new();
    let pin = crate::keys::NewPin { pin: b"1234", cost: Cost::LEAST };
    let tpm = Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::NONE, pin: Some(pin) };
    let own = fixture.add("tpm", &tpm);
    let text = String::from_utf8(fixture.files.files.borrow()[&format!("{own}.json")].clone()).unwrap();
    for n in 0..6 {
        let id = format!("{n:032x}");
        fixture.put(&format!("{id}.json"), text.replace(&own.to_string(), &id).as_bytes());
    }
    let locked = fixture.look();
    assert_eq!((ids(&locked.listing), locked.listing.junk.len()), (vec![own], 6));
    let tries = std::cell::Cell::new(0);
    let counting = CountingTpm(&tries);
    let credential = Credential::Tpm { tpm: &counting, pin: Some(b"4321") };
    assert!(locked.unlock(&credential, None).is_err());
    assert_eq!(tries.get(), 1);
}

/// Counts what is asked of it.
struct CountingTpm<'a>(&'a std::cell::Cell<u32>);

impl crate::keys::Sealer for CountingTpm<'_> {
    fn tcti(&self) -> String {
        OpenTpm.tcti()
    }

    fn seal(&self, secret: SealedSecret, pcrs: PcrMask, auth: Option<&[u8]>) -> Answer<TpmSlotFields> {
        OpenTpm.seal(secret, pcrs, auth)
    }

    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Answer<SealedSecret> {
        self.0.set(self.0.get() + 1);
        OpenTpm.unseal(sealed, auth)
    }
}

#[test]
fn row_43_revoked_and_outdated_slots_do_not_count() {
    let fixture = KeysFixture::new();
    let keys = [(); 3].map(|()| RecoveryKey::generate());
    let [kept, revoked, removed] = keys.each_ref().map(|key| fixture.add("x", &Enrol::Recovery(key)));
    fixture.put_list(&List { generation: 2, revoked: [(revoked, 1)].into(), ..List::default() });
    let expected =
        Expected { pinned: Some(fixture.keyring.owner()), removed: vec![removed], ..Expected::default() };
    let locked = fixture.look_as(&expected);
    assert_eq!(ids(&locked.listing), [kept]);
    let spent: BTreeMap<_, _> = locked.listing.spent.iter().map(|(slot, why)| (slot.id, *why)).collect();
    assert_eq!(spent.len(), 2);
    assert!(spent.values().all(|why| *why == Spent::Revoked));

    let next = fixture.keyring.with_new_epoch().unwrap();
    let rotated = fixture.add_by(&next, "rotated", &Enrol::Recovery(&keys[0]), &next);
    // Not before a list names the epoch.
    assert_eq!(ids(&fixture.look().listing).len(), 3);
    fixture.put_list(&List { generation: 3, epochs: next.epochs().into_iter().collect(), ..List::default() });
    let locked = fixture.look();
    assert_eq!(ids(&locked.listing), [rotated]);
    assert!(locked.listing.spent.iter().any(|(slot, why)| slot.id == kept && *why == Spent::Outdated));
    // A device that saw the list is not taken in by a folder from before it.
    let memory = Expected { pinned: Some(fixture.keyring.owner()), list: locked.list, ..Expected::default() };
    fixture.files.files.borrow_mut().retain(|name, _| !name.starts_with(&rotated.to_string()));
    assert!(ids(&fixture.look_as(&memory).listing).is_empty());
}

#[test]
fn row_44_any_amount_of_junk_is_counted_and_in_nobodys_way() {
    let fixture = KeysFixture::new();
    let key = RecoveryKey::generate();
    let own = fixture.add("own", &Enrol::Recovery(&key));
    for n in 0..NAMED_JUNK + 500 {
        fixture.put(&format!("{n:032x}.json"), b"{\"format\": \"cryptfs-slot\", \"version\": 2}");
    }
    let locked = fixture.look();
    assert_eq!((locked.listing.junk.len(), locked.listing.more_junk), (NAMED_JUNK, 500));
    assert_eq!(locked.unlock(&Credential::Recovery(&key), None).unwrap().slot, own);
}

fn word(fixture: &KeysFixture, former: &Keyring, next: &Keyring) -> Succession {
    Succession::new(&fixture.header.digest(), former.seed().unwrap(), next.owner())
}

#[test]
fn row_45_an_owner_key_changes_by_the_former_owners_word_only() {
    let mut fixture = KeysFixture::new();
    let first = fixture.keyring.duplicate();
    let pinned = || Expected { pinned: Some(first.owner()), ..Expected::default() };
    let [next, rival, third] = [(); 3].map(|()| first.with_new_owner());
    let epochs = || -> BTreeSet<_> { first.epochs().into_iter().collect() };
    let list = |successions: &[Succession]| List {
        generation: 2,
        epochs: epochs(),
        successions: successions.iter().copied().collect(),
        ..List::default()
    };
    // Somebody else's word, in a list of their own.
    fixture.keyring = rival.duplicate();
    fixture.put_list(&list(&[word(&fixture, &rival, &third), word(&fixture, &third, &next)]));
    assert_eq!(fixture.look_as(&pinned()).contact, Contact::Known);
    // The owner's, which they never gave.
    fixture.keyring = next.duplicate();
    let mut forged = word(&fixture, &third, &next).bytes();
    forged[..32].copy_from_slice(&first.owner().0);
    fixture.put_list(&list(&[Succession::from_bytes(forged.as_slice().try_into().unwrap())]));
    assert_eq!(fixture.look_as(&pinned()).contact, Contact::Known);
    // The owner's.
    fixture.put_list(&list(&[word(&fixture, &first, &next)]));
    let locked = fixture.look_as(&pinned());
    assert_eq!(
        (locked.contact.clone(), locked.owner),
        (Contact::Succeeded { pinned: first.owner() }, next.owner())
    );
    assert_eq!(fixture.look_as(&Expected::default()).contact, Contact::First);
    let confirmed = Expected { confirmed: Some(next.owner().fingerprint()), ..pinned() };
    assert_eq!(fixture.look_as(&confirmed).contact, Contact::Confirmed);
    let announced = Expected { announced: Some(next.owner()), ..pinned() };
    assert_eq!(fixture.look_as(&announced).contact, Contact::Confirmed);
    // A device that knows the new one does not go back, nor where the succession is hidden.
    let knows = Expected { pinned: Some(next.owner()), list: locked.list, ..Expected::default() };
    assert_eq!(fixture.look_as(&knows).contact, Contact::Known);
    let files = fixture.files.files.borrow().clone();
    fixture.files.files.borrow_mut().clear();
    assert_eq!(fixture.look_as(&knows).contact, Contact::Known);
    *fixture.files.files.borrow_mut() = files;
    // A former owner who says two things, as somebody does who was thrown out.
    fixture.keyring = rival.duplicate();
    fixture.put_list(&list(&[word(&fixture, &first, &rival)]));
    assert!(matches!(fixture.look_as(&pinned()).contact, Contact::Unclear(all) if all.len() == 2));
    assert_eq!(fixture.look_as(&confirmed).contact, Contact::Confirmed);
    assert_eq!(fixture.look_as(&knows).contact, Contact::Known);
}

#[test]
fn row_46_another_owner_key_is_another_volume() {
    let fixture = KeysFixture::new();
    let stranger = Keyring::generate().owner();
    let other = fixture.look_as(&Expected { pinned: Some(stranger), ..Expected::default() });
    assert_eq!(other.contact, Contact::Other { pinned: stranger });
    let expected = stranger.fingerprint();
    let unlike = fixture.look_as(&Expected { confirmed: Some(expected), ..Expected::default() });
    assert_eq!(unlike.contact, Contact::NotConfirmed { expected });
    let pinned = Some(fixture.keyring.owner());
    let unlike = fixture.look_as(&Expected { pinned, confirmed: Some(expected), ..Expected::default() });
    assert_eq!(unlike.contact, Contact::NotConfirmed { expected });
}

#[test]
fn row_47_before_anything_is_authentic_the_work_is_bounded_and_the_cheapest_comes_first() {
    let fixture = KeysFixture::new();
    let with = |cost| Enrol::Passphrase { passphrase: b"theirs", cost };
    let cheap = [(); 17].map(|()| fixture.add("cheap", &with(Cost::LEAST)));
    let dear = [4, 5, 6].map(|passes| fixture.add("dear", &with(Cost::new(1 << 16, passes, 1).unwrap())));
    let locked = fixture.look_as(&Expected::default());
    let refused = |locked: &crate::keys::Locked| {
        let Err(UnlockError::Refused(refused)) = locked.unlock(&Credential::Passphrase(b"mine"), None) else {
            panic!()
        };
        let costly = |error: &crate::keys::SlotError| matches!(error, crate::keys::SlotError::TooCostly);
        refused.iter().filter(|(_, error)| costly(error)).count()
    };
    assert_eq!(refused(&locked), cheap.len() + dear.len() - 16);
    assert_eq!(refused(&fixture.look()), 0, "all are the pinned owner's");
    assert!(fixture.look().listing.slots.is_sorted_by_key(Slot::cost));
}
