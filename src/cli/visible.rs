//! Text that somebody else may have chosen, made fit to be shown: file names, labels of planted slots.
//!
//! No character of it ends a line, moves the cursor, or turns the order of what is shown. What is escaped looks as in
//! JSON, so that JSON stays JSON.

use std::fmt::Write as _;

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
        assert_eq!(line("größe, 大小, שלום, 👩‍🚀"), "größe, 大小, שלום, 👩‍🚀");
    }
}
