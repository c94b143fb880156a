//! One defect each: what is wrong with a file, and the stage at which that is found.

use super::*;
use crate::keys::golden_tests::{
    HEADER, LIST, PASSPHRASE, RECIPIENT, RECOVERY, RECOVERY_KEY, TPM2, counting, keyring, volume,
};
use crate::keys::list::SignedList;
use crate::keys::{Header, RecoveryKey};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Where a file is refused.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Parse(Defect),
    Signature,
    /// Of what an owner signed that was not made with its key.
    Commitment,
    Decryption,
    Accepted,
}

type Check = fn(&[u8]) -> Stage;

fn members(file: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(file).unwrap()
}

fn file(members: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(members).unwrap()
}

fn recovery_slot(bytes: &[u8]) -> Stage {
    let key = RecoveryKey::parse(RECOVERY_KEY).ok().unwrap();
    slot(16, SlotKey(crypto::expand(&key.0, &[b"cryptfs v2 recovery"])), bytes)
}

fn passphrase_slot(bytes: &[u8]) -> Stage {
    static KEY: LazyLock<Secret> = LazyLock::new(|| {
        let key = crypto::stretch::<32>("Grüße".as_bytes(), &counting(0x10), crypto::Cost::LEAST).unwrap();
        Secret::from_slice(&key[..]).unwrap()
    });
    slot(0, SlotKey(KEY.duplicate()), bytes)
}

fn tpm2_slot(bytes: &[u8]) -> Stage {
    static KEY: LazyLock<Secret> = LazyLock::new(|| {
        let halves = crypto::stretch::<64>(b"1234", &counting(0x10), crypto::Cost::LEAST).unwrap();
        let info: [&[u8]; 3] = [b"cryptfs v2 tpm2", &volume().0, &counting::<16>(32)];
        crypto::extract_and_expand(&[&counting::<32>(0x80), &halves[..32]], &info)
    });
    slot(32, SlotKey(KEY.duplicate()), bytes)
}

fn recipient_slot(bytes: &[u8]) -> Stage {
    slot(48, SlotKey(Secret::from_slice(&counting::<32>(0x60)).unwrap()), bytes)
}

/// Where the slot is refused, and where it would be if the owner had signed it as it is.
fn slot(first: u8, key: SlotKey, bytes: &[u8]) -> Stage {
    let slot = match Slot::parse(bytes) {
        Err(defect) => return Stage::Parse(defect),
        Ok(slot) if slot.id != SlotId(counting(first)) => return Stage::Signature,
        Ok(slot) => slot,
    };
    match (slot.is_by(keyring().owner(), &volume()), slot.unwrap(&volume(), &key)) {
        (true, Ok(_)) => Stage::Accepted,
        (true, Err(_)) => panic!("a signed slot does not open"),
        (false, Err(UnwrapError::WrongKey)) => Stage::Commitment,
        (false, Err(UnwrapError::Damaged)) => Stage::Decryption,
        (false, Ok(_)) => Stage::Signature,
    }
}

fn header(bytes: &[u8]) -> Stage {
    match Header::parse(bytes) {
        Err(Defect::Forged) => Stage::Signature,
        Err(defect) => Stage::Parse(defect),
        Ok(_) => Stage::Accepted,
    }
}

fn list(bytes: &[u8]) -> Stage {
    match SignedList::parse(bytes) {
        Err(defect) => Stage::Parse(defect),
        Ok(list) if list.is_by(list.owner, &volume()) => Stage::Accepted,
        Ok(_) => Stage::Signature,
    }
}

const FILES: [(&[u8], Check); 6] = [
    (HEADER, header),
    (LIST, list),
    (PASSPHRASE, passphrase_slot),
    (RECOVERY, recovery_slot),
    (TPM2, tpm2_slot),
    (RECIPIENT, recipient_slot),
];

/// Another value of the same form, and where it must be refused.
fn another(name: &str, value: &Value, is_slot: bool) -> (Value, Stage) {
    let invalid = |name| Stage::Parse(Defect::Invalid(name));
    let unauthentic = if is_slot { Stage::Commitment } else { Stage::Signature };
    match (name, value) {
        ("format", _) => (json!("cryptfs-other"), Stage::Parse(Defect::Foreign)),
        ("version", _) => (json!(3), Stage::Parse(Defect::Version(3))),
        ("id", _) => (json!("ff".repeat(16)), Stage::Signature),
        ("signature", Value::String(hex)) => (flipped(hex), Stage::Signature),
        // The last id, for they have to increase.
        ("epochs", Value::String(hex)) => (json!(format!("{}00", &hex[..hex.len() - 2])), unauthentic),
        ("owner", Value::Number(number)) => (json!(1 - number.as_u64().unwrap()), unauthentic),
        ("type", _) => (json!("unheard-of"), invalid("type")),
        ("cipher", _) => (json!("chacha20-poly1305"), unauthentic),
        ("chunk_size", _) => (json!(1 << 21), unauthentic),
        ("critical", _) => (json!(["feature"]), Stage::Parse(Defect::Critical(vec!["feature".to_owned()]))),
        ("template", _) => (json!(2), invalid("template")),
        ("bank", _) => (json!("sha1"), invalid("bank")),
        ("pin", _) => (json!(0), invalid("salt")),
        ("wrapped", Value::String(hex)) => (flipped(hex), Stage::Decryption),
        ("label" | "tcti_hint" | "recipient", Value::String(text)) => {
            (json!(format!("{text}!")), unauthentic)
        }
        (_, Value::Number(number)) => (json!(number.as_u64().unwrap() + 1), unauthentic),
        (_, Value::String(hex)) => (flipped(hex), unauthentic),
        _ => unreachable!("{name} {value}"),
    }
}

fn flipped(hex: &str) -> Value {
    let first = if hex.starts_with('0') { '1' } else { '0' };
    json!(format!("{first}{}", &hex[1..]))
}

#[test]
fn row_19_any_member_changed_is_refused() {
    for (golden, check) in FILES {
        assert_eq!(check(golden), Stage::Accepted);
        let golden = members(golden);
        for (name, value) in &golden {
            let (value, stage) = another(name, value, golden.contains_key("wrapped"));
            let mut changed = golden.clone();
            changed.insert(name.clone(), value);
            assert_eq!(check(&file(&changed)), stage, "{name}");
        }
    }
}

#[test]
fn any_member_missing_twice_or_of_another_type_is_refused() {
    for (golden, check) in FILES {
        let text = std::str::from_utf8(golden).unwrap();
        for (name, value) in &members(golden) {
            let mut without = members(golden);
            without.remove(name);
            let stage = check(&file(&without));
            match &name[..] {
                "format" => assert_eq!(stage, Stage::Parse(Defect::Foreign)),
                name => assert!(
                    matches!(stage, Stage::Parse(Defect::Missing(missing)) if missing == name),
                    "{name}"
                ),
            }
            let twice = text.replacen('{', &format!("{{\"{name}\": {value},"), 1);
            assert_eq!(check(twice.as_bytes()), Stage::Parse(Defect::Duplicate(name.clone())));
            for other in [json!(null), json!(true), json!(-1), json!(1.5), json!({"a": [1]}), json!([[]])] {
                let mut changed = members(golden);
                changed.insert(name.clone(), other.clone());
                let stage = check(&file(&changed));
                let refused = matches!(&stage, Stage::Parse(Defect::Invalid(bad)) if bad == name);
                assert!(
                    refused || (name == "format" && stage == Stage::Parse(Defect::Foreign)),
                    "{name} {other}"
                );
            }
        }
    }
}

#[test]
fn whole_files_are_checked() {
    for (golden, check) in FILES {
        let mut more = members(golden);
        more.insert("comment".into(), json!("hello"));
        assert_eq!(check(&file(&more)), Stage::Parse(Defect::Unknown("comment".into())));
        let text = std::str::from_utf8(golden).unwrap();
        let padded = |length: usize| [golden, &vec![b' '; length - golden.len()]].concat();
        assert_eq!(check(&padded(65536)), Stage::Accepted);
        for (bad, defect) in [
            (padded(65537), Defect::TooLong),
            (golden[..golden.len() - 3].to_vec(), Defect::NotJson),
            (format!("{text}{{}}").into_bytes(), Defect::NotJson),
            (format!("[{text}]").into_bytes(), Defect::NotJson),
            ([golden, &[0xff]].concat(), Defect::NotJson),
            (b"[".repeat(60000), Defect::NotJson),
            (format!("{{\"a\":{}", "[".repeat(60000)).into_bytes(), Defect::NotJson),
            (Vec::new(), Defect::NotJson),
            (b"{}".to_vec(), Defect::Foreign),
        ] {
            assert_eq!(check(&bad), Stage::Parse(defect));
        }
    }
}

#[test]
fn row_19_a_newer_version_is_told_apart_whatever_else_is_in_it() {
    let header = br#"{"critical": ["x"], "nested": {"a": [1, {}]}, "version": 7, "format": "cryptfs"}"#;
    assert_eq!(Header::parse(header).err(), Some(Defect::Version(7)));
    let slot = br#"{"format": "cryptfs-slot", "version": 3, "type": "retina"}"#;
    assert_eq!(Slot::parse(slot).err(), Some(Defect::Version(3)));
}

#[test]
fn row_18_values_are_bounded_and_have_one_spelling() {
    let cost = "memory, passes, lanes";
    for (golden, check, name, value, member) in [
        (PASSPHRASE, passphrase_slot as Check, "memory", json!(1), cost),
        (PASSPHRASE, passphrase_slot, "memory", json!(65535), cost),
        (PASSPHRASE, passphrase_slot, "memory", json!(1u64 << 30), cost),
        (PASSPHRASE, passphrase_slot, "memory", json!((1u64 << 32) + 65536), cost),
        (PASSPHRASE, passphrase_slot, "passes", json!(2), cost),
        (PASSPHRASE, passphrase_slot, "passes", json!(65), cost),
        (PASSPHRASE, passphrase_slot, "lanes", json!(0), cost),
        (PASSPHRASE, passphrase_slot, "lanes", json!(17), cost),
        (PASSPHRASE, passphrase_slot, "salt", json!("00".repeat(31)), "salt"),
        (PASSPHRASE, passphrase_slot, "created", json!(1u64 << 40), "created"),
        (PASSPHRASE, passphrase_slot, "label", json!("a\nb"), "label"),
        (PASSPHRASE, passphrase_slot, "label", json!("x".repeat(257)), "label"),
        (PASSPHRASE, passphrase_slot, "nonce", json!("AB".repeat(12)), "nonce"),
        (PASSPHRASE, passphrase_slot, "commitment", json!(""), "commitment"),
        (PASSPHRASE, passphrase_slot, "wrapped", json!("00".repeat(122)), "wrapped"),
        (PASSPHRASE, passphrase_slot, "wrapped", json!("00".repeat(2676)), "wrapped"),
        (PASSPHRASE, passphrase_slot, "wrapped", json!("00".repeat(100) + "0"), "wrapped"),
        (TPM2, tpm2_slot, "parent", json!(1), "parent"),
        (TPM2, tpm2_slot, "parent", json!(0x8200_0000u64), "parent"),
        (TPM2, tpm2_slot, "pcrs", json!(1 << 24), "pcrs"),
        (TPM2, tpm2_slot, "pin", json!(2), "pin"),
        (TPM2, tpm2_slot, "srk_name", json!("00".repeat(33)), "srk_name"),
        (TPM2, tpm2_slot, "public", json!("00".repeat(513)), "public"),
        (TPM2, tpm2_slot, "private", json!(""), "private"),
        (RECIPIENT, recipient_slot, "recipient", json!("age1\n"), "recipient"),
        (RECIPIENT, recipient_slot, "stanza", json!("00".repeat(16385)), "stanza"),
        (PASSPHRASE, passphrase_slot, "generation", json!(0), "generation"),
        (PASSPHRASE, passphrase_slot, "owner", json!(2), "owner"),
        (PASSPHRASE, passphrase_slot, "epochs", json!(""), "epochs"),
        (PASSPHRASE, passphrase_slot, "epochs", json!("00".repeat(48)), "epochs"),
        (LIST, list, "epochs", json!("00".repeat(23)), "epochs"),
        (LIST, list, "revoked", json!("00".repeat(48)), "revoked"),
        (LIST, list, "successions", json!("00".repeat(127)), "successions"),
        (HEADER, header, "uuid", json!("A".repeat(32)), "uuid"),
        (HEADER, header, "chunk_size", json!(4194305), "chunk_size"),
        (HEADER, header, "chunk_size", json!(1 << 19), "chunk_size"),
        (HEADER, header, "chunk_size", json!(1u64 << 25), "chunk_size"),
        (HEADER, header, "cipher", json!("aes-128-gcm"), "cipher"),
    ] {
        let mut changed = members(golden);
        changed.insert(name.into(), value.clone());
        assert_eq!(check(&file(&changed)), Stage::Parse(Defect::Invalid(member)), "{name} {value}");
    }
}

#[test]
fn a_slot_opens_under_its_own_volume_only() {
    let key = RecoveryKey::parse(RECOVERY_KEY).ok().unwrap();
    let slot = Slot::parse(RECOVERY).unwrap();
    let header = Header {
        chunk_size: crate::keys::ChunkSize::new(1 << 20).unwrap(),
        ..Header::parse(HEADER).unwrap()
    };
    let elsewhere = slot.open(&header.digest(), &Credential::Recovery(&key));
    assert!(matches!(elsewhere, Err(SlotError::WrongKey)));
    assert!(!slot.is_by(keyring().owner(), &header.digest()));
}

#[test]
fn a_sealed_keyring_that_makes_no_sense_is_damage() {
    let key = SlotKey(Secret::random());
    let mut slot = Slot::parse(RECOVERY).unwrap();
    let fields = slot.authenticated(&volume());
    slot.commitment = slot.expected_commitment(&key, &fields);
    // Other epochs than the slot says, and no owner's seed.
    let others = [Keyring::generate(), keyring().without_seed()].map(|keyring| keyring.encode().to_vec());
    for mut nonsense in [vec![9; 179]].into_iter().chain(others) {
        let tag = wrap_cipher(&key, &fields).seal(&slot.nonce, &fields, &mut nonsense);
        slot.wrapped = [&nonsense[..], &tag].concat();
        assert_eq!(slot.unwrap(&volume(), &key).err(), Some(UnwrapError::Damaged));
    }
}
