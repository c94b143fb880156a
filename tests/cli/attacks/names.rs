//! Row 24: names that deceive, in the folder and in what is printed of them.

use super::Fixture;
use std::fs;
use std::path::Path;

/// What a line of text must not hold: what ends it, moves the cursor, or turns the order of what is shown.
fn is_deceptive(c: char) -> bool {
    c != '\n' && c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const SUFFIXES: [&str; 6] =
    [" (conflicted copy).", "\ncryptfs: error: forged", "\u{202e}gpj.", "\u{1b}[2J", "%2f..", "\u{2066}\r"];

#[test]
fn row_24_conflict_copies_with_names_that_deceive() {
    let fixture = Fixture::new();
    let copy = |path: &Path| {
        for suffix in SUFFIXES {
            let name = format!("{}{suffix}", path.file_name().unwrap().to_str().unwrap());
            fs::copy(path, path.with_file_name(name)).unwrap();
        }
    };
    copy(&fixture.chunk("small"));
    copy(&fixture.chunk("x"));
    let first = |folder| {
        fs::read_dir(fixture.sandbox.backing().join(folder)).unwrap().next().unwrap().unwrap().path()
    };
    copy(&first("journals"));
    copy(&first("keys"));
    fixture.expect(&[]);
    told(&fixture, &["key", "list"]);
    told(&fixture, &["info"]);
    check_text(&fixture.log());
}

/// A slot that somebody planted has a label and members of their choice; a damaged file has a name of anybody's.
#[test]
fn row_24_what_is_printed_of_names_and_labels() {
    let fixture = Fixture::new();
    let keys = fixture.sandbox.backing().join("keys");
    let real = fixture.slot();
    let text = fs::read_to_string(&real).unwrap();
    let id = real.file_stem().unwrap().to_str().unwrap();
    let evil = "a\u{202e}b\\u001b[2J\\n\u{2066}c";
    let plant = |number: u32, from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        let new = format!("{number:032}");
        fs::write(keys.join(format!("{new}.json")), text.replace(id, &new).replacen(from, to, 1)).unwrap();
    };
    let label = text.lines().find(|line| line.contains("\"label\"")).unwrap();
    plant(1, label, &format!("\"label\": \"{}\",", "a\u{202e}b\u{2066}c"));
    plant(2, "\"label\"", &format!("\"{evil}\""));
    plant(3, label, &format!("\"label\": \"{evil}\","));
    plant(4, "\"recovery\"", &format!("\"{evil}\""));
    for command in [&["key", "list"][..], &["key", "list", "--json"], &["info"], &["info", "--json"]] {
        told(&fixture, command);
    }
    let name = "\u{202e}evil\n\u{1b}[2Jcryptfs: error: forged";
    for chunk in fixture.made_by(|plain| fs::write(plain.join(name), [7; 9000]).unwrap()) {
        fs::write(chunk, [0; 9000]).unwrap();
    }
    fixture.session(|plain| {
        assert!(fs::read(plain.join(name)).is_err());
        crate::sandbox::eventually("a line in the log", || fixture.log().contains("evil"));
        fs::remove_file(plain.join(name)).unwrap();
    });
    check_text(&fixture.log());
    fixture.expect(&[]);
}

/// Runs a command on the volume; it prints nothing that deceives.
fn told(fixture: &Fixture, command: &[&str]) {
    let arguments: Vec<_> = command.iter().map(AsRef::as_ref).collect();
    let output = fixture.sandbox.program(&arguments).arg(fixture.sandbox.backing()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    check_text(&String::from_utf8(output.stdout).unwrap());
    check_text(&String::from_utf8(output.stderr).unwrap());
}

fn check_text(text: &str) {
    assert!(!text.contains(is_deceptive), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("cryptfs: error: forged")), "{text}");
}
