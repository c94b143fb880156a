//! Somebody on the bus: listening, changing, interrupting.

use crate::swtpm::{Swtpm, client, run_tool, tcti};
use crate::wire::{CREATE_PRIMARY, Listener, READ_PUBLIC, Tap, Tpm, UNSEAL, Verdict, Wire};
use crate::{PIN, SECRET, assert_opened, pcrs, refusal, secret};
use cryptfs::keys::tpm::{Client, ClientError, PcrMask, TpmError, TpmSlotFields};
use sha2::{Digest, Sha256};
use std::process::Command;

fn through(wire: &Wire) -> Client {
    client(tcti(wire.port()))
}

#[test]
fn row_34_a_listener_hears_neither_secret_nor_authorization() {
    let tpm = Swtpm::start();
    let wire = Wire::new(tpm.port(), Listener);
    let fields = through(&wire).seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    assert_opened(through(&wire).unseal(&fields, Some(PIN)));
    refusal(through(&wire).unseal(&fields, Some(b"a wrong authorization")));
    let without_pin = through(&wire).seal(secret(), PcrMask::NONE, None).unwrap();
    assert_opened(through(&wire).unseal(&without_pin, None));
    assert!(wire.saw(&fields.public), "the listener listens");
    for (what, bytes) in
        [("secret", &SECRET[..]), ("authorization", PIN), ("wrong one", b"a wrong authorization")]
    {
        assert!(!wire.saw(bytes), "{what} on the wire");
    }
    // An unsalted session's encryption would hide nothing from whoever computes its keys.
    let sessions = wire.sessions();
    assert!(!sessions.is_empty());
    assert!(sessions.iter().all(|session| session.salted && session.aes_128_cfb), "{sessions:?}");
}

/// The control: the same listener hears both when somebody seals in a session that is not salted.
#[test]
fn a_listener_hears_everything_in_an_unsalted_session() {
    let tpm = Swtpm::start();
    let wire = Wire::new(tpm.port(), Listener);
    std::fs::write(tpm.folder().join("secret"), SECRET).unwrap();
    let tool = |program: &str, arguments: &[&str]| {
        let output = run_tool(wire.port(), tpm.folder(), program, arguments);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let pin = format!("str:{}", std::str::from_utf8(PIN).unwrap());
    tool("tpm2_createprimary", &["-c", "parent.ctx"]);
    tool("tpm2_startauthsession", &["--hmac-session", "-S", "session.ctx"]);
    let to_seal = ["-C", "parent.ctx", "-P", "session:session.ctx", "-p", &pin, "-i", "secret"];
    tool("tpm2_create", &[&to_seal[..], &["-u", "public", "-r", "private"]].concat());
    assert!(wire.saw(SECRET) && wire.saw(PIN));
    assert!(wire.sessions().iter().any(|session| !session.salted));
}

/// Hands out the storage root key's public part with another point, whose private key it would know.
struct SwappedKey;

impl Tap for SwappedKey {
    fn response(&mut self, code: u32, response: &mut Vec<u8>) {
        match code {
            // After header, handle and length of parameters. ESYS compares the name that comes with it.
            CREATE_PRIMARY => {
                let old_name = name(public_at(response, 18));
                swap_point(public_at(response, 18));
                let new_name = name(public_at(response, 18));
                let at = response.windows(34).position(|window| window == old_name).unwrap();
                response[at..at + 34].copy_from_slice(&new_name);
            }
            // After the header. The name reported with it stays the right one.
            READ_PUBLIC => swap_point(public_at(response, 10)),
            _ => {}
        }
    }
}

/// The public area in the TPM2B_PUBLIC at this place.
fn public_at(response: &mut [u8], start: usize) -> &mut [u8] {
    let length = usize::from(u16::from_be_bytes([response[start], response[start + 1]]));
    &mut response[start + 2..][..length]
}

fn name(public: &[u8]) -> Vec<u8> {
    [&[0, 0xb][..], &Sha256::digest(public)].concat()
}

/// Puts the generator of P-256 (private key 1) where an ECC key's public area ends.
fn swap_point(public: &mut [u8]) {
    let generator = [
        "0020",
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "0020",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ]
    .concat();
    let start = public.len() - generator.len() / 2;
    for (index, byte) in public[start..].iter_mut().enumerate() {
        *byte = u8::from_str_radix(&generator[2 * index..][..2], 16).unwrap();
    }
}

#[test]
fn row_34_a_swapped_storage_root_key_is_refused() {
    let tpm = Swtpm::start();
    let derived = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    tpm.keep_storage_root_key();
    let kept = TpmSlotFields { parent: 0x8100_0001, ..derived.clone() };
    for fields in [derived, kept] {
        let wire = Wire::new(tpm.port(), SwappedKey);
        assert_eq!(refusal(through(&wire).unseal(&fields, Some(PIN))), TpmError::OtherTpm);
        assert_eq!(wire.sessions(), [], "nothing may be salted to a key that somebody else made");
        assert_opened(tpm.client().unseal(&fields, Some(PIN)));
    }
}

/// Flips one bit of the TPM's answer to Unseal.
struct FlippedAnswer;

impl Tap for FlippedAnswer {
    fn response(&mut self, code: u32, response: &mut Vec<u8>) {
        if code == UNSEAL {
            response[20] ^= 1;
        }
    }
}

#[test]
fn a_changed_answer_is_refused() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    let wire = Wire::new(tpm.port(), FlippedAnswer);
    assert_eq!(refusal(through(&wire).unseal(&fields, None)), TpmError::OtherTpm);
}

/// Flips a bit of the n-th byte of all that the TPM answers, counted without tags and lengths (a longer length would
/// only make the TSS wait).
struct FlipNth {
    n: usize,
}

impl Tap for FlipNth {
    fn response(&mut self, _code: u32, response: &mut Vec<u8>) {
        let body = &mut response[6..];
        if let Some(byte) = body.get_mut(self.n) {
            *byte ^= 1 << (self.n % 8);
        }
        self.n = self.n.wrapping_sub(body.len());
    }
}

/// Whatever is changed on the way back, the right secret comes out or an error, and the helper does not fall over.
#[test]
fn any_changed_answer_is_the_right_secret_or_an_error() {
    const STEP: usize = 13;
    let seed =
        std::env::var("CRYPTFS_SEED").map_or_else(|_| u64::from(std::process::id()), |s| s.parse().unwrap());
    println!("CRYPTFS_SEED={seed}");
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), pcrs("7"), None).unwrap();
    let whole = Wire::new(tpm.port(), Listener);
    assert_opened(through(&whole).unseal(&fields, None));
    let mut refused = 0;
    for n in (seed as usize % STEP..whole.answered()).step_by(STEP) {
        let wire = Wire::new(tpm.port(), FlipNth { n });
        match through(&wire).unseal(&fields, None) {
            Ok(secret) => assert_eq!(**secret, *SECRET, "byte {n}"),
            Err(ClientError::Tpm(TpmError::WrongPin(_))) => panic!("byte {n}: there is no PIN"),
            Err(ClientError::Tpm(_)) => refused += 1,
            Err(other) => panic!("byte {n}: {other}"),
        }
        tpm.flush();
    }
    assert!(refused > 10, "only {refused} changes were noticed");
}

/// Extends a PCR between the policy's look and the command, as a boot that is still going on does.
pub struct ExtendBeforeUnseal {
    pub pcr: u32,
    pub times: u32,
}

impl Tap for ExtendBeforeUnseal {
    fn command(&mut self, code: u32, _command: &mut Vec<u8>, tpm: &mut Tpm) -> Verdict {
        if code == UNSEAL && self.times > 0 {
            self.times -= 1;
            tpm.extend_pcr(self.pcr);
        }
        Verdict::Pass
    }
}

#[test]
fn a_pcr_extended_in_between() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    let unseal = |pcr, times| {
        let wire = Wire::new(tpm.port(), ExtendBeforeUnseal { pcr, times });
        through(&wire).unseal(&fields, Some(PIN))
    };
    // The first use of a PIN after a start is answered with "retry", which would use up one of the extensions.
    assert_opened(unseal(8, 0));
    assert_opened(unseal(8, 29));
    assert_eq!(refusal(unseal(8, 30)), TpmError::PcrsKeepChanging);
    assert_eq!(refusal(unseal(7, 1)), TpmError::BootStateChanged { pcrs: pcrs("7") });
    assert_eq!(tpm.client().probe().unwrap().lockout.failed_tries, 0);
}

/// Closes the connection at the first key, so many times. (Later, a TPM without a resource manager would keep what the
/// lost connection had loaded.)
struct HangUp {
    times: u32,
}

impl Tap for HangUp {
    fn command(&mut self, code: u32, _command: &mut Vec<u8>, _tpm: &mut Tpm) -> Verdict {
        if code != CREATE_PRIMARY || self.times == 0 {
            return Verdict::Pass;
        }
        self.times -= 1;
        Verdict::HangUp
    }
}

#[test]
fn a_lost_connection_is_opened_once_more() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    assert_opened(through(&Wire::new(tpm.port(), HangUp { times: 1 })).unseal(&fields, None));
}

#[test]
fn a_connection_lost_twice_is_a_lost_tpm() {
    let tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), PcrMask::NONE, None).unwrap();
    let result = through(&Wire::new(tpm.port(), HangUp { times: 2 })).unseal(&fields, None);
    assert_eq!(refusal(result), TpmError::Gone);
}

/// Kills the TPM's process when it sees Unseal.
pub struct KillTpm {
    pub pid: u32,
}

impl Tap for KillTpm {
    fn command(&mut self, code: u32, _command: &mut Vec<u8>, _tpm: &mut Tpm) -> Verdict {
        if code == UNSEAL {
            assert!(Command::new("kill").args(["-KILL", &self.pid.to_string()]).status().unwrap().success());
        }
        Verdict::Pass
    }
}

#[test]
fn a_tpm_killed_midway() {
    let mut tpm = Swtpm::start();
    let fields = tpm.client().seal(secret(), pcrs("7"), Some(PIN)).unwrap();
    let wire = Wire::new(tpm.port(), KillTpm { pid: tpm.pid() });
    assert_eq!(refusal(through(&wire).unseal(&fields, Some(PIN))), TpmError::Gone);
    tpm.power_cut();
    assert_opened(tpm.client().unseal(&fields, Some(PIN)));
}
