//! Going into the background once the mount answers, and not before.
//!
//! The process forks before it has threads; the child does all the work, still on the caller's terminal, while the
//! parent waits on a pipe. A byte there means that the mount answers: the parent leaves with success. A child that
//! ends without it has said why on stderr, and the parent leaves with its exit code.

use crate::sys::daemon::{Ended, Forked, fork, leave_session};
use std::io::{self, PipeWriter, Read, Write};

/// Somebody who may be waiting for the mount to answer.
pub struct Waiting(Option<PipeWriter>);

impl Waiting {
    /// Nobody: this process stays in front.
    pub fn nobody() -> Waiting {
        Waiting(None)
    }

    /// Returns in a child; the parent never comes back from here.
    ///
    /// # Errors
    ///
    /// pipe(2)'s and fork(2)'s; in the parent waitpid(2)'s, which comes back too.
    pub fn parent() -> io::Result<Waiting> {
        let (mut reader, writer) = io::pipe()?;
        match fork()? {
            Forked::Child => Ok(Waiting(Some(writer))),
            Forked::Parent { child } => {
                drop(writer);
                if reader.read_exact(&mut [0]).is_ok() {
                    std::process::exit(0);
                }
                std::process::exit(match child.wait()? {
                    Ended::Code(code) => code.into(),
                    Ended::Signal(signal) => 128 + i32::from(signal),
                })
            }
        }
    }

    /// The mount answers: leaves the caller's terminal, if this is to go into the background, and lets the parent go.
    ///
    /// # Errors
    ///
    /// As for [`leave_session`]; `BrokenPipe` where the parent is gone.
    pub fn release(self) -> io::Result<()> {
        let Some(mut parent) = self.0 else { return Ok(()) };
        leave_session()?;
        parent.write_all(&[0])
    }

    pub fn is_in_front(&self) -> bool {
        self.0.is_none()
    }
}
