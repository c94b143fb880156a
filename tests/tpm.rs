//! The TPM helper against software TPMs: what is sealed comes back, and every way not to get it back has its error.
//!
//! `failures` produces each row of the table of failures, `bus` puts somebody on the wire, `cli` runs the program itself on
//! real mounts, `helper` looks at the
//! program itself, `slot` opens a volume.

#[path = "tpm/bus.rs"]
mod bus;
#[path = "tpm/cli.rs"]
mod cli;
#[path = "tpm/failures.rs"]
mod failures;
#[path = "tpm/helper.rs"]
mod helper;
#[path = "tpm/slot.rs"]
mod slot;
#[path = "support/swtpm.rs"]
mod swtpm;
#[path = "support/wire.rs"]
mod wire;

use cryptfs::keys::tpm::{ClientError, PcrMask, SealedSecret, TpmError, new_secret};
use swtpm::Swtpm;

const SECRET: &[u8; 32] = b"a secret that the wire must hide";
const PIN: &[u8] = b"the half k2 of a stretched PIN";

fn secret() -> SealedSecret {
    let mut secret = new_secret();
    secret.copy_from_slice(SECRET);
    secret
}

fn pcrs(list: &str) -> PcrMask {
    list.parse().unwrap()
}

/// Whether the secret came back.
#[track_caller]
fn assert_opened(result: Result<SealedSecret, ClientError>) {
    match result {
        Ok(secret) => assert_eq!(**secret, *SECRET),
        Err(error) => panic!("not unsealed: {error}"),
    }
}

/// The TPM's reason for not doing it.
#[track_caller]
fn refusal<T>(result: Result<T, ClientError>) -> TpmError {
    match result {
        Ok(_) => panic!("was not refused"),
        Err(ClientError::Tpm(error)) => error,
        Err(other) => panic!("not the TPM's refusal: {other}"),
    }
}

#[test]
fn what_is_sealed_comes_back() {
    let mut tpm = Swtpm::start();
    for list in ["none", "7", "0,7,11,23"] {
        for auth in [None, Some(PIN)] {
            let fields = tpm.client().seal(secret(), pcrs(list), auth).unwrap();
            assert_eq!((fields.pcrs, fields.pin), (pcrs(list), auth.is_some()));
            assert_opened(tpm.client().unseal(&fields, auth));
            tpm.reboot();
            assert_opened(tpm.client().unseal(&fields, auth));
        }
    }
}

#[test]
fn trailing_zeros_of_the_authorization_do_not_count() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, Some(&[7, 0, 9, 0, 0])).unwrap();
    assert_opened(tpm.client().unseal(&fields, Some(&[7, 0, 9])));
    assert_opened(tpm.client().unseal(&fields, Some(&[7, 0, 9, 0])));
}

#[test]
fn a_tpm_tells_about_itself() {
    let tpm = Swtpm::start();
    tpm.set_lockout(5, 600);
    let info = tpm.client().probe().unwrap();
    assert_eq!(info.manufacturer, "IBM");
    assert_eq!((info.lockout.tries_left(), info.lockout.max_tries), (5, 5));
    assert_eq!(info.lockout.interval_seconds, 600);
}

#[test]
fn a_key_left_at_the_usual_handle_serves_where_the_owner_has_a_password() {
    let tpm = Swtpm::start();
    let derived = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    tpm.keep_storage_root_key();
    tpm.tool("tpm2_changeauth", &["-c", "owner", "pw"]);
    let fields = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    assert_eq!(fields.parent, 0x8100_0001);
    assert_eq!(fields.srk_name, derived.srk_name);
    assert_opened(tpm.client().unseal(&fields, Some(PIN)));
    tpm.tool("tpm2_evictcontrol", &["-C", "o", "-P", "pw", "-c", "0x81000001"]);
    assert_eq!(refusal(tpm.client().unseal(&fields, Some(PIN))), TpmError::OtherTpm);
}

#[test]
fn nothing_stays_loaded() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    assert_opened(tpm.client().unseal(&fields, Some(PIN)));
    refusal(tpm.client().unseal(&fields, Some(b"wrong")));
    tpm.extend_pcr(7);
    refusal(tpm.client().unseal(&fields, Some(PIN)));
    for kind in ["handles-transient", "handles-loaded-session", "handles-saved-session"] {
        assert_eq!(tpm.tool("tpm2_getcap", &[kind]).trim(), "", "{kind}");
    }
}

#[test]
fn a_power_cut_after_a_pin_costs_a_try_and_a_reboot_does_not() {
    let mut tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, Some(PIN)).unwrap();
    let failed_tries = |tpm: &Swtpm| tpm.client().probe().unwrap().lockout.failed_tries;
    assert_opened(tpm.client().unseal(&fields, Some(PIN)));
    tpm.reboot();
    assert_eq!(failed_tries(&tpm), 0);
    assert_opened(tpm.client().unseal(&fields, Some(PIN)));
    tpm.power_cut();
    assert_eq!(failed_tries(&tpm), 1);
}
