//! Text that somebody else may have chosen, made fit to be shown: file names, labels of planted slots.
//!
//! No character of it ends a line, moves the cursor, or turns the order of what is shown. What is escaped looks as in
//! JSON, so that JSON stays JSON.

use std::ffi::OsStr;
use std::fmt::{self, Display, Write as _};
use std::os::unix::ffi::OsStrExt;

/// A path as a sentence has it, on one line; `{:#}` is the same as a word that a shell takes, for commands that are to be
/// typed.
pub struct Shown<'a>(&'a OsStr);

pub fn shown(path: &(impl AsRef<OsStr> + ?Sized)) -> Shown<'_> {
    Shown(path.as_ref())
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => f.write_str(&word(self.0)),
            false => f.write_str(&line(&self.0.to_string_lossy())),
        }
    }
}

/// As bash, zsh and, where nothing has to be escaped, every shell reads it.
fn word(text: &OsStr) -> String {
    let bytes = text.as_bytes();
    // What begins with it would be a flag.
    let before = if bytes.starts_with(b"-") { "./" } else { "" };
    let Some(clear) = text.to_str().filter(|text| !text.chars().any(deceives)) else {
        let escaped = bytes.iter().fold(String::new(), |mut escaped, byte| {
            match byte {
                b'\\' | b'\'' => escaped.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => escaped.push(char::from(*byte)),
                byte => {
                    // Writing to a String cannot fail. Octal, as further digits would belong to a hexadecimal number.
                    let _ = write!(escaped, "\\{byte:03o}");
                }
            }
            escaped
        });
        return format!("$'{before}{escaped}'");
    };
    let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    match !clear.is_empty() && clear.chars().all(is_plain) {
        true => format!("{before}{clear}"),
        false => format!("'{before}{}'", clear.replace('\'', r"'\''")),
    }
}

/// One line.
pub fn line(text: &str) -> String {
    escape(text, |_| false)
}

/// Lines that are already ours.
pub fn lines(text: &str) -> String {
    escape(text, |c| c == '\n')
}

fn escape(text: &str, is_ours: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match c {
            c if is_ours(c) || !deceives(c) => shown.push(c),
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{:04x}", u32::from(c));
            }
        }
        shown
    })
}

/// Control characters, separators of lines, and what governs the direction of text.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_24_no_name_can_forge_a_line_or_turn_it() {
        assert_eq!(line("a\nb\u{1b}[31mß\u{9b}\t"), "a\\nb\\u001b[31mß\\u009b\\t");
        assert_eq!(line("\u{202e}gpj.exe\u{2066}\u{200f}\u{2028}"), "\\u202egpj.exe\\u2066\\u200f\\u2028");
        assert_eq!(lines("{\n  \"a\": \"\u{202e}\"\n}\n"), "{\n  \"a\": \"\\u202e\"\n}\n");
        assert_eq!(shown("a\nb").to_string(), "a\\nb");
        assert_eq!(line("größe, 大小, שלום, 👩‍🚀"), "größe, 大小, שלום, 👩‍🚀");
    }

    /// Words, and names that no text can be, as bash takes them apart again.
    #[test]
    fn a_shell_reads_a_path_that_is_to_be_typed() {
        let words: [(&[u8], &str); 9] = [
            (b"/home/anna/vault-2", "/home/anna/vault-2"),
            ("/größe".as_bytes(), "/größe"),
            (b"my folder", "'my folder'"),
            (b"anna's", r"'anna'\''s'"),
            (b"~", "'~'"),
            (b"$HOME`x`", "'$HOME`x`'"),
            (b"-x", "./-x"),
            (b"a\n'1", r"$'a\012\'1'"),
            (b"-\xff\\", r"$'./-\377\\'"),
        ];
        for (path, typed) in words {
            assert_eq!(format!("{:#}", shown(OsStr::from_bytes(path))), typed);
            let read = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {typed}")])
                .output()
                .unwrap();
            assert_eq!(read.stdout.strip_prefix(b"./").unwrap_or(&read.stdout), path);
        }
    }
}
