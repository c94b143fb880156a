//! The flags of the commands that make a volume at home in the system: `cryptfs status`, `cryptfs unit`, and the helper that
//! umount(8) calls.

use super::values;
use clap::{ArgAction, Args, Parser, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// Show how this user's mounts are doing
///
/// For each mounted volume what is not stored yet, what is wrong, and what to do about it; its devices, last check and key
/// slots. Needs no secret, and waits for no daemon for longer than five seconds. Exits with 36 where something needs a
/// person, with 37 where something only has to arrive. Root sees the mounts of all users.
#[derive(Args, Debug)]
pub struct Status {
    /// Only of these mounts
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoints: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Look at one mount, which may take for ever
    #[arg(long, hide = true)]
    pub look: bool,
}

/// Write systemd units that mount a volume
///
/// Prints them, or installs them with --install. A service mounts the volume at boot, or at login with --user; with
/// --automount it is mounted when somebody first looks into the mountpoint. The volume is unmounted, with everything written
/// out, before its disk, the network or what --after names goes.
#[derive(Args, Debug)]
pub struct Unit {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Where its files are to appear
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    /// For this user's systemd, not the machine's. At login nobody can be asked for a passphrase yet: a TPM slot, -o
    /// passphrase-file= or CRYPTFS_ASKPASS is needed
    #[arg(long)]
    pub user: bool,
    /// Mount on first access, by a mount and an automount unit
    #[arg(long, conflicts_with = "user")]
    pub automount: bool,
    /// Unmount once nothing was asked for so long, such as 15min
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub idle: Option<Duration>,
    /// Unmount before the machine sleeps; what a user mounted, `systemctl enable cryptfs-lock@USER` does
    #[arg(long, conflicts_with_all = ["user", "automount"])]
    pub lock_on_sleep: bool,
    /// Start after UNIT and stop before it, such as a sync client's; may be given several times
    #[arg(long, value_name = "UNIT")]
    pub after: Vec<String>,
    /// Mount options, separated by commas, as in fstab; see cryptfs(5)
    #[arg(short = 'o', value_name = "OPTIONS", action = ArgAction::Append)]
    pub options: Vec<String>,
    /// Write the units to where systemd looks for them
    #[arg(long)]
    pub install: bool,
}

/// cryptfs's unmount helper, as umount(8) calls it
#[derive(Debug, Parser)]
#[command(name = "umount.cryptfs", version, disable_help_flag = true)]
pub struct UmountHelper {
    /// Where the volume is mounted
    pub target: PathBuf,
    /// Take the mount away although it is in use
    #[arg(short)]
    pub lazy: bool,
    /// The same, and whatever is asked of the daemon fails from now on
    #[arg(short)]
    pub force: bool,
    /// Accepted and without effect
    #[arg(short)]
    pub no_mtab: bool,
    /// Accepted and without effect
    #[arg(short)]
    pub verbose: bool,
    /// Accepted and without effect: read-only instead of unmounted
    #[arg(short)]
    pub read_only: bool,
    /// In another mount namespace, given as a path
    #[arg(short = 'N', value_name = "PATH")]
    pub namespace: Option<PathBuf>,
    /// Accepted and without effect: the type
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<String>,
}
