//! The walls between the modules, read from the sources: who may name whom (docs/ARCHITECTURE.md), where `unsafe` may
//! stand, how long a file may get. `walls/rooms.rs` holds those inside `volume`.

#[path = "walls/rooms.rs"]
mod rooms;
#[path = "walls/source.rs"]
mod source;

use source::{Source, is_rust, is_test, names_crate, part, read_all, root};
use std::collections::BTreeSet;
use std::path::Path;

/// What each room of `src` may name of the crate's others. Dependencies run downward only.
const MAY_NAME: &[(&str, &[&str])] = &[
    (
        "cli",
        &["mount", "fs", "check", "repair", "volume", "chunk", "crypto", "store", "keys", "trust", "sys"],
    ),
    ("mount", &["fs", "sys"]),
    ("fs", &["volume", "chunk", "locks"]),
    ("volume", &["chunk", "store", "sys", "mutant", "locks"]),
    ("repair", &["check", "volume", "chunk"]),
    ("check", &["volume", "chunk", "store"]),
    ("trust", &["keys", "chunk", "crypto", "sys", "locks"]),
    ("keys", &["crypto", "store", "sys"]),
    ("chunk", &["crypto", "store", "mutant", "locks"]),
    ("crypto", &[]),
    ("store", &["sys", "locks"]),
    ("sys", &[]),
    ("locks", &[]),
    ("mutant", &[]),
    ("test_rng", &["crypto"]),
    ("bin", &[]),
    ("fuzzing", &["chunk", "cli", "keys", "volume"]),
];

/// Crates that only some rooms may name.
const ONLY_IN: &[(&[&str], &[&str])] = &[
    (
        &[
            "aes",
            "ed25519_dalek",
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
    (&["tar"], &["cli"]),
    (&["rustix", "io_uring"], &["sys"]),
    (&["tss_esapi"], &["bin"]),
    (
        &["clap", "clap_complete", "clap_mangen", "indicatif", "jiff", "env_logger", "env_filter", "zbus"],
        &["cli"],
    ),
];

/// Calls that write to the backing folder: of the rooms that have chunk files at hand only these files of `chunk` make them.
const WRITES: &[&str] = &[".write_at(", ".set_length(", "store.create(", "file.allocate("];
const MAY_WRITE: &[&str] = &["blocks", "commit", "reclaim", "recover", "write"];

/// What a sentence that advises a command has in it: these, or a flag behind a blank. In `cli` only `advice` has such.
const ADVISES: &[&str] = &["`cryptfs ", "`{", "systemctl ", "chmod "];

/// Files of `cli` that have such words without advising: definitions of flags and exit codes, the manual, units' text.
const DEFINES: &[&str] =
    &["args", "home_args", "key_args", "look_args", "mount_options", "manual", "exit", "unit/text"];

/// Lines.
const LONGEST_FILE: usize = 450;

/// Files that are one thing at more than that, and how long they may get.
const LONGER: &[(&str, usize)] = &[
    // One trait's implementation, which Rust wants in one block.
    ("src/mount/adapter.rs", 620),
    ("src/fs/tests/model.rs", 620),
    // One file that a user can carry away.
    ("scripts/cryptfs-rescue", 1620),
    // One façade: a line for each call of each room, and what each call may fail with.
    ("src/volume/volume.rs", 660),
];

/// What is wrong with one file of `src`.
fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let room = source.room();
    if let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == room) {
        let named = rooms_named(source);
        for named in named.iter().filter(|named| *named != room && !is_test(&source.path)) {
            if !allowed.contains(&named.as_str()) {
                found.push(format!("{room} names {named}"));
            }
        }
    } else if !["lib", "main"].contains(&room) {
        found.push(format!("the room {room} is not on the plan"));
    }
    for (crates, rooms) in ONLY_IN {
        let named = crates.iter().filter(|name| !rooms.contains(&room) && names_crate(source, name));
        found.extend(named.map(|name| format!("{room} names the crate {name}")));
    }
    found.extend(unsafe_code(source).filter(|_| room != "sys"));
    let has_chunk_files = ["chunk", "volume", "check", "repair"].contains(&room);
    let may_write = room == "chunk" && MAY_WRITE.contains(&part(&source.path, 2));
    if has_chunk_files && !may_write && !is_test(&source.path) {
        let text = source.untested();
        found.extend(
            WRITES.iter().filter(|call| text.contains(**call)).map(|call| format!("{room} calls {call}")),
        );
    }
    if room == "cli" && advises(source) {
        found.push("advises a command outside of cli/advice".to_owned());
    }
    if !source.text.starts_with("//!") && !is_test(&source.path) {
        found.push("does not open with what it is for".to_owned());
    }
    found.extend(too_long(source));
    found
}

fn advises(source: &Source) -> bool {
    let name = source.path.with_extension("");
    let may = name.starts_with("src/cli/advice")
        || DEFINES.iter().any(|file| name == Path::new("src/cli").join(file));
    let text = source.untested();
    let names_flag = |text: &str| {
        text.match_indices(" --").any(|(at, sign)| text[at + sign.len()..].starts_with(char::is_alphabetic))
    };
    !may && (names_flag(&text) || ADVISES.iter().any(|word| text.contains(word)))
}

/// The other rooms of `src` that a file names. Its tests are not looked at.
fn rooms_named(source: &Source) -> BTreeSet<String> {
    let heads = source.paths().into_iter().filter_map(|path| path.into_iter().next());
    heads.filter(|head| MAY_NAME.iter().any(|(name, _)| name == head)).collect()
}

fn unsafe_code(source: &Source) -> impl Iterator<Item = String> {
    let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    let is_there = source.code().any(|line| words.iter().any(|word| line.contains(word)));
    is_there.then(|| "unsafe outside of sys".to_owned()).into_iter()
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let longer = LONGER.iter().find(|(path, _)| source.path.ends_with(path));
    (lines > longer.map_or(LONGEST_FILE, |(_, lines)| *lines)).then(|| format!("has {lines} lines"))
}

/// What is wrong with a file of `tests`: they see the program and the library as a user does, and may bring a second
/// opinion on cryptography. What the walls' own tests plant is text.
fn test_violations(source: &Source) -> Vec<String> {
    if source.path.starts_with("tests/walls") || source.path.ends_with("walls.rs") {
        return too_long(source).into_iter().collect();
    }
    let mut found: Vec<String> = unsafe_code(source).collect();
    let rooms = |crates: &&(_, &[&str])| !["crypto", "bin"].contains(&crates.1[0]);
    let crates = ONLY_IN.iter().filter(rooms).flat_map(|(crates, _)| crates.iter());
    let named = crates.filter(|name| names_crate(source, name));
    found.extend(named.map(|name| format!("a test names the crate {name}")));
    if !source.text.starts_with("//!") {
        found.push("does not open with what it is for".to_owned());
    }
    found.extend(too_long(source));
    found
}

/// What is wrong with a script.
fn script_violations(source: &Source) -> Vec<String> {
    let mut found: Vec<String> = too_long(source).into_iter().collect();
    let says = |line: &&str| line.starts_with("# ") || line.starts_with("\"\"\"");
    let first = source.text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
    if !first.as_ref().is_some_and(says) {
        found.push("does not open with what it is for".to_owned());
    }
    found
}

fn is_script(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_generated =
        path.iter().any(|part| part == "__pycache__" || part.to_string_lossy().starts_with('.'));
    !is_generated && matches!(extension, None | Some("py" | "sh"))
}

fn sources(folder: &str, wanted: fn(&Path) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    read_all(&root().join(folder), wanted, &mut found);
    found
}

fn complain(sources: &[Source], violations: impl Fn(&Source) -> Vec<String>) {
    let wrong =
        |source| violations(source).into_iter().map(move |what| format!("{}: {what}", source.path.display()));
    let found: Vec<_> = sources.iter().flat_map(wrong).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_walls_hold() {
    let all = sources("src", is_rust);
    assert!(all.len() > 20, "only {} sources found", all.len());
    complain(&all, violations);
}

#[test]
fn the_walls_inside_the_volume_hold() {
    let volume = sources("src/volume", is_rust);
    let exports =
        rooms::exports(&volume.iter().find(|source| source.path.ends_with("volume/mod.rs")).unwrap().text);
    complain(&volume, |source| rooms::violations(source, &exports));
    let all: Vec<&Source> = volume.iter().collect();
    assert_eq!(rooms::unused(&all, &exports), [""; 0]);
}

#[test]
fn every_permission_is_used() {
    let all = sources("src", is_rust);
    let used: BTreeSet<(String, String)> = all
        .iter()
        .filter(|source| !is_test(&source.path))
        .flat_map(|source| rooms_named(source).into_iter().map(|named| (source.room().to_owned(), named)))
        .collect();
    let allowed = MAY_NAME.iter().flat_map(|(room, named)| named.iter().map(move |named| (*room, *named)));
    let unused = allowed.filter(|(room, named)| !used.contains(&((*room).to_owned(), (*named).to_owned())));
    assert_eq!(unused.collect::<Vec<_>>(), []);
}

#[test]
fn no_files_of_a_room_stand_in_a_circle() {
    let all = sources("src", is_rust);
    let all: Vec<&Source> = all.iter().collect();
    for room in ["chunk", "fs"] {
        assert_eq!(rooms::circle(&all, room), None, "{room}");
    }
}

#[test]
fn the_walls_around_tests_and_scripts_hold() {
    complain(&sources("tests", is_rust), test_violations);
    complain(&sources("scripts", is_script), script_violations);
}

#[test]
fn every_wall_can_be_hit() {
    let planted = |room: &str, line: &str| {
        let text = format!("//! Planted.\n{line}\n");
        violations(&Source { path: Path::new("src").join(room).join("planted.rs"), text })
    };
    for (room, line, wrong) in [
        ("chunk", "use crate::volume::Volume;", "chunk names volume"),
        ("chunk", "use super::super::volume::Volume;", "chunk names volume"),
        ("mount", "use crate::{fs::ops, volume::{a, b}};", "mount names volume"),
        ("fs", "let x = crate::store::memory();", "fs names store"),
        ("cli", "use fuser::Session;", "cli names the crate fuser"),
        ("keys", "    sha2::Sha256::digest(x)", "keys names the crate sha2"),
        ("keys", "let x: tss_esapi::Context;", "keys names the crate tss_esapi"),
        ("volume", "unsafe { x() }", "unsafe outside of sys"),
        ("volume", "context.store.create(name)?;", "volume calls store.create("),
        ("volume", "file.write_at(0, parts)?;", "volume calls .write_at("),
        ("chunk", "file.write_at(0, parts)?;", "chunk calls .write_at("),
        ("check", "file.set_length(0)?;", "check calls .set_length("),
        ("cli", r#"print("Mount it: `cryptfs mount`.")"#, "advises a command outside of cli/advice"),
        ("cli", r#"print("Insist with --force.")"#, "advises a command outside of cli/advice"),
        ("cli", r#"format!("Start it: `{systemctl} start`.")"#, "advises a command outside of cli/advice"),
        ("attic", "", "the room attic is not on the plan"),
    ] {
        assert_eq!(planted(room, line), [wrong], "{room}: {line}");
    }
    for (room, line) in [
        ("cli/advice", r#"print("Mount it: `cryptfs mount`.")"#),
        ("cli", "// What `cryptfs mount --idle` does."),
        ("mount", "use crate::fs::{Error, ops};"),
        ("crypto", "use aes_gcm::Aes256Gcm;"),
        ("chunk", "// as crate::volume has it"),
        ("chunk", "super::aes::x()"),
        ("sys", "unsafe { x() }"),
    ] {
        assert!(planted(room, line).is_empty(), "{room}: {line}");
    }
    assert_eq!(planted("fs", &"\n".repeat(LONGEST_FILE - 1)), ["has 451 lines"]);
    let outside = |text: &str| Source { path: "scripts/x".into(), text: text.to_owned() };
    assert_eq!(
        test_violations(&outside("//! A test.\nuse clap::Parser;\n")),
        ["a test names the crate clap"]
    );
    assert_eq!(script_violations(&outside("#!/bin/sh\nset -e\n")), ["does not open with what it is for"]);
}

#[test]
fn every_wall_inside_the_volume_can_be_hit() {
    let exports =
        rooms::exports("pub use namespace::operations::{NewInode, Rename};\npub use error::Error;\n");
    let planted = |room: &str, line: &str| {
        let text = format!("//! Planted.\n{line}\n");
        rooms::violations(
            &Source { path: Path::new("src/volume").join(room).join("planted.rs"), text },
            &exports,
        )
    };
    for (room, line, wrong) in [
        ("format", "use crate::chunk::Chunk;", "volume/format names chunk::Chunk, which is no id"),
        ("format", "use super::super::inode::state::State;", "volume/format names inode"),
        ("inode", "use crate::store::Store;", "volume/inode names store"),
        ("findings", "use crate::volume::inode::state::Inode;", "volume/findings names inode"),
        ("cache", "use super::super::writeback::Writeback;", "volume/cache names writeback"),
        ("cache", "    self.writeback.checkpoint()?;", "volume/cache names writeback"),
        ("journal", "use crate::volume::{Error, writeback::Writeback};", "volume/journal names writeback"),
        ("data", "use crate::volume::Rename;", "volume/data names namespace"),
        ("namespace", "use crate::volume::data::Data;", "volume/namespace names data"),
        ("cache", "impl Volume {", "impl Volume outside of volume.rs"),
        (
            "data",
            "    self.journal.in_use = true;",
            "volume/data assigns to journal's field: self.journal.in_use",
        ),
        (
            "writeback",
            "    state.progress.stored = 1;",
            "volume/writeback assigns to inode's field: state.progress.stored",
        ),
        ("attic", "", "the room volume/attic is not on the plan"),
    ] {
        assert_eq!(planted(room, line), [wrong], "{room}: {line}");
    }
    for (room, line) in [
        ("format", "use crate::chunk::{Commit, InodeId};"),
        ("inode", "        state.record.size = 0;"),
        ("writeback", "use crate::volume::{Error, journal::Journal};"),
    ] {
        assert_eq!(planted(room, line), [""; 0], "{room}: {line}");
    }
    let unused = rooms::unused(&[], &exports);
    assert!(unused.contains(&"volume/data need not be allowed to name writeback".to_owned()));
    let file =
        |name: &str, text: &str| Source { path: format!("src/fs/{name}.rs").into(), text: text.to_owned() };
    let [a, b] = [file("a", "use super::b::x;"), file("b", "use super::a::y;")];
    assert_eq!(rooms::circle(&[&a, &b], "fs"), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(rooms::circle(&[&a], "fs"), None);
}
