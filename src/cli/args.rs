//! The command line as it is typed: every flag is defined here, once. The help and the manual come from these lines.
//!
//! What the flags amount to is resolved elsewhere: `mount_options.rs` for `-o`, the commands for the rest.

use super::sizes;
use crate::crypto::Cipher;
use crate::keys::ChunkSize;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

/// An encrypted filesystem for folders that somebody else's computer copies
#[derive(Debug, Parser)]
#[command(name = "cryptfs", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Init(Init),
    Mount(Mount),
    Umount(Umount),
    Info(Info),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions {
        shell: clap_complete::Shell,
    },
    /// Write the manual page into a folder
    #[command(hide = true)]
    Man {
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// How to get at a volume's keys
#[derive(Args, Debug, Default)]
pub struct Unlock {
    /// Read the passphrase from FILE; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
    /// Where the key slots are, if not in the volume's own keys/
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
}

/// Make a folder a volume
///
/// Asks for a passphrase unless one is given.
#[derive(Args, Debug)]
pub struct Init {
    /// The folder that will hold the encrypted files; made if it does not exist
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
    /// Largest size of a chunk file: a power of two from 1M to 16M
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = sizes::chunk_size)]
    pub chunk_size: ChunkSize,
    /// aes-256-gcm, or chacha20-poly1305 for machines without AES instructions
    #[arg(long, value_name = "NAME", default_value = "aes-256-gcm", value_parser = cipher)]
    pub cipher: Cipher,
    /// A name for the passphrase's slot
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// Take a folder that is not empty; what is in it stays as it is
    #[arg(long)]
    pub force: bool,
}

/// Mount a volume
///
/// Returns once the mount answers; the filesystem then lives in the background.
#[derive(Args, Debug)]
pub struct Mount {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Where its files are to appear: an existing folder
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
    /// Mount options, separated by commas, as in fstab; see "Mount options" in the manual
    #[arg(short = 'o', value_name = "OPTIONS", action = ArgAction::Append)]
    pub options: Vec<String>,
    /// Stay in the foreground, log to stderr
    #[arg(short, long)]
    pub foreground: bool,
    /// Append the log of the background process to FILE instead of the system log
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log_file: Option<PathBuf>,
}

/// Unmount a volume
///
/// Returns once everything is on the backing folder's disk, so that it can be unplugged or mounted again.
#[derive(Args, Debug)]
pub struct Umount {
    /// Where the volume is mounted
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
}

/// Tell what a volume is; needs no secret
#[derive(Args, Debug)]
pub struct Info {
    /// The folder of a volume, or where it is mounted
    #[arg(value_name = "BACKING|MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub path: PathBuf,
    /// Where the key slots are, if not in the volume's own keys/
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// cryptfs's mount helper, as mount(8) calls it
#[derive(Debug, Parser)]
#[command(name = "mount.cryptfs", version, disable_help_flag = true)]
pub struct Helper {
    /// The folder of the volume
    pub source: PathBuf,
    /// Where its files are to appear
    pub target: PathBuf,
    /// Ignore unknown mount options
    #[arg(short)]
    pub sloppy: bool,
    /// Check everything, mount nothing
    #[arg(short)]
    pub fake: bool,
    /// Accepted and without effect: there is no /etc/mtab to leave alone
    #[arg(short)]
    pub no_mtab: bool,
    /// Log more
    #[arg(short)]
    pub verbose: bool,
    /// Mount in another mount namespace, given as a path
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub namespace: Option<PathBuf>,
    /// The type of filesystem: fuse.cryptfs or cryptfs
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<OsString>,
    /// Mount options, separated by commas
    #[arg(short = 'o', value_name = "OPTIONS", action = ArgAction::Append)]
    pub options: Vec<String>,
}

fn cipher(name: &str) -> Result<Cipher, String> {
    Cipher::from_name(name).ok_or_else(|| "it is aes-256-gcm or chacha20-poly1305".to_owned())
}
