//! Puts the layers together: keys and folder make a context, a context a volume, a volume a filesystem.

use super::advice::{self, Failure};
use crate::chunk::{Context, DeviceId};
use crate::fs::{self, Filesystem};
use crate::keys::Opened;
use crate::store::directory::Directory;
use crate::volume::{self, Volume};
use std::fs::metadata;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Chunk files held open at most.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(512).unwrap();

/// What a mount decides of a filesystem.
pub struct Choices {
    pub read_only: bool,
    pub filesystem: fs::Options,
}

/// Makes the root directory of a new volume; it belongs to whom the backing folder belongs.
pub fn format(backing: &Path, opened: &Opened, device: DeviceId) -> Result<(), Failure> {
    let context = context(backing, opened, device, false)?;
    let owner = metadata(backing).map_err(|error| advice::system(backing.display(), &error))?;
    Volume::format(&context, opened.header.chunk_size.bytes().into(), owner.uid(), owner.gid())
        .map_err(|error| advice::volume(backing, &error))
}

/// The filesystem of a volume; its background work has started.
pub fn filesystem(
    backing: &Path,
    opened: &Opened,
    device: DeviceId,
    choices: &Choices,
) -> Result<Filesystem, Failure> {
    let volume = volume(backing, opened, device, choices.read_only)?;
    volume.start();
    Filesystem::new(volume, choices.filesystem).map_err(|_| advice::no_root(backing))
}

/// The volume, with nothing in the background.
pub fn volume(
    backing: &Path,
    opened: &Opened,
    device: DeviceId,
    read_only: bool,
) -> Result<Arc<Volume>, Failure> {
    let context = context(backing, opened, device, read_only)?;
    let chunk_size = opened.header.chunk_size.bytes().into();
    let options = volume::Options { chunk_size, read_only, open_files: OPEN_FILES };
    Volume::open(context, options).map_err(|error| advice::volume(backing, &error))
}

fn context(
    backing: &Path,
    opened: &Opened,
    device: DeviceId,
    read_only: bool,
) -> Result<Arc<Context>, Failure> {
    let store =
        Directory::open(backing, read_only).map_err(|error| advice::system(backing.display(), &error))?;
    let keyring = &opened.keyring;
    let (cipher, names, content) = (opened.header.cipher, keyring.name_key(), keyring.content_roots());
    Ok(Arc::new(Context::new(Arc::new(store), device, cipher, &names, content)))
}
