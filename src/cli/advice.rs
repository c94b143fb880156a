//! Everything that cryptfs tells people when something goes wrong: one sentence on what, one on what helps.
//!
//! Below this module errors are typed and give no advice; here each is matched exhaustively and gets its exit code.

use super::exit::Exit;
use super::mount_options::BadOption;
use super::secret_input::LONGEST;
use crate::mount::MountError;
use std::fmt;
use std::io;
use std::path::Path;

/// A command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn failure(exit: Exit, message: impl Into<String>) -> Failure {
    Failure { exit, message: message.into() }
}

/// An error of the operating system, about `what`.
pub fn io(what: impl fmt::Display, error: &io::Error) -> Failure {
    failure(Exit::Failed, format!("{what}: {}.", plain(error)))
}

/// The error without Rust's "(os error 2)".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

pub fn secret_file(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            failure(Exit::Failed, format!("{path}: a passphrase has at most {LONGEST} bytes."))
        }
        _ => failure(Exit::Failed, format!("{path}: cannot read the secret: {}.", plain(error))),
    }
}

pub fn empty_secret(path: &Path) -> Failure {
    failure(Exit::Failed, format!("{}: holds no passphrase: it is empty.", path.display()))
}

pub fn no_terminal() -> Failure {
    failure(
        Exit::NothingToAskOn,
        "There is no terminal to ask for the passphrase on. Give it with --passphrase-file FILE, or - for standard input.",
    )
}

pub fn terminal(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => failure(Exit::Interrupted, "Interrupted."),
        io::ErrorKind::UnexpectedEof => {
            failure(Exit::NothingToAskOn, "The terminal was closed; nothing was done.")
        }
        io::ErrorKind::FileTooLarge => {
            failure(Exit::Failed, format!("A passphrase has at most {LONGEST} bytes."))
        }
        _ => io("The terminal", error),
    }
}

pub fn option(error: &BadOption) -> Failure {
    let message = match error {
        BadOption::Unknown(word) => format!("-o {word}: there is no such mount option."),
        BadOption::Value(word) => format!("-o {word}: this mount option needs another value."),
    };
    failure(Exit::Usage, format!("{message} See \"Mount options\" in `man cryptfs`."))
}

pub fn mounting(mountpoint: &Path, error: &MountError) -> Failure {
    let at = mountpoint.display();
    let (exit, message) = match error {
        MountError::NoDevice => (
            Exit::NoFuse,
            "There is no /dev/fuse. Load the kernel module as root: `modprobe fuse`.".to_owned(),
        ),
        MountError::DeviceForbidden => (
            Exit::NoFuse,
            "/dev/fuse may not be opened by this user: `ls -l /dev/fuse` shows who may.".to_owned(),
        ),
        MountError::NoHelper => (
            Exit::NoFusermount,
            "fusermount3 is not installed; ordinary users need it: `apt install fuse3`, or mount as root."
                .to_owned(),
        ),
        MountError::NoMountpoint => {
            (Exit::BadMountpoint, format!("{at}: does not exist. Make it first: `mkdir {at}`."))
        }
        MountError::NotDirectory => {
            (Exit::BadMountpoint, format!("{at}: is not a folder. Only a folder can be a mountpoint."))
        }
        MountError::MountpointForbidden => (
            Exit::BadMountpoint,
            format!("{at}: this user may not mount there. Choose a folder of your own."),
        ),
        MountError::Stale => (
            Exit::StaleMountpoint,
            format!("{at}: holds a mount whose daemon is gone. Remove it first: `cryptfs umount {at}`."),
        ),
        MountError::AllowOtherForbidden => (
            Exit::MountRefused,
            "allow_other is not permitted to ordinary users here. Have root write user_allow_other into \
             /etc/fuse.conf."
                .to_owned(),
        ),
        MountError::Helper(words) => {
            (Exit::MountRefused, format!("{at}: fusermount3 refused to mount there: {words}."))
        }
        MountError::Kernel(error) => {
            (Exit::MountRefused, format!("{at}: the kernel refused to mount there: {}.", plain(error)))
        }
        MountError::Handshake(error) => (
            Exit::MountRefused,
            format!("{at}: the kernel does not speak a FUSE protocol that cryptfs knows: {}.", plain(error)),
        ),
    };
    failure(exit, message)
}

pub fn not_mounted(path: &Path) -> Failure {
    failure(
        Exit::NotMounted,
        format!("{}: there is no cryptfs mount. `findmnt -t fuse.cryptfs` lists them.", path.display()),
    )
}

pub fn unmounting(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    match error.kind() {
        io::ErrorKind::ResourceBusy => failure(
            Exit::Busy,
            format!("{at}: somebody still uses a file or a folder in it. `fuser -vm {at}` lists who."),
        ),
        _ => io(format!("{at}: cannot be unmounted"), error),
    }
}
