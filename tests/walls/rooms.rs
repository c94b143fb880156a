//! The rooms inside `src/volume`: who may name whom and call whom, who may change whose fields; and no circles among the
//! files of a room.

use super::source::{Source, is_test, part};
use std::collections::{BTreeMap, BTreeSet};

/// What each room may name and call of the others, the lowest first.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("mutants", &[]),
    ("format", &[]),
    ("error", &[]),
    ("stream", &["error"]),
    ("inode", &["error", "format", "mutants", "stream"]),
    ("base", &["error", "format", "mutants"]),
    ("findings", &["base", "error"]),
    ("cache", &["base", "error", "findings", "format", "inode", "mutants", "stream"]),
    ("catalog", &["base", "cache", "error", "findings", "inode", "mutants"]),
    ("journal", &["base", "cache", "catalog", "error", "findings", "format", "inode", "mutants", "stream"]),
    ("writeback", &["base", "cache", "catalog", "error", "format", "inode", "journal", "mutants", "stream"]),
    ("data", &["base", "cache", "error", "format", "inode", "journal", "writeback"]),
    (
        "namespace",
        &["base", "cache", "catalog", "error", "format", "inode", "journal", "mutants", "writeback"],
    ),
    (
        "arrival",
        &["base", "cache", "error", "findings", "format", "inode", "journal", "mutants", "writeback"],
    ),
    ("reader", &["cache", "error", "format", "inode", "journal", "stream"]),
    (
        "merge",
        &[
            "base",
            "cache",
            "catalog",
            "data",
            "error",
            "format",
            "inode",
            "mutants",
            "namespace",
            "writeback",
        ],
    ),
    ("check", &["base", "cache", "catalog", "error", "findings", "format"]),
    ("condition", &["base", "cache", "inode", "journal", "merge"]),
    ("rotate", &["base", "cache", "catalog", "check", "error", "findings", "inode", "journal", "writeback"]),
    (
        "volume",
        &[
            "arrival",
            "base",
            "cache",
            "catalog",
            "check",
            "condition",
            "data",
            "error",
            "findings",
            "format",
            "inode",
            "journal",
            "merge",
            "mutants",
            "namespace",
            "rotate",
            "writeback",
        ],
    ),
];

/// What these rooms may name of the crate's other rooms, where that is less than `volume` may.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("format", &["chunk"]),
    ("inode", &["chunk", "locks"]),
    ("stream", &["chunk"]),
    ("data", &["chunk"]),
    ("namespace", &["chunk", "locks"]),
    ("writeback", &["chunk", "locks"]),
];

/// All that `format` may name of `chunk`: what stands in bytes.
const IDS: &[&str] = &["BlockCount", "ChunkCount", "ChunkId", "ChunkIndex", "Commit", "DeviceId", "InodeId"];

/// Rooms that hold no other room, and stand below the façade for helpers of tests.
const BESIDE: &[&str] = &["fuzzing", "testing", "tests", "mod"];

/// `pub use` lines of `src/volume/mod.rs`: which room a name comes from.
pub fn exports(text: &str) -> BTreeMap<String, String> {
    let uses = text.replace("#[cfg(test)]", "").replace("pub use ", "use super::volume::");
    let source = Source { path: "src/volume/mod.rs".into(), text: uses };
    let paths = source.paths().into_iter().filter(|path| path.len() > 2);
    paths.map(|path| (path[path.len() - 1].clone(), path[1].clone())).collect()
}

/// The rooms of `volume` that a file names by a path or reaches through a handle.
pub fn named(source: &Source, exports: &BTreeMap<String, String>) -> BTreeSet<String> {
    let room = part(&source.path, 2);
    let is_room = |name: &str| ROOMS.iter().any(|(room, _)| *room == name);
    let mut found = BTreeSet::new();
    for path in source.paths().iter().filter(|path| path.first().is_some_and(|first| first == "volume")) {
        let Some(name) = path.get(1) else { continue };
        if is_room(name) && (path.len() > 2 || name != "volume") {
            found.insert(name.clone());
        } else if let Some(owner) = exports.get(name) {
            found.insert(owner.clone());
        }
    }
    let code = source.untested();
    let calls = |handle: String| {
        code.match_indices(&handle).any(|(at, _)| {
            let rest = &code[at + handle.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.starts_with(char::is_alphabetic) && rest[end..].starts_with(['(', '.'])
        })
    };
    for (name, _) in ROOMS.iter().filter(|(name, _)| !["format", "inode", "stream", "error"].contains(name)) {
        if !["format", "inode", "stream"].contains(&room) && calls(format!("self.{name}.")) {
            found.insert((*name).to_owned());
        }
    }
    found.remove(room);
    found
}

/// What is wrong with one file of `src/volume`.
pub fn violations(source: &Source, exports: &BTreeMap<String, String>) -> Vec<String> {
    let room = part(&source.path, 2);
    if BESIDE.contains(&room) || is_test(&source.path) {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("the room volume/{room} is not on the plan")];
    };
    let mut found = Vec::new();
    for name in named(source, exports).iter().filter(|name| !allowed.contains(&name.as_str())) {
        found.push(format!("volume/{room} names {name}"));
    }
    for path in source.paths() {
        let outside = OUTSIDE.iter().find(|(name, _)| *name == room).map(|(_, rooms)| *rooms);
        let is_other = !["volume", "test_rng", "mutant"].contains(&path[0].as_str());
        if outside.is_some_and(|rooms| is_other && !rooms.contains(&path[0].as_str())) {
            found.push(format!("volume/{room} names {}", path[0]));
        }
        if room == "format"
            && path[0] == "chunk"
            && !path.get(1).is_some_and(|name| IDS.contains(&name.as_str()))
        {
            found.push(format!("volume/format names {}, which is no id", path.join("::")));
        }
    }
    if room != "volume" && source.untested().lines().any(|line| line.starts_with("impl Volume ")) {
        found.push("impl Volume outside of volume.rs".to_owned());
    }
    for place in assigned(&source.untested()) {
        let parts: Vec<&str> = place.split('.').collect();
        let handle =
            parts[1..parts.len() - 1].iter().find(|part| ROOMS.iter().any(|(name, _)| name == *part));
        if let Some(handle) = handle.filter(|handle| **handle != room) {
            found.push(format!("volume/{room} assigns to {handle}'s field: {place}"));
        }
        if ["state", "there", "parent"].contains(&parts[0]) && parts.len() > 1 && room != "inode" {
            found.push(format!("volume/{room} assigns to inode's field: {place}"));
        }
    }
    found
}

/// The left sides of assignments that are paths of fields.
fn assigned(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code.lines() {
        let Some(at) = [" = ", " += ", " -= "].iter().filter_map(|sign| line.find(sign)).min() else {
            continue;
        };
        let place = line[..at].trim().trim_start_matches('*');
        let is_place =
            place.contains('.') && place.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        found.extend(is_place.then(|| place.to_owned()));
    }
    found
}

/// Permissions that no file uses.
pub fn unused(sources: &[&Source], exports: &BTreeMap<String, String>) -> Vec<String> {
    let used: BTreeSet<(String, String)> = sources
        .iter()
        .filter(|source| !is_test(&source.path))
        .flat_map(|source| {
            let room = part(&source.path, 2).to_owned();
            named(source, exports).into_iter().map(move |name| (room.clone(), name))
        })
        .collect();
    let all = ROOMS.iter().flat_map(|(room, allowed)| allowed.iter().map(move |name| (*room, *name)));
    let unused = all.filter(|(room, name)| !used.contains(&((*room).to_owned(), (*name).to_owned())));
    unused.map(|(room, name)| format!("volume/{room} need not be allowed to name {name}")).collect()
}

/// A circle among the files of one flat room, by the paths that they name.
pub fn circle(sources: &[&Source], room: &str) -> Option<Vec<String>> {
    let files: Vec<&&Source> =
        sources.iter().filter(|source| source.room() == room && !is_test(&source.path)).collect();
    let owner: BTreeMap<String, String> = files
        .iter()
        .filter(|source| source.module().len() == 1)
        .flat_map(|source| {
            let text =
                source.text.replace("#[cfg(test)]", "").replace("pub use ", &format!("use super::{room}::"));
            Source { path: source.path.clone(), text }.paths()
        })
        .filter(|path| path.len() > 2 && path[0] == room)
        .map(|path| (path[path.len() - 1].clone(), path[1].clone()))
        .collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in files.iter().filter(|source| source.module().len() == 2) {
        let name = source.module()[1].clone();
        let paths = source.paths();
        let below = paths.iter().filter(|path| path.len() > 1 && path[0] == room);
        let targets = below.map(|path| owner.get(&path[1]).unwrap_or(&path[1]).clone());
        edges.insert(name.clone(), targets.filter(|target| *target != name).collect());
    }
    // Whatever leads nowhere is taken away; what is left stands in a circle, or leads to one.
    loop {
        let known: BTreeSet<String> = edges.keys().cloned().collect();
        let before = edges.len();
        edges.retain(|_, targets| targets.iter().any(|target| known.contains(target)));
        if edges.is_empty() {
            return None;
        }
        if edges.len() == before {
            return Some(edges.into_keys().collect());
        }
    }
}
