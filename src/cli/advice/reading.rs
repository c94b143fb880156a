//! What is said when a volume is read without a mount.

use super::{Exit, Failure, ONLY_A_PLACEHOLDER, escape, failure, shown};
use crate::chunk::Context;
use crate::volume::Error;
use std::path::Path;

/// Why something in a volume cannot be read, with the chunk file that it is about.
pub fn reading(context: &Context, error: &Error) -> String {
    match error {
        Error::Damaged(id, damage) => format!("{damage} ({})", context.file_name(*id).path()),
        Error::NotArrived(id) if context.has_placeholder(*id) => {
            format!("{} {ONLY_A_PLACEHOLDER}", context.file_name(*id).path())
        }
        Error::NotArrived(id) => format!("it has not arrived yet ({})", context.file_name(*id).path()),
        error => error.to_string(),
    }
}

pub fn unreadable(what: &str, why: &str) -> Failure {
    failure(
        Exit::Unreadable,
        format!(
            "{what}: cannot be read: {why}. Let the sync client finish, or restore that file from a copy."
        ),
    )
}

pub fn not_a_file(what: &str) -> Failure {
    failure(Exit::Failed, format!("{what}: is not a file. `cryptfs export` copies folders and all else."))
}

/// Something was told of, line by line.
pub fn some_unread(count: usize) -> Failure {
    failure(
        Exit::Unreadable,
        format!("{count} could not be read or copied as they should be; they are listed above."),
    )
}

pub fn read_beside_mount() -> String {
    "The volume is mounted: this shows what has been written into its folder so far. What changes while it is read may \
     show as damaged; older versions of files are not noticed as such."
        .to_owned()
}

pub fn unread_journal(why: &str) -> String {
    format!("A device's journal cannot be read, so that its newest changes may not show: {why}")
}

pub fn destination_not_empty(at: &Path) -> Failure {
    failure(
        Exit::NotEmpty,
        format!("{}: is not empty. Choose another folder, or go on with an export by --resume.", shown(at)),
    )
}

pub fn tar_to_terminal() -> Failure {
    failure(Exit::Usage, "A tar stream is not for a terminal: redirect it, or export into a folder.")
}

/// What is exported there would be plain beside what is encrypted.
pub fn export_into_itself(at: &Path) -> Failure {
    failure(
        Exit::Usage,
        format!(
            "{}: is in the volume's own folder, from which a sync client would take it along. Choose another folder.",
            shown(at)
        ),
    )
}

/// Where an import would put something, something is.
pub const IN_THE_WAY: &str = "not imported: the volume has that already. --resume goes on with an import; another folder is named as VOLUME:FOLDER";

pub fn import_of_itself(source: &Path) -> Failure {
    failure(
        Exit::Usage,
        format!("{}: is in the volume's own folder. Choose what is to be copied into it.", shown(source)),
    )
}

/// Whoever read the tar stream does so no more.
pub fn stream_closed() -> Failure {
    failure(Exit::Failed, "Standard output was closed before everything was exported.")
}

/// A path that is to be a folder of the volume, and is none.
pub fn no_folder_to_import_into(path: &[u8], error: &Error) -> Failure {
    let exit = if matches!(error, Error::NotDirectory) { Exit::NoSuchPath } else { Exit::Usage };
    failure(
        exit,
        format!("{}: {error}. Give a folder of the volume, or one that is to be made.", escape(path)),
    )
}
