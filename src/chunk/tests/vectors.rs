//! The published vectors of chunk files (tests/vectors), each with the verdict that is due.

use super::*;
use crate::chunk::remembered::Remembered;
use crate::crypto::sha256;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

fn bytes<const N: usize>(hex: &Value) -> [u8; N] {
    let hex = hex.as_str().unwrap();
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of whole groups of four digits.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let value = |digit: &u8| DIGITS.iter().position(|known| known == digit).unwrap_or(0) as u32;
        let number = group.iter().fold(0, |number, digit| number << 6 | value(digit));
        let padding = group.iter().filter(|digit| **digit == b'=').count();
        out.extend(&number.to_be_bytes()[1..4 - padding]);
    }
    out
}

/// How many a chunk of a volume with chunks of 4 MiB has room for.
fn blocks(index: u32) -> u16 {
    if index == 0 { 64 } else { 1024 }
}

fn verdict(vector: &Value) -> (&'static str, Option<Chunk>) {
    let memory = Memory::new();
    let id = ChunkId {
        inode: InodeId(bytes(&vector["inode"])),
        index: ChunkIndex(vector["index"].as_u64().unwrap() as u32),
    };
    let roots = vector["content_roots"].as_array().unwrap();
    let roots = roots.iter().map(|root| Secret::from_slice(&bytes::<32>(root)).unwrap()).collect();
    let known = vector["known"].as_array().map(|known| {
        let entry = |entry: &Value| (DeviceId(bytes(&entry[0])), Commit(entry[1].as_u64().unwrap()));
        (id, Version(known.iter().map(entry).collect()))
    });
    let recall = Remembered::of(Arc::new(known.into_iter().collect()));
    let name_key = Secret::from_slice(&[1; 32]).unwrap();
    let context = Context::new(Arc::new(memory.clone()), DEVICE, Cipher::Aes256Gcm, &name_key, roots);
    let context = Arc::new(context.remembering(Arc::new(recall)));
    if let Some(text) = vector["file"].as_str() {
        let file = memory.create(context.file_name(id)).unwrap();
        file.write_at(0, &[std::io::IoSlice::new(&base64(text))]).unwrap();
    }
    let blocks = blocks(id.index.0);
    let read = Chunk::open(&context, id, BlockCount(blocks)).and_then(|chunk| {
        let mut block = [0; BLOCK];
        (0..blocks).try_for_each(|number| chunk.read(Section::Data, BlockNumber(number), &mut block))?;
        Ok(chunk)
    });
    match read {
        Ok(chunk) => ("valid", Some(chunk)),
        Err(Error::Missing(_)) => ("not arrived", None),
        Err(Error::Deleted(_) | Error::RolledBack { .. }) => ("rolled back", None),
        Err(Error::Incomplete(_)) => ("incomplete", None),
        Err(Error::Damaged(..)) => ("damaged", None),
        Err(error) => panic!("{error}"),
    }
}

fn content_of(chunk: &Chunk) -> Value {
    let mut data = serde_json::Map::new();
    for number in 0..blocks(chunk.id().index.0) {
        let mut block = [0; BLOCK];
        chunk.read(Section::Data, BlockNumber(number), &mut block).unwrap();
        if block != [0; BLOCK] {
            data.insert(number.to_string(), hex(&sha256(&[&block])).into());
        }
    }
    serde_json::json!({ "record": hex(chunk.record()), "inline": hex(chunk.inline()), "data": data })
}

#[test]
fn the_published_vectors_of_chunk_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector: Value = serde_json::from_slice(&fs::read(&entry).unwrap()).unwrap();
        // What is in a journal is looked at in `volume`; its chunk file is one like others, and these are whole.
        let due = match vector["kind"].as_str() {
            Some("chunk") => vector["verdict"].as_str().unwrap(),
            Some("journal") => "valid",
            _ => continue,
        };
        let (found, chunk) = verdict(&vector);
        assert_eq!(found, due, "{}: {}", entry.display(), vector["about"]);
        if let (Some(chunk), Value::Object(_)) = (chunk, &vector["content"]) {
            assert_eq!(content_of(&chunk), vector["content"], "{}", entry.display());
        }
        *seen.entry(found).or_insert(0) += 1;
    }
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        ["damaged", "incomplete", "not arrived", "rolled back", "valid"]
    );
}
