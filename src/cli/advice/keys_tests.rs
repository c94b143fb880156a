//! What is said of slots that did not open.

use super::*;
use crate::keys::tpm::{ClientError, TpmError};

#[test]
fn of_several_slots_the_one_that_the_credential_is_for_is_heard() {
    let pairs = || {
        let plugin = RecipientError::Plugin("not plugged in".into());
        let other_tpm = SlotError::Tpm(ClientError::Tpm(TpmError::OtherTpm));
        [
            (SlotError::Recipient(RecipientError::NoMatch), SlotError::Recipient(plugin), Exit::Failed),
            (other_tpm, SlotError::NeedsPin, Exit::NothingToAskOn),
            (SlotError::WrongKey, SlotError::Damaged, Exit::DamagedHeader),
        ]
    };
    let check = |refused: [SlotError; 2], exit| {
        let refused = refused.into_iter().map(|error| (SlotId([7; 16]), error)).collect();
        let told = super::refused(Path::new("/v"), &|_| "laptop", &UnlockError::Refused(refused));
        assert_eq!(told.exit, exit, "{told}");
    };
    for (mismatch, telling, exit) in pairs() {
        check([mismatch, telling], exit);
    }
    for (mismatch, telling, exit) in pairs() {
        check([telling, mismatch], exit);
    }
}

#[test]
fn which_slot_it_was_is_said_and_what_helps_can_be_typed() {
    let id = SlotId([7; 16]);
    let other_tpm = || SlotError::Tpm(ClientError::Tpm(TpmError::OtherTpm));
    let told = |label: &'static str, errors: Vec<SlotError>| {
        let refused = errors.into_iter().map(|error| (id, error)).collect();
        super::refused(Path::new("/v"), &|_| label, &UnlockError::Refused(refused)).to_string()
    };
    let one = told("laptop", vec![other_tpm()]);
    assert!(one.starts_with(&format!("Key slot {id} (laptop): This slot belongs to another TPM")), "{one}");
    assert!(one.ends_with("`cryptfs key add --tpm2 /v`."), "{one}");
    let two = told("laptop", vec![other_tpm(), other_tpm()]);
    assert!(two.starts_with("None of the 2 key slots of this kind: This slot belongs"), "{two}");
    let damaged = told("", vec![SlotError::WrongKey, SlotError::Damaged]);
    assert!(damaged.starts_with(&format!("Key slot {id}: The key slot is damaged.")), "{damaged}");
    assert!(damaged.ends_with(&format!("`cryptfs key remove /v {id}`.")), "{damaged}");
}
