//! Every row of the table of failures, produced by a real TPM program.

use crate::swtpm::{DEADLINE, Swtpm, client, helper_of_ordinary_user, is_root};
use crate::wire::Tpm;
use crate::{PIN, assert_opened, pcrs, refusal, secret};
use cryptfs::keys::tpm::{Client, ClientError, Lockout, PcrMask, Tcti, TpmError, TpmSlotFields};
use std::os::unix::fs::PermissionsExt;

#[test]
fn row_32_another_tpm() {
    let fields = Swtpm::start().client().seal(secret(), PcrMask::NONE, None).unwrap();
    assert_eq!(refusal(Swtpm::start().client().unseal(&fields, None)), TpmError::OtherTpm);
}

#[test]
fn a_cleared_tpm() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    tpm.tool("tpm2_clear", &["-c", "platform"]);
    assert_eq!(refusal(tpm.client().unseal(&fields, None)), TpmError::OtherTpm);
}

#[test]
fn row_33_a_changed_boot_state_costs_no_try() {
    let mut tpm = Swtpm::start();
    for auth in [None, Some(PIN)] {
        let fields = tpm.client().seal(secret(), pcrs("7,11"), auth).unwrap();
        tpm.extend_pcr(11);
        let changed = TpmError::BootStateChanged { pcrs: pcrs("7,11") };
        assert_eq!(refusal(tpm.client().unseal(&fields, auth)), changed);
        assert_eq!(tpm.client().probe().unwrap().lockout.failed_tries, 0);
        tpm.reboot();
        assert_opened(tpm.client().unseal(&fields, auth));
    }
}

#[test]
fn wrong_pins_are_counted_until_the_tpm_locks() {
    let tpm = Swtpm::start();
    tpm.set_lockout(3, 600);
    let without_pin = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, Some(PIN)).unwrap();
    let lockout = |failed_tries| Lockout { failed_tries, max_tries: 3, interval_seconds: 600 };
    for failed in 1..=3 {
        let error = refusal(tpm.client().unseal(&fields, Some(b"wrong")));
        assert_eq!(error, TpmError::WrongPin(lockout(failed)));
        assert!(error.to_string().contains(&format!("{} of 3 tries left", 3 - failed)), "{error}");
    }
    assert_eq!(refusal(tpm.client().unseal(&fields, Some(PIN))), TpmError::Locked(lockout(3)));
    assert_opened(tpm.client().unseal(&without_pin, None));
    tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]);
    assert_opened(tpm.client().unseal(&fields, Some(PIN)));
}

#[test]
fn a_blob_with_any_byte_changed() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    let check = |changed: TpmSlotFields, what: String| {
        assert_eq!(refusal(tpm.client().unseal(&changed, Some(PIN))), TpmError::Damaged, "{what}");
    };
    for index in 0..fields.public.len() {
        let mut changed = fields.clone();
        changed.public[index] ^= 1 << (index % 8);
        check(changed, format!("public, byte {index}"));
    }
    for index in 0..fields.private.len() {
        let mut changed = fields.clone();
        changed.private[index] ^= 1 << (index % 8);
        check(changed, format!("private, byte {index}"));
    }
    for length in [0, 1, fields.private.len() - 1] {
        check(
            TpmSlotFields { private: fields.private[..length].to_vec(), ..fields.clone() },
            format!("cut at {length}"),
        );
    }
    check(
        TpmSlotFields { public: [&fields.public[..], &[0]].concat(), ..fields.clone() },
        "public, longer".into(),
    );
    assert_eq!(tpm.client().probe().unwrap().lockout.failed_tries, 0, "none of this is a try");
}

#[test]
fn any_other_field_changed() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    let error = |changed: TpmSlotFields| refusal(tpm.client().unseal(&changed, Some(PIN)));
    for index in 0..fields.srk_name.len() {
        let mut changed = fields.clone();
        changed.srk_name[index] ^= 1;
        assert_eq!(error(changed), TpmError::OtherTpm, "name, byte {index}");
    }
    for index in 0..fields.policy_digest.len() {
        let mut changed = fields.clone();
        changed.policy_digest[index] ^= 1;
        assert_eq!(error(changed), TpmError::Damaged, "policy, byte {index}");
    }
    let other_pcrs = pcrs("8");
    let changed = TpmSlotFields { pcrs: other_pcrs, ..fields.clone() };
    assert_eq!(error(changed), TpmError::BootStateChanged { pcrs: other_pcrs });
    assert_eq!(error(TpmSlotFields { template: 2, ..fields.clone() }), TpmError::Damaged);
    assert_eq!(error(TpmSlotFields { parent: 0x8000_0000, ..fields.clone() }), TpmError::Damaged);
    assert_eq!(error(TpmSlotFields { parent: 0x8100_0001, ..fields.clone() }), TpmError::OtherTpm);
    let without_pin = TpmSlotFields { pin: false, ..fields };
    assert_eq!(refusal(tpm.client().unseal(&without_pin, None)), TpmError::Damaged);
}

#[test]
fn a_pin_for_a_slot_without_one_and_none_for_a_slot_with_one() {
    let tpm = Swtpm::start();
    for (sealed_with, opened_with) in [(None, Some(PIN)), (Some(PIN), None)] {
        let fields = tpm.client().seal(secret(), PcrMask::NONE, sealed_with).unwrap();
        assert!(matches!(tpm.client().unseal(&fields, opened_with), Err(ClientError::BadAuth)));
    }
    let too_long = [1; 33];
    let result = tpm.client().seal(secret(), PcrMask::NONE, Some(&too_long));
    assert!(matches!(result, Err(ClientError::BadAuth)));
}

#[test]
fn an_owner_password() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    tpm.tool("tpm2_changeauth", &["-c", "owner", "pw"]);
    assert_eq!(refusal(tpm.client().unseal(&fields, None)), TpmError::OwnerPassword);
    assert_eq!(refusal(tpm.client().seal(secret(), PcrMask::NONE, None)), TpmError::OwnerPassword);
}

#[test]
fn no_room_for_keys() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    for _ in 0..3 {
        tpm.tool("tpm2_createprimary", &["-c", "key.ctx"]);
    }
    assert_eq!(refusal(tpm.client().unseal(&fields, None)), TpmError::OutOfSlots);
}

#[test]
fn no_room_for_sessions() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    Tpm::connect(tpm.port()).fill_session_slots();
    assert_eq!(refusal(tpm.client().unseal(&fields, None)), TpmError::OutOfSlots);
}

#[test]
fn no_bank_of_pcrs() {
    let mut tpm = Swtpm::start();
    tpm.tool("tpm2_pcrallocate", &["sha1:all+sha256:none"]);
    tpm.reboot();
    assert_eq!(refusal(tpm.client().seal(secret(), pcrs("7"), None)), TpmError::NoPcrBank);
    assert!(tpm.client().seal(secret(), PcrMask::NONE, None).is_ok());
}

#[test]
fn no_device() {
    let absent = client(Tcti::parse("device:/nonexistent/tpmrm0").unwrap());
    assert_eq!(refusal(absent.probe()), TpmError::NoDevice { tcti: "/nonexistent/tpmrm0".into() });
    let mut tpm = Swtpm::start();
    tpm.kill();
    assert_eq!(refusal(tpm.client().probe()), TpmError::NoDevice { tcti: tpm.tcti().to_string() });
}

/// The helper runs as an ordinary user against a node that only its owner, another one, may open.
#[test]
fn no_permission() {
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("tpmrm0");
    std::fs::write(&node, "").unwrap();
    let mode = if is_root() { 0o600 } else { 0o000 };
    std::fs::set_permissions(&node, std::fs::Permissions::from_mode(mode)).unwrap();
    let tcti = Tcti::parse(&format!("device:{}", node.display())).unwrap();
    let client = Client::with_helper(helper_of_ordinary_user(folder.path()), tcti, DEADLINE);
    assert_eq!(refusal(client.probe()), TpmError::NoPermission { tcti: node.display().to_string() });
}
