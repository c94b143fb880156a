//! Advice for folders in which a volume was looked for, and none is.

use super::{Exit, Failure, failure, shown};
use crate::cli::asked;
use crate::cli::mount::LOCK;
use crate::mount;
use crate::trust::Trust;
use std::path::{Path, PathBuf};

/// What a volume's folder has beside its header.
const PARTS: [&str; 3] = ["chunks", "journals", "keys"];

/// There is such a folder, without a header in it. A new volume is advised where it would be in nobody's way only.
pub fn not_a_volume(folder: &Path) -> Failure {
    let at = shown(folder);
    let told = if let Some(volume) = mounted_from(folder) {
        let volume = shown(&volume);
        format!(
            "is in the mount of {volume}, and not where the volume is stored. Give that folder: {volume}."
        )
    } else if let Some(volume) = volume_above(folder) {
        let volume = shown(&volume);
        format!("is a part of the volume in {volume}. Give that folder: {volume}.")
    } else if let Some(volume) = volume_in(folder) {
        format!("is not a cryptfs volume, but {} in it is one. Give that folder.", shown(&volume))
    } else if PARTS.iter().any(|part| holds_something(&folder.join(part))) {
        "lacks cryptfs.json, without which a volume cannot be opened. Let the sync client finish, or restore that file from \
         a copy or from the provider's history; it never changes."
            .to_owned()
    } else if is_known(folder) {
        "there was a volume when this device last looked, and now there is none. If it lies on a stick, a disk or a server, \
         connect that first; else let the sync client finish, or restore the folder from a copy."
            .to_owned()
    } else if let Some(volume) = std::path::absolute(folder).ok().and_then(|folder| asked::in_fstab(&folder))
    {
        let volume = shown(&volume);
        format!(
            "fstab mounts {volume} there, which is not mounted now: `mount {at:#}`. Or give its folder: {volume}."
        )
    } else if holds_something(folder) {
        "is not a cryptfs volume: it has no cryptfs.json. Give the folder that a volume is stored in; a new one needs an empty \
         folder: `cryptfs init FOLDER`."
            .to_owned()
    } else {
        format!(
            "is not a cryptfs volume: it is empty. Where one is mounted at times, give the folder that it is stored in; \
             `cryptfs init {at:#}` makes a new one."
        )
    };
    failure(Exit::NotAVolume, format!("{at}: {told}"))
}

/// There is no such folder, or it cannot be opened.
pub fn no_folder(path: &Path) -> Failure {
    let at = shown(path);
    let is_volume = |folder: &&Path| !folder.as_os_str().is_empty() && folder.join(LOCK).exists();
    let volume = path.ancestors().skip(1).find(is_volume);
    if path.is_dir() {
        return super::shut(path);
    }
    if path.exists() {
        let volume = volume.map_or_else(String::new, |volume| format!(": {}", shown(volume)));
        let text = format!("{at}: is not a folder. Give the folder of the volume{volume}.");
        return failure(Exit::NotAVolume, text);
    }
    let help = match volume.and_then(|volume| Some((volume, path.strip_prefix(volume).ok()?))) {
        Some((volume, inside)) => {
            format!("What is in the volume is named behind a colon: {}:{}.", shown(volume), shown(inside))
        }
        None if is_known(path) => {
            "There was a volume when this device last looked. If it lies on a stick, a disk or a server, connect that \
             first."
                .to_owned()
        }
        None => format!(
            "If it lies on a stick or a server, connect that first. `cryptfs init {at:#}` makes a new volume."
        ),
    };
    failure(Exit::NotAVolume, format!("{at}: there is no such folder. {help}"))
}

/// The backing folder of the mount that this folder is in.
fn mounted_from(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    let found = folder.ancestors().find_map(|folder| mount::find(folder).ok().flatten())?;
    Some(found.entry().source.clone())
}

/// The volume that this folder is in.
fn volume_above(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().skip(1).find(|above| above.join(LOCK).exists()).map(Path::to_owned)
}

/// The first volume among what lies in a folder, of which no more is looked at than a person would.
fn volume_in(folder: &Path) -> Option<PathBuf> {
    let inside = folder.read_dir().ok()?.flatten().take(1000).map(|entry| entry.path());
    inside.filter(|path| path.join(LOCK).exists()).min()
}

fn holds_something(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut inside| inside.next().is_some())
}

/// Whether this device has found a volume there.
fn is_known(folder: &Path) -> bool {
    std::path::absolute(folder).is_ok_and(|folder| Trust::places_of_all().contains(&folder))
}
