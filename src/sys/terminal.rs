//! A line from the controlling terminal that nobody can read over a shoulder.
//!
//! The terminal is set back on drop. Its signals are off while it reads, so that ^C cannot leave it without echo:
//! ^C comes out as `Interrupted`. Above: `cli::secret_input`.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// The controlling terminal of this process.
pub struct Terminal(File);

/// A terminal in hidden mode.
struct Hidden<'a> {
    terminal: &'a mut File,
    before: Termios,
}

impl Terminal {
    /// Opens /dev/tty.
    ///
    /// # Errors
    ///
    /// open(2)'s: ENXIO where there is no terminal, as in a service or a cron job.
    pub fn open() -> io::Result<Terminal> {
        File::options().read(true).write(true).open("/dev/tty").map(Terminal)
    }

    /// Writes a text, without a newline of its own.
    ///
    /// # Errors
    ///
    /// write(2)'s: EIO where the terminal is gone.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    /// Asks, and reads a line as the terminal edits it. What was typed before the question is discarded.
    ///
    /// # Errors
    ///
    /// read(2)'s and write(2)'s: EIO where the terminal is gone.
    pub fn ask(&mut self, prompt: &str) -> io::Result<String> {
        // A terminal whose input cannot be discarded can still be asked.
        let _ = tcflush(&self.0, QueueSelector::IFlush);
        self.0.write_all(prompt.as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.read(&mut byte)? == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Asks, and reads a line of at most `longest` bytes into `line`, whose capacity should be that, so that it never
    /// moves. What was typed before the question is discarded.
    ///
    /// # Errors
    ///
    /// `Interrupted` for ^C; `UnexpectedEof` for ^D in an empty line, and where the terminal is gone; `FileTooLarge`
    /// for a longer line; that of the terminal.
    pub fn ask_hidden(&mut self, prompt: &str, line: &mut Vec<u8>, longest: usize) -> io::Result<()> {
        let hidden = Hidden::enter(&mut self.0)?;
        hidden.terminal.write_all(prompt.as_bytes())?;
        loop {
            let mut byte = [0];
            if hidden.terminal.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match byte[0] {
                b'\n' | b'\r' => break,
                CTRL_C => return Err(io::ErrorKind::Interrupted.into()),
                CTRL_D if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                CTRL_U => line.clear(),
                BACKSPACE | DELETE => remove_character(line),
                _ if line.len() == longest => return Err(io::ErrorKind::FileTooLarge.into()),
                byte => line.push(byte),
            }
        }
        Ok(())
    }
}

/// Removes the last character, all of its UTF-8 bytes.
fn remove_character(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

impl<'a> Hidden<'a> {
    fn enter(terminal: &'a mut File) -> io::Result<Hidden<'a>> {
        let before = tcgetattr(&*terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(
            LocalModes::ECHO
                | LocalModes::ECHONL
                | LocalModes::ICANON
                | LocalModes::ISIG
                | LocalModes::IEXTEN,
        );
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&*terminal, OptionalActions::Flush, &hidden)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring, nor the newline that was not echoed.
        let _ = tcsetattr(&*self.terminal, OptionalActions::Drain, &self.before);
        let _ = self.terminal.write_all(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backspace_removes_whole_characters() {
        let mut line = "aß€".as_bytes().to_vec();
        for rest in ["aß", "a", "", ""] {
            remove_character(&mut line);
            assert_eq!(line, rest.as_bytes());
        }
    }
}
