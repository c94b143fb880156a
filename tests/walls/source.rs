//! Reading sources: their code without comments and tests, and the paths that it names.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder that `wanted` wants, with its path from the root.
pub fn read_all(folder: &Path, wanted: fn(&Path) -> bool, found: &mut Vec<Source>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(&path, wanted, found);
        } else if wanted(&path) {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Source { path: path.strip_prefix(root()).unwrap().to_owned(), text });
        }
    }
}

pub fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Tests of a room, and what feeds them, may use what lies below it to set the scene, and need not say what they are for.
pub fn is_test(path: &Path) -> bool {
    let is_tests = |name: &str| {
        ["tests", "tests.rs", "testing.rs", "fuzzing.rs"].contains(&name) || name.ends_with("_tests.rs")
    };
    path.iter().skip(2).filter_map(|part| part.to_str()).any(is_tests)
}

impl Source {
    /// The room of `src` that it belongs to.
    pub fn room(&self) -> &str {
        part(&self.path, 1)
    }

    /// The lines without line comments.
    pub fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split("//").next().unwrap_or(""))
    }

    /// The code up to the file's own tests, as one text.
    pub fn untested(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The module that it is, from the crate's root: `src/a/b.rs` and `src/a/b/mod.rs` are [a, b].
    pub fn module(&self) -> Vec<String> {
        let parts = self.path.with_extension("");
        let parts = parts.iter().skip(1).filter_map(|part| part.to_str());
        parts.filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
    }

    /// Every path that begins with `crate::` or `super::`, from the crate's root, as far as its names go.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let (code, module) = (self.untested(), self.module());
        let mut found = Vec::new();
        for (start, word) in [("crate::", 0), ("super::", 1)].into_iter().flat_map(|(word, up)| {
            code.match_indices(word).map(move |(at, _)| (at, (word, up))).collect::<Vec<_>>()
        }) {
            let before = code[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let (mut rest, mut up) = (&code[start + word.0.len()..], word.1);
            while let Some(more) = rest.strip_prefix("super::") {
                (rest, up) = (more, up + 1);
            }
            let kept = if word.1 == 0 { 0 } else { module.len().saturating_sub(up) };
            // From a folder's mod.rs, `super` is what that folder lies in; from any other file too.
            expand(&module[..kept], rest, &mut found);
        }
        found
    }
}

/// The paths that `text`, which begins with one or with a brace group of them, names below `prefix`.
fn expand(prefix: &[String], text: &str, found: &mut Vec<Vec<String>>) {
    if let Some(group) = text.strip_prefix('{') {
        members(group).into_iter().for_each(|member| expand(prefix, member, found));
        return;
    }
    let Some(name) = identifier(text) else {
        found.push(prefix.to_vec());
        return;
    };
    let path = [prefix, std::slice::from_ref(&name)].concat();
    match text[name.len()..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => {
            expand(&path, rest, found);
        }
        _ => found.push(path),
    }
}

/// The members of a brace group whose opening brace was taken.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|member| !member.is_empty());
    found
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// A part of a path, without an extension.
pub fn part(path: &Path, at: usize) -> &str {
    let part = path.iter().nth(at).and_then(|part| part.to_str()).unwrap_or("");
    part.strip_suffix(".rs").unwrap_or(part)
}

/// Whether the code names something of a crate.
pub fn names_crate(source: &Source, name: &str) -> bool {
    let path = format!("{name}::");
    source.code().any(|line| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}
