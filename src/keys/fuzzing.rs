//! Fuzzing of the files beside the chunks, of what people type, and of what the TPM's helper says.

use super::list::SignedList;
use super::tpm::protocol::{Request, Response};
use super::{Fingerprint, Header, Label, RecoveryKey, Slot, SlotId, SlotType};

/// `cryptfs.json`.
pub fn header(bytes: &[u8]) {
    let _ = Header::parse(bytes);
}

/// A key slot's file.
pub fn slot(bytes: &[u8]) {
    if let Ok(slot) = Slot::parse(bytes) {
        let again = slot.to_json();
        let twice =
            Slot::parse(&again).unwrap_or_else(|defect| panic!("it is refused once written: {defect}"));
        assert!(twice.to_json() == again, "a slot changes when it is written again");
    }
}

/// A list of what counts.
pub fn list(bytes: &[u8]) {
    if let Ok(list) = SignedList::parse(bytes) {
        let again = list.to_json();
        let twice =
            SignedList::parse(&again).unwrap_or_else(|defect| panic!("it is refused once written: {defect}"));
        assert!(twice.to_json() == again, "a list changes when it is written again");
    }
}

/// A recovery key, a fingerprint, a slot's id, type or label.
pub fn typed(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = RecoveryKey::parse(text) {
        assert!(RecoveryKey::parse(&key.to_text()).is_ok(), "a recovery key is refused once shown");
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert!(
            fingerprint.to_string().parse() == Ok(fingerprint),
            "a fingerprint is another one once shown"
        );
    }
    let _ = (text.parse::<SlotId>(), text.parse::<SlotType>(), text.parse::<Label>());
}

/// Messages between the program and its TPM helper.
pub fn tpm(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert!(*request.encode() == bytes, "a request is another one when it is sent on");
    }
    if let Ok(response) = Response::decode(bytes) {
        assert!(*response.encode() == bytes, "a response is another one when it is sent on");
    }
}
