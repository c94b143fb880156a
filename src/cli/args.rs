//! The command line as it is typed: every flag is defined here, once. The help and the manual come from these lines.
//!
//! What the flags amount to is resolved elsewhere: `mount_options.rs` for `-o`, the commands for the rest.
//! `key_args.rs` has those of `cryptfs key`.

use super::apart::Question;
use super::home_args::{Status, Unit};
use super::key_args::KeyCommand;
use super::look_args::{Cat, Check, Du, Export, Import, Locate, Ls, Stat, Tree};
use super::values::SlotName;
use super::{advice, values};
use crate::chunk::DeviceId;
use crate::crypto::Cipher;
use crate::keys::tpm::PcrMask;
use crate::keys::{ChunkSize, Fingerprint, Label, SlotType};
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// An encrypted filesystem for folders that somebody else's computer copies
#[derive(Debug, Parser)]
#[command(name = "cryptfs", version, max_term_width = 100, disable_help_subcommand = true, after_help = advice::FIRST_STEPS)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Init(Init),
    Mount(Mount),
    #[command(alias = "unmount")]
    Umount(Umount),
    Sync(Sync),
    Status(Status),
    Unit(Unit),
    Info(Info),
    Check(Check),
    Ls(Ls),
    Tree(Tree),
    Cat(Cat),
    Stat(Stat),
    Du(Du),
    Locate(Locate),
    Export(Export),
    Import(Import),
    /// Show and change the key slots of a volume
    #[command(subcommand, disable_help_subcommand = true)]
    Key(KeyCommand),
    /// Show and change what this device expects of a volume
    #[command(subcommand, disable_help_subcommand = true)]
    Trust(TrustCommand),
    /// Show the devices that write to a volume, name this one, and take out one that is gone
    #[command(subcommand, disable_help_subcommand = true)]
    Device(DeviceCommand),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions {
        shell: clap_complete::Shell,
    },
    /// Ask a mount's daemon something, which may take for ever
    #[command(hide = true)]
    Ask(Ask),
    /// Write the manual page into a folder
    #[command(hide = true)]
    Man {
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// For cryptfs itself.
#[derive(Args, Debug)]
pub struct Ask {
    pub question: Question,
    pub mountpoint: PathBuf,
}

/// The slots that `--slot` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    Slot(SlotName),
    Type(SlotType),
}

/// Where the key slots are, and the TPM.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Keep the key slots in DIR, not in the volume's own keys/
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
    /// How to reach the TPM, in the notation of tpm2-tools [default: device:/dev/tpmrm0]
    #[arg(long, value_name = "TCTI")]
    pub tcti: Option<String>,
}

/// How to get at a volume's keys.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlock {
    #[command(flatten)]
    pub place: Place,
    /// Read the passphrase or recovery key from FILE; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
    /// Use the age identities or the SSH private key in FILE; may be given several times
    #[arg(long = "identity", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub identities: Vec<PathBuf>,
    /// Read the PIN of the TPM slot from FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pin_file: Option<PathBuf>,
    /// Use this slot only, or slots of this type only: passphrase, recovery, tpm2, recipient
    #[arg(long, value_name = "ID|TYPE", value_parser = values::only)]
    pub slot: Option<Only>,
    /// The fingerprint that `cryptfs info` shows where the volume is known: refuse another, accept this one
    #[arg(long, value_name = "HEX", value_parser = values::fingerprint)]
    pub fingerprint: Option<Fingerprint>,
    /// How long the kernel keeps what was typed; of mounts only.
    #[arg(skip)]
    pub keyring: Option<Duration>,
}

/// What new slots are made with.
#[derive(Args, Clone, Debug)]
pub struct Enrolment {
    /// What to call the new slots; anybody who sees the volume can read it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = values::label)]
    pub label: Label,
    /// How long trying one passphrase or PIN should take on this machine, in milliseconds
    #[arg(long = "iter-time", value_name = "MS", default_value = "1000", value_parser = values::milliseconds)]
    pub cost: Duration,
    /// Write the new recovery key to OUT instead of showing it
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub recovery_file: Option<PathBuf>,
    /// PCRs that the TPM slot depends on, such as 7,11 [default: 7 where Secure Boot is on, else none]
    #[arg(long, value_name = "LIST")]
    pub pcrs: Option<PcrMask>,
    /// Ask for a PIN for the TPM slot
    #[arg(long)]
    pub pin: bool,
    /// Read the new PIN of the TPM slot from FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub new_pin_file: Option<PathBuf>,
}

/// Create a volume in a folder
///
/// On a terminal asks for a passphrase and shows a recovery key, unless flags say otherwise; uses the TPM if there is
/// one.
#[derive(Args, Debug)]
pub struct Init {
    /// The folder that will hold the encrypted files; created if it does not exist
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Read the passphrase from FILE; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
    /// Create no passphrase slot
    #[arg(long, conflicts_with = "passphrase_file")]
    pub no_passphrase: bool,
    /// Create no recovery key
    #[arg(long, conflicts_with = "recovery_file")]
    pub no_recovery: bool,
    /// Fail if no slot for this machine's TPM can be created
    #[arg(long)]
    pub tpm2: bool,
    /// Create no TPM slot
    #[arg(long, conflicts_with_all = ["tpm2", "pin", "pcrs", "new_pin_file"])]
    pub no_tpm2: bool,
    /// Create a slot for this age recipient or SSH public key; may be given several times
    #[arg(long = "recipient", value_name = "KEY")]
    pub recipients: Vec<String>,
    #[command(flatten)]
    pub enrolment: Enrolment,
    #[command(flatten)]
    pub place: Place,
    /// Largest size of a chunk file: a power of two from 1M to 16M
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = values::chunk_size)]
    pub chunk_size: ChunkSize,
    /// aes-256-gcm, or chacha20-poly1305 for machines without AES instructions
    #[arg(long, value_name = "NAME", default_value = "aes-256-gcm", value_parser = values::cipher)]
    pub cipher: Cipher,
    /// Accept a folder that is not empty; its contents are left unchanged
    #[arg(long)]
    pub force: bool,
}

/// Mount a volume
///
/// Returns once the mount answers; the filesystem then lives in the background.
#[derive(Debug, Parser)]
pub struct Mount {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Where its files are to appear: an existing folder
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
    /// Mount options, separated by commas, as in fstab; see cryptfs(5)
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
/// Returns once everything is on the backing folder's disk, so that it can be unplugged or mounted again. Where there is no
/// space for all of it, or it takes longer than --timeout says, the mount stays. Where the volume is in use elsewhere, that is
/// said, and by whom.
#[derive(Args, Debug)]
pub struct Umount {
    /// Give up what there is no space for
    #[arg(long)]
    pub discard: bool,
    /// Take the mount away although it is in use, and do not wait: who uses it keeps it until they are done
    #[arg(long)]
    pub lazy: bool,
    /// How many seconds to wait for the volume's daemon: until it has stored everything, and then until it has ended
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
    /// Unmount every volume of this user
    #[arg(long)]
    pub all: bool,
    /// Where the volume is mounted
    #[arg(
        value_name = "MOUNTPOINT",
        value_hint = ValueHint::DirPath,
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub mountpoint: Option<PathBuf>,
}

/// Make everything in a mount durable
///
/// Returns once all that was written so far, files that are still open included, is on the backing folder's disk. sync(1)
/// does not: the kernel does not tell a FUSE filesystem of it. fsync(2) of a file or folder does it for that one.
#[derive(Args, Debug)]
pub struct Sync {
    /// Where the volume is mounted
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
}

/// Show information about a volume; needs no secret
#[derive(Args, Debug)]
pub struct Info {
    /// The folder of a volume, or where it is mounted
    #[arg(value_name = "BACKING|MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub path: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Show what this device expects of a volume, and what it found damaged; needs no secret
    Status {
        /// The folder of the volume
        #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
        backing: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    Accept(Accept),
}

#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    List(Devices),
    /// Call this device so in a volume: other devices show it
    Rename {
        /// The folder of the volume
        #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
        backing: PathBuf,
        /// What to call it; the machine's name if this is never said. Only who can open the volume can read it
        #[arg(value_name = "LABEL", value_parser = values::device_label)]
        label: String,
        #[command(flatten)]
        place: Place,
    },
    Retire(Retire),
}

/// Show the devices that write to a volume
///
/// For each its id, when it last wrote, how many batches of changes wait in its journal to be stored in chunk files, and its
/// label. Of a device without a journal the root directory tells. Nothing is written.
#[derive(Args, Debug)]
pub struct Devices {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Take a device that will not come back out of a volume
///
/// Stores what its journal says in chunk files, then deletes that journal. It keeps the keys that it had: to lock it out,
/// remove its key slots and rotate the keys (`cryptfs key remove`, `cryptfs key rotate`). The volume must not be mounted.
#[derive(Args, Debug)]
pub struct Retire {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// The device's id, as `cryptfs device list` shows it
    #[arg(value_name = "DEVICE", value_parser = values::device)]
    pub device: DeviceId,
    /// Delete its journal even if it cannot be read, or something that it names has not arrived: that is lost
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Accept the present state of a volume
///
/// For a volume that was restored to an older state, whose owner key was replaced, or that was put into another one's
/// folder, on purpose. Shows the fingerprint of the owner key that was expected and of the one that is there, and lists
/// what is older than this device has seen it, or gone, and by how much; asks about both. The volume must not be mounted.
#[derive(Args, Debug)]
pub struct Accept {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Accept only the file or folder at this path in the volume, not what a folder contains
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub unlock: Unlock,
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
    /// Look at the volume, mount nothing
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
