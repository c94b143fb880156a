//! Conventions of the text that no compiler checks: error types in the sources, and phrases in the sources and documents.

use std::fs;
use std::path::{Path, PathBuf};

/// Everything below a folder whose name ends in one of these.
fn files(folder: &str, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| endings.iter().any(|ending| extension == *ending))
            {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// What a variant or field of an error type may hold that is an error itself.
fn wraps_an_error(line: &str) -> bool {
    let fields = line.split_once('(').map_or("", |(_, fields)| fields);
    let mut words = fields.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word.ends_with("Error") || word.ends_with("Unavailable") || word == "Defect")
}

/// The lines of error types that lose the error they wrap, and error types that are written by hand.
fn lost_sources(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_error_type = false;
    for line in text.lines() {
        if line.contains("impl std::error::Error for") || line.contains("impl Error for") {
            found.push(line);
        }
        match line {
            "}" => is_error_type = false,
            _ if line.starts_with("#[derive(") => is_error_type = line.contains("thiserror::Error"),
            _ => {}
        }
        let names_source = line.contains("#[source]") || line.contains("#[from]") || line.contains("#[error");
        let is_list = line.contains("Vec<");
        if is_error_type && line.starts_with("    ") && wraps_an_error(line) && !names_source && !is_list {
            found.push(line);
        }
        // A struct without fields, or with one in brackets.
        is_error_type &= !(line.starts_with("pub struct") && line.ends_with(';'));
    }
    found
}

#[test]
fn every_error_gives_the_error_it_wraps_as_its_source() {
    let sources = files("src", &["rs"]);
    assert!(sources.len() > 100, "only {} sources found", sources.len());
    for (path, text) in sources {
        assert_eq!(lost_sources(&text), <[&str; 0]>::default(), "{}", path.display());
    }
    let lost = "#[derive(Debug, thiserror::Error)]\npub enum E {\n    Io(io::Error),\n}\n";
    assert_eq!(lost_sources(lost), ["    Io(io::Error),"]);
    assert_eq!(lost_sources("impl std::error::Error for E {}").len(), 1);
    assert!(lost_sources(&lost.replace("io::Error", "#[source] io::Error")).is_empty());
    assert!(lost_sources("enum E {\n    Io(io::Error),\n}\n").is_empty());
}

/// Phrases of our own where the field has a term or plain English a verb (docs/GLOSSARY.md).
const PHRASES: &[&str] = &[
    " to be had",
    "came right",
    "come to light",
    "passed over",
    "/// The same.",
    "/// The same of",
    "/// The same for",
    "/// The same with",
    "of no use",
    "speaks of",
    "took away",
    "cut short",
    "made anew",
    "begins anew",
];

/// The lines of a text that have one of the phrases.
fn mannered(text: &str) -> Vec<&str> {
    text.lines().filter(|line| PHRASES.iter().any(|phrase| line.contains(phrase))).collect()
}

/// `volume` and `chunk` are not looked at yet.
#[test]
fn words_are_the_fields() {
    let rooms = ["cli", "mount", "fs", "store", "sys", "trust", "keys", "crypto", "bin"];
    let sources = rooms.iter().flat_map(|room| files(&format!("src/{room}"), &["rs"]));
    for (path, text) in sources.chain(files("docs", &["md"])).chain(files("man", &["1"])) {
        if !path.ends_with("FORMAT.md") && !path.ends_with("GLOSSARY.md") {
            assert_eq!(mannered(&text), <[&str; 0]>::default(), "{}", path.display());
        }
    }
    assert_eq!(mannered("/// The same.\n/// The same file.").len(), 1);
}
