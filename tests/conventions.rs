//! Conventions of the source text that no compiler checks: error types.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 100, "only {} sources found", found.len());
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
    }
    found
}

#[test]
fn every_error_gives_the_error_it_wraps_as_its_source() {
    for (path, text) in sources() {
        assert_eq!(lost_sources(&text), <[&str; 0]>::default(), "{}", path.display());
    }
    let lost = "#[derive(Debug, thiserror::Error)]\npub enum E {\n    Io(io::Error),\n}\n";
    assert_eq!(lost_sources(lost), ["    Io(io::Error),"]);
    assert_eq!(lost_sources("impl std::error::Error for E {}").len(), 1);
    assert!(lost_sources(&lost.replace("io::Error", "#[source] io::Error")).is_empty());
    assert!(lost_sources("enum E {\n    Io(io::Error),\n}\n").is_empty());
}
