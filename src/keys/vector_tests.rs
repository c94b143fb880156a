//! The published vectors of headers, slots and lists (tests/vectors), each with the verdict that is due.

use super::slots::{Slots, file_name};
use super::test_support::CrashingFiles;
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

fn header(text: &str) -> Result<Header, &'static str> {
    Header::parse(text.as_bytes()).map_err(|defect| match defect {
        Defect::Forged => "damaged",
        _ => "refused",
    })
}

/// As a device sees it that pinned this owner key, in a folder where nothing else lies.
fn look(header: Header, owner: OwnerKey, name: &str, file: &str) -> Locked {
    let files = CrashingFiles::default();
    files.files.borrow_mut().insert(name.to_owned(), file.as_bytes().to_vec());
    let expected = Expected { confirmed: Some(owner.fingerprint()), ..Expected::default() };
    Found::of(header, Slots::of(files)).look(&expected).unwrap()
}

fn slot(vector: &Value, file: &str) -> Result<(), &'static str> {
    let header = header(vector["header"].as_str().unwrap())?;
    let slot = Slot::parse(file.as_bytes()).map_err(|_| "refused")?;
    let owner = header.owner;
    let locked = look(header, owner, &file_name(slot.id), file);
    let passphrase = vector["passphrase"].as_str().unwrap();
    locked.unlock(&Credential::Passphrase(passphrase.as_bytes()), None).map(drop).map_err(|_| "damaged")
}

fn list(vector: &Value, file: &str) -> Result<(), &'static str> {
    let header = header(vector["header"].as_str().unwrap())?;
    list::SignedList::parse(file.as_bytes()).map_err(|_| "refused")?;
    let locked = look(header, vector["owner"].as_str().unwrap().parse().unwrap(), "list.json", file);
    if locked.list.newest().is_some() { Ok(()) } else { Err("damaged") }
}

#[test]
fn the_published_vectors_of_headers_slots_and_lists() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut seen = BTreeSet::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let file = vector["file"].as_str().unwrap_or_default();
        let kind = vector["kind"].as_str().unwrap();
        let found = match kind {
            "header" => header(file).map(drop),
            "slot" => slot(&vector, file),
            "list" => list(&vector, file),
            _ => continue,
        };
        let found = found.err().unwrap_or("valid");
        assert_eq!(found, vector["verdict"], "{}: {}", path.display(), vector["about"]);
        seen.insert((kind.to_owned(), found));
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}
