//! The flags of the commands that read a volume without mounting it.

use super::args::Unlock;
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

/// Which volume, and what in it.
#[derive(Args, Clone, Debug)]
pub struct Where {
    /// The folder of the volume, and a path in it behind a colon; without one, the volume's root
    #[arg(value_name = "VOLUME[:PATH]", value_hint = ValueHint::DirPath)]
    pub target: OsString,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// List what is in a volume, without mounting it
///
/// What cannot be read is listed at the end. Nothing is written. Beside a mount it shows what has been written into the
/// backing folder, which is some seconds behind what the mount shows.
#[derive(Args, Debug)]
pub struct Ls {
    #[command(flatten)]
    pub at: Where,
    /// Show mode, links, owner, group, size and time
    #[arg(short = 'l')]
    pub long: bool,
    /// List sub-folders too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Show a volume's folders and files as a tree, without mounting it
#[derive(Args, Debug)]
pub struct Tree {
    #[command(flatten)]
    pub at: Where,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Write the content of a file in a volume to standard output, without mounting it
///
/// Ends at the first place that cannot be read: `cryptfs export` goes on behind it.
#[derive(Args, Debug)]
pub struct Cat {
    #[command(flatten)]
    pub at: Where,
}

/// Show all that is known of a file or folder in a volume, without mounting it
#[derive(Args, Debug)]
pub struct Stat {
    #[command(flatten)]
    pub at: Where,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show which chunk files a path has, or which path a chunk file belongs to, without mounting it
///
/// To bring a single file back out of a provider's history, or to know whose a chunk file is.
#[derive(Args, Debug)]
pub struct Locate {
    #[command(flatten)]
    pub at: Where,
    /// Show the path that this chunk file, or a sync client's copy of one, belongs to; it need not be there any more
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub chunk: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Add up the sizes of files in a volume, without mounting it
///
/// In bytes of content; a file with several names counts once.
#[derive(Args, Debug)]
pub struct Du {
    #[command(flatten)]
    pub at: Where,
    /// Show the sum only
    #[arg(short = 's', long)]
    pub summarize: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Copy a volume, or a part of it, out of it, without mounting it
///
/// All metadata goes with it, as far as the destination and this user's rights allow. Of a file of which a part cannot be
/// read the rest is written, with zeros in between, and the time of the export instead of its own; all that is lost is
/// listed at the end.
#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    pub at: Where,
    /// A folder, which is made if it does not exist; - writes a tar stream to standard output
    #[arg(value_name = "DEST", value_hint = ValueHint::DirPath)]
    pub destination: PathBuf,
    /// Go on with an export that was interrupted: files that are there, of the same size and time, are left alone
    #[arg(long)]
    pub resume: bool,
}

/// Copy a folder or a file into a volume, without mounting it
///
/// What is in a folder goes into the folder of that PATH, a file goes into it under its own name; folders on the way are
/// made. All metadata goes with it. What is there already stays, and is listed.
#[derive(Args, Debug)]
pub struct Import {
    /// A folder or a file
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: PathBuf,
    /// The folder of the volume, and a path in it behind a colon; without one, the volume's root
    #[arg(value_name = "VOLUME[:PATH]", value_hint = ValueHint::DirPath)]
    pub target: OsString,
    #[command(flatten)]
    pub unlock: Unlock,
    /// Go on with an import that was interrupted: what is there, of the same size and time, is left alone
    #[arg(long)]
    pub resume: bool,
}

/// Check a volume, without mounting it, and repair it
///
/// Authenticates every root, directory, table and link, with --data every block, and holds names and inodes against each
/// other. Ends with 0 if nothing is wrong, with 3 if everything was repaired, with 4 if something is damaged, with 5 if
/// nothing is but something has not arrived yet.
#[derive(Args, Debug)]
pub struct Check {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
    /// Read and authenticate all content, too
    #[arg(long)]
    pub data: bool,
    /// Print one JSON object a line, the last one a summary
    #[arg(long)]
    pub json: bool,
    /// Show what can be repaired, ask, and repair it; the volume must not be mounted
    ///
    /// Every change is journalled, as those of a mount are: a repair that was interrupted is run again. Nothing is deleted
    /// from the backing folder, where other devices may have it whole.
    #[arg(long)]
    pub repair: bool,
    /// Do not ask
    #[arg(long, requires = "repair")]
    pub yes: bool,
    /// Take what is not there for lost: the sync client has finished, and no other device has it
    #[arg(long, requires = "repair")]
    pub missing_is_lost: bool,
    /// Take what is older than it was on this device as it is, as `cryptfs trust accept` does
    #[arg(long, requires = "repair")]
    pub accept_older: bool,
    /// Tell of what an earlier repair could do nothing about, too
    #[arg(long)]
    pub all: bool,
}
