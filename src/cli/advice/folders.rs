//! Advice for folders that are to become a volume, or were given in the place of another.

use super::{Exit, Failure, failure, shown, system};
use std::io;
use std::path::Path;

/// A folder that a volume, or its key slots, are to be in cannot be made.
pub fn making_folder(folder: &Path, error: &io::Error) -> Failure {
    let at = shown(folder);
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            failure(Exit::Failed, format!("{at}: is not a folder. Choose another name."))
        }
        io::ErrorKind::PermissionDenied => {
            failure(Exit::Failed, format!("{at}: this user may make no folder there. Choose another place."))
        }
        _ => system(at, error),
    }
}

/// A volume is to be made in the folder of another.
pub fn in_another_volume(backing: &Path, other: &Path) -> Failure {
    failure(
        Exit::NotEmpty,
        format!(
            "{}: is in the folder of a volume, {}. Choose another folder, or insist with --force.",
            shown(backing),
            shown(other)
        ),
    )
}

/// The two folders of a mount or of a unit were given the other way round.
pub fn swapped(backing: &Path, mountpoint: &Path, is_unit: bool) -> Failure {
    let (at, other) = (shown(backing), shown(mountpoint));
    let meant = match is_unit {
        true => format!("`cryptfs unit {other:#} {at:#}`"),
        false => format!("`cryptfs mount {other:#} {at:#}`"),
    };
    failure(Exit::NotAVolume, format!("{at}: is not a cryptfs volume, but {other} is one: {meant}."))
}

pub fn not_empty(backing: &Path) -> Failure {
    failure(
        Exit::NotEmpty,
        format!("{}: is not empty. Choose another folder, or insist with --force.", shown(backing)),
    )
}

/// There are key slots and no header.
pub fn begun(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::NotEmpty,
        format!(
            "{at}: holds an incomplete volume without files. If the sync client is still downloading the rest, wait for \
             it; if an init was interrupted here, `cryptfs init --force {at:#}` starts over."
        ),
    )
}
