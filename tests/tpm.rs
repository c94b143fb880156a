//! The TPM helper against software TPMs: what is sealed comes back, and every way not to get it back has its error.

#[path = "support/swtpm.rs"]
mod swtpm;

use cryptfs::keys::tpm::{PcrMask, SealedSecret, new_secret};
use swtpm::Swtpm;

fn secret() -> SealedSecret {
    let mut secret = new_secret();
    secret.copy_from_slice(b"a secret that the wire must hide");
    secret
}

#[test]
fn what_is_sealed_comes_back() {
    let mut tpm = Swtpm::start();
    for pcrs in ["none", "7", "0,7,11,23"] {
        for auth in [None, Some(&b"k2 of a PIN"[..])] {
            let pcrs: PcrMask = pcrs.parse().unwrap();
            let fields = tpm.client().seal(secret(), pcrs, auth).unwrap();
            assert_eq!(fields.pcrs, pcrs);
            assert_eq!(fields.pin, auth.is_some());
            assert_eq!(**tpm.client().unseal(&fields, auth).unwrap(), **secret(), "{pcrs}");
            tpm.reboot();
            assert_eq!(**tpm.client().unseal(&fields, auth).unwrap(), **secret(), "{pcrs} after a reboot");
        }
    }
}
