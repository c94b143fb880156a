//! Values and files that `vectors/make.py` made from docs/FORMAT.md with other libraries.

use super::tpm::{ClientError, PcrMask, SealedSecret, TpmSlotFields, new_secret};
use super::*;
use crate::crypto::Cipher;

pub(super) const PASSPHRASE: &[u8] = include_bytes!("vectors/passphrase.json");
pub(super) const RECOVERY: &[u8] = include_bytes!("vectors/recovery.json");
pub(super) const TPM2: &[u8] = include_bytes!("vectors/tpm2.json");
pub(super) const RECIPIENT: &[u8] = include_bytes!("vectors/recipient.json");
pub(super) const HEADER: &[u8] = include_bytes!("vectors/cryptfs.json");
pub(super) const RECOVERY_KEY: &str = "810M-4GT4-8N34-EJ29-995M-RKAE-9X85-2MJK-AHAN-CNTR-B5D5-PQ2X-BSFG-XEWZ";
pub(super) const VOLUME: VolumeId = VolumeId(counting(0xa0));

const KEYRING: &str = "01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f02\
    01000000202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\
    02000000404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";

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

    fn seal(&self, _: SealedSecret, _: PcrMask, _: Option<&[u8]>) -> Result<TpmSlotFields, ClientError> {
        unreachable!("only asked at enrolment")
    }

    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Result<SealedSecret, ClientError> {
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
    let roots: Vec<_> = keyring.content_roots().iter().map(|root| hex::encode(root.bytes())).collect();
    let derived = |key: crate::crypto::Secret| hex::encode(key.bytes());
    assert_eq!(hex::encode(&keyring.encode()), KEYRING);
    assert_eq!(
        derived(keyring.name_key()),
        "62db5790b6f16f8b4d39370369b270b1d732a7cc2da80fb358b52a4fa59cca31"
    );
    assert_eq!(
        derived(keyring.header_key()),
        "3de6737c2e86c18ab4167124fa04fd1d380bfc8b47e218b20c69323d10185719"
    );
    assert_eq!(
        roots,
        [
            "545ca06c24f9ce41540d8c47dc99c480cae95f42168474daf6af4c8e35ea6e40",
            "1c6f1818ebb6d55c3150cc9528d8c914de5e676ecdf9229552185f19486d4bf9",
        ]
    );
    assert_eq!(keyring.fingerprint().to_string(), "40c6 6d8a ee59 f007 1a73 be72 aeb4 4c5c");
}

#[test]
fn header() {
    let header = UnverifiedHeader::parse(HEADER).unwrap().verify(&keyring()).unwrap();
    let expected = Header {
        uuid: VOLUME,
        cipher: Cipher::Aes256Gcm,
        chunk_size: ChunkSize::DEFAULT,
        created: 1_700_000_000,
    };
    assert_eq!(header, expected);
    assert_eq!(header.to_json(&keyring()), HEADER);
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
        let slot = Slot::parse(SlotId(counting(first)), file).unwrap();
        assert_eq!((slot.label.as_str(), slot.created), (label, 1_700_000_001));
        assert_eq!(hex::encode(&slot.open(VOLUME, &credential).unwrap().encode()), KEYRING, "{label}");
        assert_eq!(slot.to_json(), file);
    }
}

#[test]
fn recovery_key_as_text() {
    let key = RecoveryKey::parse(RECOVERY_KEY).unwrap();
    assert_eq!(*key.to_text(), RECOVERY_KEY);
    assert_eq!(key.0.bytes(), &counting::<32>(0x40));
}
