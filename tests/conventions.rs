//! Conventions of the text that no compiler checks: error types in the sources, what public functions say of errors, and
//! phrases in the sources and documents.

#[path = "conventions/signatures.rs"]
mod signatures;

use signatures::{aliases, signatures, test_modules};
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

/// The functions of a source that may fail and do not say how.
fn silent<'a>(text: &'a str, aliases: &[&str]) -> Vec<&'a str> {
    let signatures = signatures(text).into_iter();
    let silent = signatures.filter(|function| function.returns_result(aliases) && !function.says_errors());
    silent.map(|function| function.name).collect()
}

#[test]
fn every_public_function_that_may_fail_says_how() {
    let sources = files("src", &["rs"]);
    let of_tests: Vec<PathBuf> = sources.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    assert!(of_tests.len() > 20, "only {} modules of tests found", of_tests.len());
    let room = |path: &Path| {
        let within = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        within.iter().next().unwrap().to_owned()
    };
    let declared = sources.iter().flat_map(|(path, text)| aliases(text).map(move |name| (room(path), name)));
    let declared: Vec<_> = declared.collect();
    let (mut found, mut count) = (Vec::new(), 0);
    for (path, text) in &sources {
        let is_of = |tests: &PathBuf| path.starts_with(tests) || path.with_extension("") == *tests;
        if of_tests.iter().any(is_of) {
            continue;
        }
        let here = room(path);
        let aliases: Vec<&str> =
            declared.iter().filter(|(room, _)| *room == here).map(|(_, name)| *name).collect();
        count += signatures(text).iter().filter(|function| function.returns_result(&aliases)).count();
        found.extend(silent(text, &aliases).into_iter().map(|name| format!("{}: {name}", path.display())));
    }
    assert!(count > 500, "only {count} functions found that may fail");
    assert!(found.is_empty(), "{} without `# Errors`:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_function_that_does_not_say_how_it_fails_is_found() {
    let said = "/// Does x.\n///\n/// # Errors\n///\n/// [`Error::X`] if it cannot.\n";
    for function in [
        "pub fn x(&self) -> Result<u8, Error> {\n    body()\n}\n",
        "pub const fn x() -> std::result::Result<(), E> {}\n",
        "#[must_use]\n#[allow(\n    unused\n)]\npub fn x(\n    &self,\n    a: [u8; 4],\n) -> io::Result<()> {\n}\n",
        "pub fn x<F: Fn() -> u8>(f: F) -> Option<Result<()>> {}\n",
        "pub fn x() -> impl Iterator<Item = Result<u8>> {\n}\n",
        "pub fn x() -> super::Answer<u8> {}\n",
        "pub trait T {\n    fn x(&self) -> io::Result<()>;\n}\n",
        "pub trait T {\n    fn x(\n        &self,\n    ) -> io::Result<()> {\n        Ok(())\n    }\n}\n",
    ] {
        assert_eq!(silent(function, &["Answer"]), ["x"], "{function}");
        let documented = match function.split_once("    fn x") {
            Some((before, after)) => format!("{before}{said}    fn x{after}"),
            None => format!("{said}{function}"),
        };
        assert_eq!(silent(&documented, &["Answer"]), [""; 0], "{documented}");
        let empty = documented.replace("/// [`Error::X`] if it cannot.\n", "");
        assert_eq!(silent(&empty, &["Answer"]), ["x"], "{empty}");
    }
    for function in [
        "pub fn x(f: impl Fn() -> Result<()>) {}\n",
        "pub fn x<F: Fn() -> Result<()>>(f: F) -> u8 {}\n",
        "pub fn x<F>(f: F) -> u8\nwhere\n    F: Fn() -> Result<()>,\n{\n}\n",
        "pub(super) fn x() -> Result<()> {}\n",
        "fn x() -> Result<()> {}\n",
        "trait T {\n    fn x() -> Result<()>;\n}\n",
        "#[cfg(test)]\npub fn x(\n    a: u8,\n) -> Result<()> {\n    b()\n}\n",
        "#[cfg(test)]\nmod tests {\n    pub fn x() -> Result<()> {}\n}\n",
        "#[cfg(any(test, fuzzing))]\nimpl X {\n    pub fn x() -> Result<()> {}\n}\n",
    ] {
        assert_eq!(silent(function, &["Answer"]), [""; 0], "{function}");
    }
    assert_eq!(aliases("pub type Answer<T> = Result<T, E>;\ntype P = dyn Fn() -> Result<()>;").count(), 1);
    let declared = "#[cfg(test)]\npub mod a;\n#[cfg(any(test, fuzzing))]\n#[doc(hidden)]\nmod b;\nmod c;\n#[cfg(test)]\nmod c;\n";
    assert_eq!(test_modules(Path::new("src/r/mod.rs"), declared), ["src/r/a", "src/r/b"].map(PathBuf::from));
    assert_eq!(test_modules(Path::new("src/r.rs"), "#[cfg(test)]\nmod a;\n"), [PathBuf::from("src/r/a")]);
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

/// Structures of libc's that have the same fields with every libc, which scripts/package --static needs.
const SAME_FIELDS: &[&str] = &["libc::rlimit {"];

/// The lines that make a structure of libc's field by field: with musl, others have more fields.
fn of_one_libc(text: &str) -> Vec<&str> {
    let makes_one = |line: &&str| {
        let named = line.split("libc::").skip(1);
        let mut ends =
            named.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        ends.any(|end| end.starts_with(" {") && end.contains(':'))
    };
    text.lines()
        .filter(makes_one)
        .filter(|line| !SAME_FIELDS.iter().any(|same| line.contains(same)))
        .collect()
}

#[test]
fn structures_are_made_as_every_libc_has_them() {
    for (path, text) in files("src/sys", &["rs"]) {
        assert_eq!(of_one_libc(&text), <[&str; 0]>::default(), "{}", path.display());
    }
    assert_eq!(of_one_libc("    let p = libc::sched_param { sched_priority: 0 };").len(), 1);
    assert!(
        of_one_libc("fn f() -> libc::c_int {\n    let l = libc::rlimit { rlim_cur: 0, rlim_max: 0 };")
            .is_empty()
    );
}
