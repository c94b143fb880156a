//! A volume whose keys a TPM gives back, from the slot's file to the software TPM and back.

use crate::swtpm::Swtpm;
use cryptfs::crypto::{Cipher, Cost};
use cryptfs::keys::tpm::{ClientError, PcrMask, TpmError};
use cryptfs::keys::{
    ChunkSize, Credential, Enrol, Expected, Found, NewPin, RecoveryKey, SlotError, UnlockError, create,
};

#[test]
fn the_tpm_opens_what_it_was_enrolled_for_and_another_does_not() {
    let (mut tpm, other) = (Swtpm::start(), Swtpm::start());
    let folder = tempfile::tempdir().unwrap();
    let key = RecoveryKey::generate();
    let client = tpm.client();
    let pin = Some(NewPin { pin: b"1234", cost: Cost::LEAST });
    let pcrs = PcrMask::SECURE_BOOT;
    let ways = [
        ("laptop".parse().unwrap(), Enrol::Tpm { tpm: &client, pcrs, pin: None }),
        ("laptop with PIN".parse().unwrap(), Enrol::Tpm { tpm: &client, pcrs, pin }),
        ("paper".parse().unwrap(), Enrol::Recovery(&key)),
    ];
    let made =
        create(folder.path(), None, (Cipher::Aes256Gcm, ChunkSize::DEFAULT), &ways, |_| Ok(())).unwrap();
    tpm.reboot();

    let client = tpm.client();
    let expected = Expected { pinned: Some(made.header.owner), ..Expected::default() };
    let locked = Found::open(folder.path(), None).unwrap().look(&expected).unwrap();
    let slot =
        |label: &str| locked.listing.slots.iter().find(|slot| slot.label.as_str() == label).unwrap().id;
    let open = |label: &str, pin| locked.unlock(&Credential::Tpm { tpm: &client, pin }, Some(slot(label)));
    for (label, pin) in [("laptop", None), ("laptop with PIN", Some(&b"1234"[..]))] {
        let opened = open(label, pin).unwrap();
        assert_eq!(opened.keyring.epochs(), made.keyring.epochs());
        assert_eq!(opened.header, made.header);
    }
    let refusal = |result| match result {
        Err(UnlockError::Refused(mut slots)) => slots.pop().unwrap().1,
        _ => panic!("opened, or nothing fits"),
    };
    assert!(matches!(refusal(open("laptop with PIN", None)), SlotError::NeedsPin));
    let wrong_pin = refusal(open("laptop with PIN", Some(b"4321")));
    assert!(matches!(wrong_pin, SlotError::Tpm(ClientError::Tpm(TpmError::WrongPin(_)))), "{wrong_pin}");
    let elsewhere = other.client();
    let elsewhere = locked.unlock(&Credential::Tpm { tpm: &elsewhere, pin: None }, Some(slot("laptop")));
    let other_tpm = refusal(elsewhere);
    assert!(matches!(other_tpm, SlotError::Tpm(ClientError::Tpm(TpmError::OtherTpm))), "{other_tpm}");
    assert!(locked.unlock(&Credential::Recovery(&key), None).is_ok());
}
