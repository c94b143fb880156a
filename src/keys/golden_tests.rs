//! Values and files that `vectors/make.py` made from docs/FORMAT.md with other libraries.

use super::tpm::{Answer, PcrMask, SealedSecret, TpmSlotFields, new_secret};
use super::*;
use crate::crypto::Cipher;

pub(super) const PASSPHRASE: &[u8] = include_bytes!("vectors/passphrase.json");
pub(super) const RECOVERY: &[u8] = include_bytes!("vectors/recovery.json");
pub(super) const TPM2: &[u8] = include_bytes!("vectors/tpm2.json");
pub(super) const RECIPIENT: &[u8] = include_bytes!("vectors/recipient.json");
pub(super) const HEADER: &[u8] = include_bytes!("vectors/cryptfs.json");
pub(super) const LIST: &[u8] = include_bytes!("vectors/list.json");
pub(super) const RECOVERY_KEY: &str = "810M-4GT4-8N34-EJ29-995M-RKAE-9X85-2MJK-AHAN-CNTR-B5D5-PQ2X-BSFG-9NHK";

/// The golden header's digest.
pub(super) fn volume() -> HeaderDigest {
    Header::parse(HEADER).unwrap().digest()
}

const KEYRING: &str = "0201000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fdde3\
    bccec7f3a66a1115f45d720f4dc135c3ae7c4e22dca38fdb1efd6a495ff8c0c1c2c3c4c5\
    c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf02010000000000000020\
    2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f0200000000\
    000000404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";

pub(super) const fn counting<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = first + at as u8;
        at += 1;
    }
    bytes
}

pub(super) fn keyring() -> Keyring {
    Keyring::decode(&hex::decode(KEYRING).unwrap()).unwrap()
}

/// A TPM that unseals what the golden slot says, for the golden PIN only.
struct GoldenTpm;

impl Sealer for GoldenTpm {
    fn tcti(&self) -> String {
        unreachable!("only asked at enrolment")
    }

    fn seal(&self, _: SealedSecret, _: PcrMask, _: Option<&[u8]>) -> Answer<TpmSlotFields> {
        unreachable!("only asked at enrolment")
    }

    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Answer<SealedSecret> {
        assert_eq!(
            (&sealed.public[..], &sealed.private[..], sealed.pcrs.bits()),
            (&[1, 2][..], &[3][..], 1 << 7)
        );
        let k2 = "a441413b0ba9ccdaf0ed8199b3205096f1143b40738427079511633f627f8d3d";
        assert_eq!(hex::encode(auth.unwrap()), k2);
        let mut secret = new_secret();
        secret.copy_from_slice(&counting::<32>(0x80));
        Ok(secret)
    }
}

#[test]
fn keyring_and_what_is_derived_from_it() {
    let keyring = keyring();
    let roots: Vec<_> =
        keyring.content_roots(keyring.newest()).iter().map(|root| hex::encode(root.bytes())).collect();
    assert_eq!(hex::encode(&keyring.encode()), KEYRING);
    assert_eq!(
        hex::encode(keyring.name_key().bytes()),
        "9c2efbc04b61421228202c91aba69c8f006498436e82d17a43de817ebef8e407"
    );
    assert_eq!(hex::encode(&keyring.identity_id()), "9a10f918cfc7dde6094a7bd8aeb85b96");
    assert_eq!(
        hex::encode(&EpochId::concat(&keyring.epochs())),
        "0000000000000001776236ad9b6c5e223c69d2b4e5257e710000000000000002a18a422bf57c64007af1ba1d33105982"
    );
    assert_eq!(
        roots,
        [
            "7797749511c1ac26f9d19e74b7be96c73b326d95105f14324da8a675f5024790",
            "80cb9ced1a7ed38a91993af307c4907f3268da143ef50b612d704b9978b8ea67",
        ]
    );
    assert_eq!(keyring.owner().fingerprint().to_string(), "eeef 054d 438d d6cf 0c2e 138f 8e57 3e97");
}

#[test]
fn header() {
    let header = Header::parse(HEADER).unwrap();
    let expected = Header {
        uuid: VolumeId(counting(0xa0)),
        cipher: Cipher::Aes256Gcm,
        chunk_size: ChunkSize::DEFAULT,
        created: 1_700_000_000,
        identity: keyring().identity_id(),
        owner: keyring().owner(),
    };
    assert_eq!(header, expected);
    assert_eq!(header.to_json(keyring().seed().unwrap()), HEADER);
    let digest = "d936eccd6c300c1e2ab506b853e18fd10b5909d84563cc435f64da893f04c7ff";
    assert_eq!(hex::encode(&header.digest().0), digest);
}

#[test]
fn list() {
    let signed = super::list::SignedList::parse(LIST).unwrap();
    assert!(signed.is_by(signed.owner, &volume()));
    let list = &signed.list;
    let succession = list.successions.first().unwrap();
    assert!(succession.holds(&volume()));
    assert_eq!((succession.former, succession.next), (keyring().owner(), signed.owner));
    assert_eq!((list.generation, list.floor), (4, 1));
    assert_eq!(list.epochs.iter().copied().collect::<Vec<_>>(), keyring().epochs());
    assert_eq!(list.revoked, [(SlotId(counting(80)), 1)].into());
    assert_eq!(signed.to_json(), LIST);
}

#[test]
fn slots() {
    let recovery = RecoveryKey::parse(RECOVERY_KEY).unwrap();
    let tpm = Credential::Tpm { tpm: &GoldenTpm, pin: Some(b"1234") };
    for (file, first, label, credential) in [
        (PASSPHRASE, 0, "Passwort “zu Hause”", Credential::Passphrase("Grüße".as_bytes())),
        (RECOVERY, 16, "paper", Credential::Recovery(&recovery)),
        (TPM2, 32, "laptop", tpm),
    ] {
        let slot = Slot::parse(file).unwrap();
        assert_eq!(
            (slot.id, slot.label.as_str(), slot.created),
            (SlotId(counting(first)), label, 1_700_000_001)
        );
        assert!(slot.is_by(keyring().owner(), &volume()) && slot.generation == 3);
        assert_eq!(hex::encode(&slot.open(&volume(), &credential).unwrap().encode()), KEYRING, "{label}");
        assert_eq!(slot.to_json(), file);
    }
}

#[test]
fn recovery_key_as_text() {
    let key = RecoveryKey::parse(RECOVERY_KEY).unwrap();
    assert_eq!(*key.to_text(), RECOVERY_KEY);
    assert_eq!(key.0.bytes(), &counting::<32>(0x40));
}
