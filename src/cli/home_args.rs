//! The flags of the commands that look after mounts: `cryptfs status`.

use clap::{Args, ValueHint};
use std::path::PathBuf;

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
