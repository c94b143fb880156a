//! Puts the layers together: keys and folder make a context, a context a volume, a volume a filesystem.

use super::advice::{self, Failure};
use super::ledger::Ledger;
use crate::chunk::{Context, Forgetful, ReadOnly, Recall};
use crate::fs::{self, Filesystem};
use crate::keys::Opened;
use crate::store::directory::Directory;
use crate::sys::daemon::{expect_open_files, raise_open_files, share_heaps};
use crate::trust::Trust;
use crate::volume::{self, Reader, Volume};
use std::fs::metadata;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Chunk files held open at most, where the process may open many more.
const OPEN_FILES: u64 = 1024;
/// Descriptors for everything else: the mount, the folder, the lock, folders that are synced.
const OTHER_FILES: u64 = 32;

/// What a mount decides of a filesystem.
pub struct Choices {
    pub read_only: bool,
    /// Bytes of decrypted blocks that are kept, where somebody chose.
    pub cache: Option<usize>,
    pub filesystem: fs::Options,
}

/// Makes the root directory of a new volume; it belongs to whom the backing folder belongs.
///
/// # Errors
///
/// `Exit::BadVolume` where the volume cannot be written; `Exit::Failed` where the folder cannot be opened, or this
/// device's record of the volume not be read.
pub fn format(backing: &Path, opened: &Opened, trust: &Trust) -> Result<(), Failure> {
    let context = context(backing, opened, trust, remembered(trust), false)?;
    let owner = metadata(backing).map_err(|error| advice::system(backing.display(), &error))?;
    Volume::format(&context, opened.header.chunk_size.bytes().into(), owner.uid(), owner.gid())
        .map_err(|error| advice::volume(backing, &error))
}

/// The filesystem of a volume; its background work has started.
///
/// # Errors
///
/// As for [`open`], the root directory included; `Exit::Failed` as for [`format()`].
pub fn filesystem(
    backing: &Path,
    opened: &Opened,
    trust: &Trust,
    choices: &Choices,
) -> Result<Filesystem, Failure> {
    let volume = volume(backing, opened, trust, choices.read_only)?;
    Ledger::open(backing, trust, &volume);
    choices.cache.inspect(|bytes| volume.keep_blocks(*bytes));
    volume.start().map_err(|error| advice::volume(backing, &error))?;
    Filesystem::new(volume, choices.filesystem).map_err(|_| advice::no_root(backing))
}

/// The volume, with nothing in the background.
///
/// # Errors
///
/// As for [`open`]; `Exit::Failed` as for [`format()`].
pub fn volume(
    backing: &Path,
    opened: &Opened,
    trust: &Trust,
    read_only: bool,
) -> Result<Arc<Volume>, Failure> {
    let context = context(backing, opened, trust, remembered(trust), read_only)?;
    open(backing, opened, context, read_only, !trust.has_state())
}

/// The volume as it is, not held against what this device remembers of it, to be looked at only.
///
/// # Errors
///
/// As for [`open`]; `Exit::Failed` as for [`format()`].
pub fn unquestioned(backing: &Path, opened: &Opened, trust: &Trust) -> Result<Arc<Volume>, Failure> {
    open(backing, opened, context(backing, opened, trust, Arc::new(Forgetful), true)?, true, true)
}

/// A reader of the volume, which holds it against what this device remembers of it and notes nothing; and what of its
/// journals cannot be read.
///
/// # Errors
///
/// `Exit::BadVolume` where the folder cannot be read; `Exit::Failed` as for [`format()`].
pub fn reader(
    backing: &Path,
    opened: &Opened,
    trust: &Trust,
    recall: Arc<dyn Recall>,
) -> Result<(Reader, Vec<volume::Error>), Failure> {
    let context = context(backing, opened, trust, Arc::new(ReadOnly(recall)), true)?;
    let reader = Reader::new(context, opened.header.chunk_size.bytes().into());
    reader.with_journals().map_err(|error| advice::volume(backing, &error))
}

/// What a repair works with before the volume can be opened, and opening it then.
///
/// # Errors
///
/// `Exit::Failed` as for [`format()`].
pub fn to_repair(
    backing: &Path,
    opened: &Opened,
    trust: &Trust,
    recall: Arc<dyn Recall>,
) -> Result<Arc<Context>, Failure> {
    context(backing, opened, trust, recall, false)
}

/// Opens the volume that a context is of. `stateless`: this device will not be known again.
///
/// # Errors
///
/// `Exit::RolledBack` where it is older than this device has seen it; `Exit::BadVolume` where it is damaged, has not
/// arrived, or the folder fails.
pub fn open(
    backing: &Path,
    opened: &Opened,
    context: Arc<Context>,
    read_only: bool,
    stateless: bool,
) -> Result<Arc<Volume>, Failure> {
    share_heaps();
    let chunk_size = opened.header.chunk_size.bytes().into();
    let options = volume::Options { chunk_size, read_only, open_files: open_files(), stateless };
    Volume::open(context.clone(), options).map_err(|error| match error {
        volume::Error::NotArrived(id) if context.has_placeholder(id) => {
            advice::opening_placeholder(backing, &context.file_name(id).path())
        }
        error => advice::volume(backing, &error),
    })
}

/// What may be open, half as much again being what waits to be written.
fn open_files() -> NonZeroUsize {
    let allowed = raise_open_files().unwrap_or(OPEN_FILES);
    let chunks = (allowed.saturating_sub(OTHER_FILES) / 2).clamp(8, OPEN_FILES);
    if let Err(error) = expect_open_files((OTHER_FILES + chunks + chunks / 2).min(allowed)) {
        log::debug!("the first files will be opened slowly: {error}");
    }
    NonZeroUsize::new(chunks as usize).expect("it is eight at least")
}

fn context(
    backing: &Path,
    opened: &Opened,
    trust: &Trust,
    recall: Arc<dyn Recall>,
    read_only: bool,
) -> Result<Arc<Context>, Failure> {
    let mut store =
        Directory::open(backing, read_only).map_err(|error| advice::system(backing.display(), &error))?;
    if let Some(pins) = trust.pins() {
        store.pin_in(&pins).unwrap_or_else(|error| log::warn!("{}", advice::not_pinned(&pins, &error)));
    }
    let keyring = &opened.keyring;
    let (cipher, names, content) = (opened.header.cipher, keyring.name_key(), opened.content_roots());
    let context = Context::new(Arc::new(store), trust.device(), cipher, &names, content);
    let label = trust.label().map_err(|error| advice::state(&error))?;
    Ok(Arc::new(context.labelled(label).remembering(recall)))
}

/// What this device remembers of the volume's chunks; nothing, and said so, where that cannot be had.
pub fn remembered(trust: &Trust) -> Arc<dyn Recall> {
    match trust.versions() {
        Ok(Some(versions)) => Arc::new(versions),
        Ok(None) => Arc::new(Forgetful),
        Err(error) => {
            log::warn!("older versions of files cannot be detected: {error}");
            Arc::new(Forgetful)
        }
    }
}
