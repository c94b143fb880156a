//! What may take for ever, asked by a process of its own: a daemon that hangs, or a backing folder on a server that is gone,
//! would hold up whoever asks, and such a process cannot even be killed. One that takes too long is left behind.

use super::advice::{self, Failure};
use super::args::Ask;
use super::report;
use crate::mount;
use clap::ValueEnum;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// What is asked of a daemon through its mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Question {
    /// As of [`mount::store`].
    Store,
    /// As of [`mount::discard`].
    Discard,
    /// As of [`mount::sync`].
    Sync,
    /// As of [`mount::transport_of`], which is the answer.
    Transport,
}

/// A question that is being asked.
pub struct Asked {
    answer: Receiver<io::Result<Vec<u8>>>,
}

impl Asked {
    /// The answer; `None` where none came in this time. Without a limit it is waited for.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or that of the process that asks.
    pub fn wait(&self, most: Option<Duration>) -> Option<io::Result<String>> {
        let answer = match most {
            Some(most) => self.answer.recv_timeout(most),
            None => self.answer.recv().map_err(RecvTimeoutError::from),
        };
        match answer {
            Ok(bytes) => Some(bytes.and_then(|bytes| understood(&bytes))),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

/// What a process said: a text, or the number of an error.
fn understood(bytes: &[u8]) -> io::Result<String> {
    serde_json::from_slice::<Result<String, i32>>(bytes)?.map_err(io::Error::from_raw_os_error)
}

/// Has a process ask.
///
/// # Errors
///
/// That of starting it.
pub fn ask(question: Question, mountpoint: &Path) -> io::Result<Asked> {
    let word = question.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    Ok(Asked { answer: begin(&["ask".as_ref(), word.as_ref(), "--".as_ref(), mountpoint.as_os_str()])? })
}

/// Starts a process of this program, whose output comes later.
///
/// # Errors
///
/// That of starting it, or a thread.
pub fn begin(arguments: &[&OsStr]) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    // This very program, whatever stands in its place by now.
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let (sender, receiver) = channel();
    thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        let read = child.stdout.take().map(|mut out| out.read_to_end(&mut bytes));
        let said = match (read, child.wait()) {
            (Some(Ok(_)), Ok(_)) => Ok(bytes),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, _) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        // Nobody may be waiting any more.
        let _ = sender.send(said);
    })?;
    Ok(receiver)
}

/// Asks, in such a process.
///
/// # Errors
///
/// `Exit::Failed` where stdout cannot be written.
pub fn run(arguments: &Ask) -> Result<(), Failure> {
    let path = &arguments.mountpoint;
    let done = match arguments.question {
        Question::Store => mount::store(path).map(|()| String::new()),
        Question::Discard => mount::discard(path).map(|()| String::new()),
        Question::Sync => mount::sync(path).map(|()| String::new()),
        Question::Transport => mount::transport_of(path),
    };
    let answer = done.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
    let text = serde_json::to_vec(&answer).map_err(|error| advice::system(path.display(), &error.into()))?;
    report::print_as_it_is(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_answered_in_time_is_left_and_what_is_comes_whole() {
        let (sender, answer) = channel();
        let asked = Asked { answer };
        assert!(asked.wait(Some(Duration::ZERO)).is_none());
        let say = |answer: Result<&str, i32>| sender.send(Ok(serde_json::to_vec(&answer).unwrap())).unwrap();
        say(Ok("uring"));
        say(Err(libc::ENOSPC));
        assert_eq!(asked.wait(None).unwrap().unwrap(), "uring");
        let error = asked.wait(Some(Duration::ZERO)).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        // One that was killed said nothing.
        sender.send(Ok(Vec::new())).unwrap();
        assert!(asked.wait(None).unwrap().is_err());
        drop(sender);
        assert!(asked.wait(None).unwrap().is_err());
    }
}
