//! The walls between the modules, read from the sources: who may name whom (docs/ARCHITECTURE.md), where `unsafe` may
//! stand, how long a file may get.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room of `src` may name of the crate's others. Dependencies run downward only.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("cli", &["mount", "fs", "volume", "chunk", "crypto", "store", "keys", "trust", "sys"]),
    ("mount", &["fs", "sys"]),
    ("fs", &["volume", "chunk", "sys", "test_rng"]),
    ("volume", &["chunk", "crypto", "store", "keys", "trust", "sys", "mutant", "test_rng"]),
    ("trust", &["keys", "chunk", "crypto", "store", "sys"]),
    ("keys", &["crypto", "store", "sys"]),
    ("chunk", &["crypto", "store", "mutant", "test_rng"]),
    ("crypto", &[]),
    ("store", &["sys"]),
    ("sys", &[]),
    ("mutant", &[]),
    ("test_rng", &["crypto"]),
    ("bin", &[]),
    ("fuzzing", &["chunk", "cli", "crypto", "keys", "volume", "test_rng"]),
];

/// Crates that only some rooms may name.
const ONLY_IN: &[(&[&str], &[&str])] = &[
    (
        &[
            "aes",
            "aes_gcm",
            "age",
            "argon2",
            "aws_lc_rs",
            "chacha20poly1305",
            "getrandom",
            "hkdf",
            "hmac",
            "sha2",
            "subtle",
        ],
        &["crypto"],
    ),
    (&["fuser"], &["mount"]),
    (&["redb"], &["trust"]),
    (&["tss_esapi"], &["bin"]),
    (&["clap", "clap_complete", "clap_mangen", "indicatif"], &["cli"]),
];

/// Lines.
const LONGEST_FILE: usize = 450;

/// Files that are one thing at more than that, and how long they may get.
const LONGER: &[(&str, usize)] = &[
    // One trait's implementation, which Rust wants in one block.
    ("src/mount/adapter.rs", 620),
    ("src/fs/tests/model.rs", 620),
];

struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

fn sources(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let room = path.strip_prefix(root()).unwrap().components().nth(1).unwrap();
            let room = room.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
            found.push(Source { path, room, text });
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Identifiers and what stands around them, without line comments: enough to see which paths a file names.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or(""))
}

/// The first segment of every path that begins with `crate::`, `use crate::{…}` included.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let code: String = code(text).collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(heads(group)),
            None => named.extend(identifier(rest)),
        }
    }
    named
}

/// The heads of a brace group's members: `{a::b, c}` gives a and c.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut found = Vec::new();
    let mut at_head = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_head = true,
            _ if at_head && character.is_alphabetic() => {
                found.extend(identifier(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn names_crate(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code(text).any(|line| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

/// Tests of a room may use what lies below it to set the scene, and need not say what they are for.
fn is_test(path: &Path) -> bool {
    let is_tests = |name: &str| name == "tests" || name == "tests.rs" || name.ends_with("_tests.rs");
    path.iter().filter_map(|part| part.to_str()).any(is_tests)
}

/// What is wrong with one file.
fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let room = source.room.as_str();
    if let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == room) {
        for named in rooms_named(&source.text) {
            let is_room = MAY_NAME.iter().any(|(name, _)| *name == named);
            if is_room && named != room && !allowed.contains(&named.as_str()) && !is_test(&source.path) {
                found.push(format!("{room} names {named}"));
            }
        }
    } else if !["lib", "main"].contains(&room) {
        found.push(format!("the room {room} is not on the plan"));
    }
    for (crates, rooms) in ONLY_IN {
        let named = crates.iter().filter(|name| !rooms.contains(&room) && names_crate(&source.text, name));
        found.extend(named.map(|name| format!("{room} names the crate {name}")));
    }
    let unsafe_code = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    if room != "sys" && code(&source.text).any(|line| unsafe_code.iter().any(|word| line.contains(word))) {
        found.push("unsafe outside of sys".to_owned());
    }
    if !source.text.starts_with("//!") && !is_test(&source.path) {
        found.push("does not open with what it is for".to_owned());
    }
    let lines = source.text.lines().count();
    let longer = LONGER.iter().find(|(path, _)| source.path.ends_with(path));
    if lines > longer.map_or(LONGEST_FILE, |(_, lines)| *lines) {
        found.push(format!("has {lines} lines"));
    }
    found
}

#[test]
fn the_walls_hold() {
    let mut all = Vec::new();
    sources(&root().join("src"), &mut all);
    assert!(all.len() > 20, "only {} sources found", all.len());
    let found: Vec<_> = all
        .iter()
        .flat_map(|source| {
            violations(source).into_iter().map(move |what| format!("{:?}: {what}", source.path))
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_wall_can_be_hit() {
    let planted = |room: &str, line: &str| {
        let text = format!("//! Planted.\n{line}\n");
        violations(&Source { path: PathBuf::new(), room: room.to_owned(), text })
    };
    for (room, line, wrong) in [
        ("chunk", "use crate::volume::Volume;", "chunk names volume"),
        ("mount", "use crate::{fs::ops, volume::{a, b}};", "mount names volume"),
        ("fs", "let x = crate::store::memory();", "fs names store"),
        ("cli", "use fuser::Session;", "cli names the crate fuser"),
        ("keys", "    sha2::Sha256::digest(x)", "keys names the crate sha2"),
        ("keys", "let x: tss_esapi::Context;", "keys names the crate tss_esapi"),
        ("volume", "unsafe { x() }", "unsafe outside of sys"),
        ("attic", "", "the room attic is not on the plan"),
    ] {
        assert_eq!(planted(room, line), [wrong], "{room}: {line}");
    }
    for (room, line) in [
        ("mount", "use crate::fs::{Error, ops};"),
        ("crypto", "use aes_gcm::Aes256Gcm;"),
        ("chunk", "// as crate::volume has it"),
        ("chunk", "super::aes::x()"),
        ("sys", "unsafe { x() }"),
    ] {
        assert!(planted(room, line).is_empty(), "{room}: {line}");
    }
    assert_eq!(planted("fs", &"\n".repeat(LONGEST_FILE - 1)), ["has 451 lines"]);
}
