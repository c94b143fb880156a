//! The command line: what people type, what they are told, and how the layers below are put together for it.
//!
//! All advice and all exit codes live here (`advice`, `exit.rs`); every layer below reports typed errors. Each
//! command has a file of its own; `args.rs` defines the flags.

mod advice;
mod agent;
mod apart;
mod args;
mod asked;
mod assemble;
mod check;
mod complete;
mod daemon;
mod device;
mod enrol;
mod exit;
mod export;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod home_args;
mod import;
mod info;
mod init;
mod kept;
mod key;
mod key_args;
mod ledger;
mod logging;
mod look;
mod look_args;
mod manual;
mod mount;
mod mount_options;
mod notice;
mod progress;
mod report;
mod request;
mod rotate;
mod secret_input;
mod serving;
mod status;
mod sync;
mod trust;
mod umount;
mod unit;
mod unlock;
mod values;
mod visible;
mod ways;

use crate::crypto;
use crate::sys::{daemon as limits, memory, process};
use advice::Failure;
use args::{Arguments, Command, Helper, Mount};
use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use exit::Exit;
use home_args::UmountHelper;
use std::ffi::{CStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Names under which mount(8) and umount(8) call this program.
const MOUNT_NAMES: [&str; 2] = ["mount.cryptfs", "mount.fuse.cryptfs"];
const UMOUNT_NAMES: [&str; 2] = ["umount.cryptfs", "umount.fuse.cryptfs"];

/// Where programs are looked for that ask, tell or are age's plugins: mount(8) takes PATH away from its helpers.
const HELPERS_PATH: &CStr = c"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole program: from the arguments to the exit code.
pub fn main() -> ExitCode {
    logging::start();
    if let Err(error) = process::forbid_memory_dumps() {
        log::warn!("keys in memory are not protected from other processes of this user: {error}");
    }
    crypto::hold_secrets(memory::lock);
    if let Err(error) = limits::raise_open_files() {
        log::debug!("the limit of open files stays as it is: {error}");
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(&arguments) {
        Ok(()) => Exit::Success.into(),
        Err(failure) => {
            report::complain(&failure.to_string());
            failure.exit.into()
        }
    }
}

/// The words of a mount that are right. A mount is to be there at once, and to make the flags of all commands takes a tenth of
/// it.
fn parse_mount(arguments: &[OsString]) -> Option<Mount> {
    let words = arguments.get(1..).filter(|words| words.first().is_some_and(|word| word == "mount"))?;
    Mount::try_parse_from(words).ok()
}

/// Ends the process where the words are no command, with what may have been meant.
fn parse(arguments: &[OsString]) -> Arguments {
    Arguments::try_parse_from(arguments).unwrap_or_else(|mut error| {
        if let Some(tip) = advice::tip(&error, arguments) {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        error.exit()
    })
}

fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let called = arguments.first().and_then(|path| Path::new(path).file_name());
    let is_called = |names: [&str; 2]| called.is_some_and(|name| names.iter().any(|helper| name == *helper));
    if is_called(MOUNT_NAMES) {
        process::set_where_unset(c"PATH", HELPERS_PATH).map_err(|error| advice::system("PATH", &error))?;
        return mount::help(&Helper::parse_from(arguments));
    }
    if is_called(UMOUNT_NAMES) {
        return umount::help(&UmountHelper::parse_from(arguments));
    }
    if complete::is_asked() {
        return complete::answer(arguments);
    }
    if let Some(alone) = parse_mount(arguments) {
        return mount::run(&alone);
    }
    match parse(arguments).command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Mount(arguments) => mount::run(&arguments),
        Command::Umount(arguments) => umount::run(&arguments),
        Command::Sync(arguments) => sync::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Unit(arguments) => unit::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Key(command) => key::run(&command),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ls(arguments) => look::ls(&arguments),
        Command::Tree(arguments) => look::tree(&arguments),
        Command::Cat(arguments) => look::cat(&arguments),
        Command::Stat(arguments) => look::stat(&arguments),
        Command::Locate(arguments) => look::locate(&arguments),
        Command::Du(arguments) => look::du(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Trust(command) => trust::run(&command),
        Command::Device(command) => device::run(&command),
        Command::Completions { shell } => report::print_as_it_is(complete::script(shell).as_bytes()),
        Command::Ask(arguments) => apart::run(&arguments),
        Command::Man { folder } => manual::write(&folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_mount_means_the_same_without_the_other_commands() {
        for line in [
            "cryptfs mount v p",
            "cryptfs mount -f v p -o ro,cache=64 -o idle=15m --passphrase-file -",
            "cryptfs mount --identity a --identity b --log-file l v p --slot tpm2",
            "cryptfs mount -- -v -p",
        ] {
            let Command::Mount(among_all) = parse(&words(line)).command else { panic!("{line}") };
            let alone = parse_mount(&words(line)).expect(line);
            assert_eq!(format!("{alone:?}"), format!("{among_all:?}"));
        }
        for line in [
            "cryptfs",
            "cryptfs umount p",
            "cryptfs mount",
            "cryptfs mount --help",
            "cryptfs mount v p --wrong",
        ] {
            assert!(parse_mount(&words(line)).is_none(), "{line}");
        }
    }
}
