//! Where passphrases and other secrets come from: a terminal, a file, standard input, systemd's credentials, a program that
//! asks (`agent.rs`).
//!
//! Never an argument and never the value of an environment variable: other processes can read both. Every buffer is
//! allocated once, at its largest size, and wiped when dropped. Neighbours: `sys::terminal` reads without echo.

use super::advice::{self, Failure};
use super::agent::Agent;
use crate::crypto::recipient::{Identities, Person};
use crate::sys::terminal::Terminal;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest secret that is taken, in bytes.
pub const LONGEST: usize = 4096;

/// What some editors begin a text with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The longest file of identities, in bytes.
const LONGEST_IDENTITY: usize = 1 << 16;

/// A secret as it was given, without the newline that ended it.
pub type Given = Zeroizing<Vec<u8>>;

/// The file of a secret in `$CREDENTIALS_DIRECTORY`, where systemd passes one to a service.
pub fn credential(name: &str) -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.is_file().then_some(path)
}

/// Asks a question that "yes" answers.
///
/// # Errors
///
/// `Exit::NothingToAskOn` without a terminal; `Exit::Failed` where that fails.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    let mut terminal = Terminal::open().map_err(|_| advice::no_answer())?;
    let answer = terminal.ask(question).map_err(|error| advice::terminal(&error))?;
    Ok(answer.trim() == "yes")
}

/// Reads a secret from a file, `-` being standard input; what an editor puts around it is not part of it.
///
/// # Errors
///
/// `Exit::Failed` where it cannot be read, is empty, or holds more than [`LONGEST`] bytes.
pub fn from_file(path: &Path) -> Result<Given, Failure> {
    let unreadable = |error| advice::secret_file(path, &error);
    let secret = if path == Path::new("-") {
        read_bounded(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(unreadable)?;
        warn_if_others_can_read(path, &file);
        read_bounded(file)
    };
    let secret = secret.map_err(unreadable)?;
    if secret.is_empty() { Err(advice::empty_secret(path)) } else { Ok(secret) }
}

fn identity_file(path: &Path) -> Result<Given, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_IDENTITY));
    let read = File::open(path).and_then(|file| {
        warn_if_others_can_read(path, &file);
        file.take(LONGEST_IDENTITY as u64).read_to_end(&mut bytes)
    });
    read.map_err(|error| advice::secret_file(path, &error))?;
    Ok(bytes)
}

/// Reads a secret to the end of its source.
///
/// # Errors
///
/// `FileTooLarge` beyond [`LONGEST`] bytes; else that of the source.
pub fn read_bounded(source: impl Read) -> io::Result<Given> {
    let most = BYTE_ORDER_MARK.len() + LONGEST + b"\r\n".len() + 1;
    let mut given = Zeroizing::new(Vec::with_capacity(most));
    source.take(most as u64).read_to_end(&mut given)?;
    let secret = given.strip_suffix(b"\r\n").or_else(|| given.strip_suffix(b"\n")).unwrap_or(&given);
    let secret = secret.strip_prefix(BYTE_ORDER_MARK).unwrap_or(secret);
    if secret.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {LONGEST} bytes")));
    }
    Ok(normalized(secret))
}

/// In one form, however the keyboard or the system that wrote it puts accents together. What is no text stays as it is.
fn normalized(secret: &[u8]) -> Given {
    let mut normal = Zeroizing::new(Vec::with_capacity(3 * secret.len()));
    match std::str::from_utf8(secret) {
        Ok(text) => {
            let mut room = Zeroizing::new([0_u8; 4]);
            text.nfc().for_each(|c| normal.extend_from_slice(c.encode_utf8(&mut room[..]).as_bytes()));
        }
        Err(_) => normal.extend_from_slice(secret),
    }
    normal
}

fn warn_if_others_can_read(path: &Path, file: &File) {
    let others = file.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o077 != 0);
    if others {
        log::warn!("{}", advice::secret_is_readable(path));
    }
}

/// Shows something on the terminal, whatever stdout is.
///
/// # Errors
///
/// `Exit::NothingToAskOn` without a terminal; `Exit::Failed` where that fails.
pub fn show(texts: &[&str]) -> Result<(), Failure> {
    let mut terminal = Terminal::open().map_err(|_| advice::nobody_to_show_it_to())?;
    texts.iter().try_for_each(|text| terminal.show(text)).map_err(|error| advice::terminal(&error))
}

/// Reads a recipient's private keys, and asks on the terminal for what they want.
///
/// # Errors
///
/// `Exit::Failed` where the file cannot be read, or a plugin fails; `Exit::WrongSecret` where it holds no identity,
/// or its passphrase is wrong or missing.
pub fn identities(path: &Path) -> Result<Identities, Failure> {
    Identities::asking(&identity_file(path)?, AtTerminal).map_err(|error| advice::recipient(&error))
}

/// Whoever sits at the terminal.
#[derive(Clone)]
struct AtTerminal;

impl Person for AtTerminal {
    fn tell(&self, message: &str) {
        // Where there is no terminal nobody can do what is asked, and the plugin gives up.
        let _ = show(&[message, "\n"]);
    }

    fn ask(&self, question: &str) -> Option<Given> {
        ask(question).ok()
    }
}

/// Asks without echo.
///
/// # Errors
///
/// `Exit::NothingToAskOn` without anybody to ask, or an answer; `Exit::Interrupted` for ^C; `Exit::Failed` for more
/// than [`LONGEST`] bytes.
pub fn ask(prompt: &str) -> Result<Given, Failure> {
    Asked::find()?.secret("", prompt)
}

/// The same where whoever is asked may not see what it is about: at boot, or in a window that comes up. `before` says which
/// volume it is, and what was tried in vain; on a terminal that was said already.
///
/// # Errors
///
/// As for [`ask`].
pub fn ask_about(before: &str, prompt: &str) -> Result<Given, Failure> {
    Asked::find()?.secret(before, prompt)
}

/// Asks twice, until both answers agree. `flag` is what takes such a secret from a file.
///
/// # Errors
///
/// As for [`ask`].
pub fn ask_new(prompt: &str, flag: &str) -> Result<Given, Failure> {
    let mut asked = Asked::find().map_err(|_| advice::nobody_to_make_it_up(flag))?;
    let mut before = "";
    loop {
        let first = asked.secret(before, prompt)?;
        if first.is_empty() {
            before = asked.tell("It must not be empty. ")?;
            continue;
        }
        let second = asked.secret("", "Repeat it: ")?;
        if first == second {
            return Ok(first);
        }
        before = asked.tell("The two differ. Try again. ")?;
    }
}

/// Who is asked: whoever sits at the terminal, else whom a program can reach.
enum Asked {
    Terminal(Terminal),
    Agent(Agent),
}

impl Asked {
    fn find() -> Result<Asked, Failure> {
        match Terminal::open() {
            Ok(terminal) => Ok(Asked::Terminal(terminal)),
            Err(_) => Agent::find().map(Asked::Agent).ok_or_else(advice::no_terminal),
        }
    }

    /// `before` is for those who do not see the terminal.
    fn secret(&mut self, before: &str, prompt: &str) -> Result<Given, Failure> {
        match self {
            Asked::Agent(agent) => agent.ask(&format!("{before}{prompt}")),
            Asked::Terminal(terminal) => {
                let mut secret = Zeroizing::new(Vec::with_capacity(LONGEST));
                terminal
                    .ask_hidden(prompt, &mut secret, LONGEST)
                    .map_err(|error| advice::terminal(&error))?;
                Ok(normalized(&secret))
            }
        }
    }

    /// Tells on the terminal; returns what is to be told with the next question elsewhere.
    fn tell<'a>(&mut self, text: &'a str) -> Result<&'a str, Failure> {
        let Asked::Terminal(terminal) = self else { return Ok(text) };
        let shown = terminal.show(&format!("{}\n", text.trim_end()));
        shown.map(|()| "").map_err(|error| advice::terminal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_stripped_and_length_is_bounded() {
        let read = |bytes: &[u8]| read_bounded(bytes).map(|secret| secret.to_vec());
        assert_eq!(read(b"secret\n").unwrap(), b"secret");
        assert_eq!(read(b"secret\n\n").unwrap(), b"secret\n");
        assert_eq!(read(b" secret").unwrap(), b" secret");
        let longest = vec![b'x'; LONGEST];
        assert_eq!(read(&longest).unwrap(), longest);
        assert_eq!(read(&[&longest[..], b"\n"].concat()).unwrap(), longest);
        assert!(read(&[&longest[..], b"x"].concat()).is_err());
        assert!(read(&[&longest[..], b"x\n"].concat()).is_err());
        let around = [BYTE_ORDER_MARK, &longest, b"\r\n"].concat();
        assert_eq!(read(&around).unwrap(), longest);
    }

    #[test]
    fn one_secret_is_the_same_however_it_was_written_down() {
        let read = |bytes: &[u8]| read_bounded(bytes).map(|secret| secret.to_vec()).unwrap();
        let composed = "caf\u{e9} \u{ac00}".as_bytes();
        for written in
            ["caf\u{e9} \u{ac00}\n", "cafe\u{301} \u{1100}\u{1161}\r\n", "\u{feff}caf\u{e9} \u{ac00}"]
        {
            assert_eq!(read(written.as_bytes()), composed, "{written:?}");
        }
        assert_eq!(read(b"\xff\xfe\r"), b"\xff\xfe\r", "no text, and no newline");
        assert_eq!(read(b"a\r\n\r\n"), b"a\r\n");
    }
}
