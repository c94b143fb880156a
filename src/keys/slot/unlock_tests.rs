use super::*;
use crate::keys::golden_tests::volume;
use crate::keys::test_support::{AGE_PRIVATE, AGE_PUBLIC, OpenTpm, SSH_LOCKED, SSH_PRIVATE, SSH_PUBLIC};
use crate::keys::{IdentityId, SlotType};

fn issuer(keyring: &Keyring) -> Issuer<'_> {
    Issuer { volume: volume(), generation: 1, seed: keyring.seed() }
}

fn enrolled(with: &Enrol<'_>, keyring: &Keyring) -> Slot {
    let by = issuer(keyring);
    let (slot, key) = Slot::enrol(&by, "test".parse().unwrap(), with, keyring).unwrap();
    let read = Slot::parse(&slot.to_json()).unwrap();
    assert!(read.unwrap(&volume(), &key).is_ok() && read.is_by(keyring.owner(), &volume()));
    assert!(!read.is_by(Keyring::generate().owner(), &volume()));
    read
}

fn opens(slot: &Slot, credential: &Credential<'_>) -> Result<IdentityId, SlotError> {
    slot.open(&volume(), credential).map(|keyring| keyring.identity_id())
}

fn recipient_error(text: &str) -> RecipientError {
    let keyring = Keyring::generate();
    let enrol = Slot::enrol(&issuer(&keyring), "x".parse().unwrap(), &Enrol::Recipient(text), &keyring);
    match enrol {
        Err(SlotError::Recipient(error)) => error,
        _ => panic!("{text}"),
    }
}

#[test]
fn passphrase() {
    let keyring = Keyring::generate();
    let slot = enrolled(&Enrol::Passphrase { passphrase: b"secret", cost: Cost::LEAST }, &keyring);
    assert_eq!(opens(&slot, &Credential::Passphrase(b"secret")).unwrap(), keyring.identity_id());
    assert!(matches!(opens(&slot, &Credential::Passphrase(b"Secret")), Err(SlotError::WrongKey)));
}

#[test]
fn recovery_key() {
    let (keyring, key) = (Keyring::generate(), RecoveryKey::generate());
    let slot = enrolled(&Enrol::Recovery(&key), &keyring);
    assert_eq!(opens(&slot, &Credential::Recovery(&key)).unwrap(), keyring.identity_id());
    let other = RecoveryKey::generate();
    assert!(matches!(opens(&slot, &Credential::Recovery(&other)), Err(SlotError::WrongKey)));
}

#[test]
fn age_and_ssh_recipients() {
    let keyring = Keyring::generate();
    let [age, ssh] = [AGE_PRIVATE, SSH_PRIVATE].map(|file| Identities::parse(file).ok().unwrap());
    for (recipient, own, other) in [(AGE_PUBLIC, &age, &ssh), (SSH_PUBLIC.trim_end(), &ssh, &age)] {
        let slot = enrolled(&Enrol::Recipient(recipient), &keyring);
        assert!(matches!(&slot.kind, Kind::Recipient(slot) if slot.public_key() == recipient));
        assert_eq!(opens(&slot, &Credential::Identities(own)).unwrap(), keyring.identity_id());
        let refused = opens(&slot, &Credential::Identities(other));
        assert!(matches!(refused, Err(SlotError::Recipient(RecipientError::NoMatch))), "{refused:?}");
    }
}

#[test]
fn what_is_no_recipient_or_identity_is_said() {
    assert_eq!(recipient_error("age1nonsense"), RecipientError::BadRecipient);
    assert_eq!(recipient_error(""), RecipientError::BadRecipient);
    assert_eq!(recipient_error("ssh-ed25519 AAAA"), RecipientError::BadRecipient);
    assert_eq!(Identities::parse(SSH_LOCKED).err(), Some(RecipientError::IdentityLocked));
    assert_eq!(Identities::parse(b"").err(), Some(RecipientError::BadIdentity));
    assert_eq!(Identities::parse(SSH_PUBLIC.as_bytes()).err(), Some(RecipientError::BadIdentity));
}

#[test]
fn a_stanza_that_is_no_age_file_is_damage() {
    let identities = Identities::parse(AGE_PRIVATE).ok().unwrap();
    let stanza = recipient::wrap(AGE_PUBLIC, &Secret::random()).unwrap();
    let mut flipped = stanza.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&b""[..], b"age-encryption.org/v1\n", &stanza[..stanza.len() - 1], &flipped] {
        assert_eq!(recipient::unwrap(bad, &identities).err(), Some(RecipientError::Damaged));
    }
    assert!(recipient::unwrap(&stanza, &identities).is_ok());
}

#[test]
fn row_35_a_tpm_slot_with_and_without_a_pin() {
    let keyring = Keyring::generate();
    let pin = NewPin { pin: b"1234", cost: Cost::LEAST };
    for pin in [None, Some(pin)] {
        let slot = enrolled(&Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::SECURE_BOOT, pin }, &keyring);
        assert_eq!(slot.kind.slot_type(), SlotType::Tpm2);
        let tpm = |pin| Credential::Tpm { tpm: &OpenTpm, pin };
        assert_eq!(opens(&slot, &tpm(Some(b"1234"))).unwrap(), keyring.identity_id());
        match pin {
            None => assert_eq!(opens(&slot, &tpm(None)).unwrap(), keyring.identity_id()),
            Some(_) => {
                assert!(matches!(opens(&slot, &tpm(None)), Err(SlotError::NeedsPin)));
                assert!(matches!(opens(&slot, &tpm(Some(b"4321"))), Err(SlotError::Tpm(_))));
            }
        }
    }
}

/// Whoever has what the TPM seals, and the slot, has to run the whole Argon2id for each PIN that they try.
#[test]
fn row_35_a_stolen_secret_leaves_a_search_of_the_pin_at_full_cost() {
    let keyring = Keyring::generate();
    let (memory, passes, lanes) = (1 << 17, 4, 2);
    let cost = Cost::new(memory, passes, lanes).unwrap();
    let pin = Some(NewPin { pin: b"1234", cost });
    let slot = enrolled(&Enrol::Tpm { tpm: &OpenTpm, pcrs: PcrMask::SECURE_BOOT, pin }, &keyring);
    let json: serde_json::Value = serde_json::from_slice(&slot.to_json()).unwrap();
    let bytes = |member: &str| crate::keys::hex::decode(json[member].as_str().unwrap()).unwrap();
    assert_eq!(
        ["memory", "passes", "lanes"].map(|name| json[name].as_u64().unwrap()),
        [memory, passes, lanes]
    );
    let (secret, salt) = (bytes("private"), bytes("salt"));
    let guess = |pin: &[u8], cost| {
        let halves = crypto::stretch::<64>(pin, salt[..].try_into().unwrap(), cost).unwrap();
        halves[..32].to_vec()
    };
    let opens = |k1: &[u8]| {
        let info: [&[u8]; 3] = [b"cryptfs v2 tpm2", &volume().0, &slot.id.0];
        slot.unwrap(&volume(), &SlotKey(crypto::extract_and_expand(&[&secret, k1], &info))).is_ok()
    };
    assert!(opens(&guess(b"1234", cost)));
    assert!(!opens(&guess(b"1235", cost)));
    for cheaper in [(memory / 2, passes, lanes), (memory, passes - 1, lanes), (memory, passes, lanes - 1)] {
        let (memory, passes, lanes) = cheaper;
        assert!(!opens(&guess(b"1234", Cost::new(memory, passes, lanes).unwrap())), "{cheaper:?}");
    }
    assert!(!opens(b"") && !opens(&[0; 32]) && !opens(b"1234"), "a guess without any work");
}

#[test]
fn a_credential_opens_its_own_type_only() {
    let (keyring, key) = (Keyring::generate(), RecoveryKey::generate());
    let slot = enrolled(&Enrol::Recovery(&key), &keyring);
    assert!(slot.fits(&Credential::Recovery(&key)));
    assert!(!slot.fits(&Credential::Passphrase(b"")));
    assert!(matches!(opens(&slot, &Credential::Passphrase(b"")), Err(SlotError::WrongKey)));
}

impl Slot {
    /// A slot that names one public key and is opened by the holder of another.
    pub(in crate::keys) fn forged_recipient(
        by: &Issuer<'_>,
        named: &str,
        opened_by: &str,
        keyring: &Keyring,
    ) -> (Slot, SlotKey) {
        let secret = Secret::random();
        let stanza = recipient::wrap(opened_by, &secret).unwrap();
        let (id, key) = (SlotId(crypto::random()), SlotKey(secret));
        let kind = Kind::Recipient(Recipient::new(named, stanza).unwrap());
        (Slot::wrap(by, id, "two-faced".parse().unwrap(), kind, &key, keyring), key)
    }
}
