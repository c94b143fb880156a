//! The program on a terminal of its own, with somebody who types.

use crate::sandbox::{PROGRAM, Sandbox};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Runs the program on a terminal of its own; types each answer once its prompt is there. Returns what was shown and
/// the exit code.
pub fn on_terminal(
    sandbox: &Sandbox,
    arguments: &[&OsStr],
    answers: &[(&str, &str)],
) -> (String, Option<i32>) {
    let quoted: Vec<_> = arguments.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let line = format!("{PROGRAM} {}", quoted.join(" "));
    let mut script = sandbox.prepared(Command::new("script"), &[]);
    // Without TERM no progress is shown.
    script.env("TERM", "xterm");
    let script = script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for (prompt, answer) in answers {
        let before = shown.len();
        while !String::from_utf8_lossy(&shown[before..]).contains(prompt) {
            let mut byte = [0];
            let read = screen.read(&mut byte).unwrap();
            assert!(read == 1, "no {prompt:?} in {:?}", String::from_utf8_lossy(&shown));
            shown.push(byte[0]);
        }
        keyboard.write_all(answer.as_bytes()).unwrap();
    }
    // A question that nobody expects ends with the terminal, not never.
    drop(keyboard);
    screen.read_to_end(&mut shown).unwrap();
    (String::from_utf8(shown).unwrap(), child.wait().unwrap().code())
}
