//! Signatures of public functions, with the documentation above them, read from sources without their test code.

use std::path::{Path, PathBuf};

/// A function that is `pub`, or a method of a public trait.
pub struct Signature<'a> {
    pub name: &'a str,
    /// The lines of its documentation.
    pub documentation: Vec<&'a str>,
    /// The type that it returns; empty if it returns nothing.
    pub returns: String,
}

impl Signature<'_> {
    /// Whether it may fail. `aliases`: names of types that are results.
    pub fn returns_result(&self, aliases: &[&str]) -> bool {
        let mut words = self.returns.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == "Result" || aliases.contains(&word))
    }

    /// Whether its documentation has a section that says how it fails.
    pub fn says_errors(&self) -> bool {
        let mut after = self.documentation.iter().skip_while(|line| **line != "# Errors").skip(1);
        after.find(|line| !line.is_empty()).is_some_and(|line| !line.starts_with('#'))
    }
}

/// The public functions of a source, but those that are compiled for tests only.
pub fn signatures(text: &str) -> Vec<Signature<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut found, mut documentation, mut end_of_trait) = (Vec::new(), Vec::new(), None);
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim_start();
        if let Some(more) = line.strip_prefix("///") {
            documentation.push(more.trim());
        } else if is_for_tests(line) {
            at = end_of_item(&lines, end_of_attribute(&lines, at) + 1);
            documentation.clear();
        } else if line.starts_with("#[") {
            at = end_of_attribute(&lines, at);
        } else if !line.starts_with("//") {
            let documentation = std::mem::take(&mut documentation);
            if line.starts_with("pub trait ") && !line.ends_with('}') {
                end_of_trait = Some(end_of_item(&lines, at));
            }
            let is_in_trait = end_of_trait.is_some_and(|end| at < end);
            if let Some(name) = line.strip_prefix("pub ").or(is_in_trait.then_some(line)).and_then(function) {
                let returns = returned(&lines[at..=end_of_signature(&lines, at)].join(" ")).to_owned();
                found.push(Signature { name, documentation, returns });
            }
        }
        at += 1;
    }
    found
}

/// The names of types that a source declares to be results.
pub fn aliases(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (names, of) = line.split_once("type ")?.1.split_once(" = ")?;
        let of = of.split('<').next()?;
        (of == "Result" || of.ends_with("::Result")).then(|| names.split('<').next().unwrap_or(names))
    })
}

/// The modules, as paths without an extension, that a source declares for tests only.
pub fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let (mut of_tests, mut others) = (Vec::new(), Vec::new());
    let mut is_test = false;
    for line in text.lines() {
        match module(line) {
            Some(name) if is_test => of_tests.push(name),
            Some(name) => others.push(name),
            None => {}
        }
        // Attributes stand one below the other.
        is_test = is_for_tests(line) || is_test && line.trim_start().starts_with("#[");
    }
    let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
    let folder = if is_root { path.with_file_name("") } else { path.with_extension("") };
    of_tests.retain(|name| !others.contains(name));
    of_tests.into_iter().map(|name| folder.join(name)).collect()
}

fn is_for_tests(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(any(test")
}

/// The name of a module that lies in another file.
fn module(line: &str) -> Option<&str> {
    let (visibility, name) = line.trim_start().split_once("mod ")?;
    (visibility.is_empty() || visibility.starts_with("pub")).then(|| name.strip_suffix(';')).flatten()
}

/// The name of the function that begins there, behind `pub`.
fn function(line: &str) -> Option<&str> {
    let qualifiers = ["const ", "async ", "unsafe ", "extern \"C\" "];
    let bare = qualifiers.iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    let name = bare.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn end_of_attribute(lines: &[&str], at: usize) -> usize {
    (at..lines.len()).find(|at| lines[*at].ends_with(']')).unwrap_or(at)
}

fn end_of_signature(lines: &[&str], at: usize) -> usize {
    (at..lines.len()).find(|at| lines[*at].ends_with(['{', '}', ';'])).unwrap_or(lines.len() - 1)
}

/// The last line of the item that begins there: as rustfmt has it, a brace under its beginning.
fn end_of_item(lines: &[&str], at: usize) -> usize {
    let Some(first) = lines.get(at) else { return at };
    if first.ends_with([';', ',']) || first.ends_with('}') {
        return at;
    }
    let indent = first.len() - first.trim_start().len();
    let is_end =
        |line: &str| line.len() - line.trim_start().len() == indent && line[indent..].starts_with('}');
    (at + 1..lines.len()).find(|at| is_end(lines[*at])).unwrap_or(lines.len())
}

/// What stands behind the arrow of a signature, which ends with its body or a semicolon.
fn returned(signature: &str) -> &str {
    let (mut depth, mut start, mut before) = (0, None, ' ');
    for (at, character) in signature.char_indices() {
        match character {
            '>' if before == '-' && depth == 0 => start = start.or(Some(at + 1)),
            '>' if before == '-' => {}
            '(' | '[' | '<' => depth += 1,
            ')' | ']' | '>' => depth -= 1,
            '{' | ';' if depth == 0 => {
                let returned = start.map_or("", |start| &signature[start..at]);
                return returned.split(" where ").next().unwrap_or(returned).trim();
            }
            _ => {}
        }
        before = character;
    }
    ""
}
