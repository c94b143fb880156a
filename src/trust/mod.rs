//! What this device knows of a volume: its own name there, the owner key it expects and which slots it has seen go
//! (`keys`), the newest durable version of each chunk (`versions`), what was found damaged (`findings`), and what checks
//! left (`checks`).
//!
//! Lies outside of the backing folder, where whoever holds that folder cannot reach. Every small file is replaced whole,
//! so a crash leaves the old or the new one. Never cries wolf: what was not noted is not suspicious. Above: `cli`;
//! beside: the room `keys`, whose names it keeps.

mod checks;
mod findings;
mod keys;
mod tables;
mod versions;

pub use checks::LastCheck;
pub use findings::{Findings, Found};
pub use versions::{Versions, VersionsUnavailable};

use crate::chunk::DeviceId;
use crate::crypto;
use crate::keys::{VolumeId, hex};
use crate::sys::process;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest file here, in bytes.
const MAX_LENGTH: u64 = 1 << 20;

/// The memory of this device, or the lack of one.
#[derive(Clone)]
pub struct Trust {
    folder: Option<PathBuf>,
    device: DeviceId,
}

/// Why this device has no memory of the volume.
#[derive(Debug, thiserror::Error)]
pub enum TrustUnavailable {
    /// No home folder, hence no place for it.
    #[error("there is no home folder")]
    NoPlace,
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, #[source] io::Error),
    /// The file makes no sense.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
}

/// What cannot be noticed without a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlindSpot {
    /// That the volume was exchanged for another one.
    ReplacedVolume,
    /// That a removed key slot was brought back.
    ReturnedSlot,
    /// That an older state of the volume was brought back.
    Rollback,
}

type Result<T> = std::result::Result<T, TrustUnavailable>;

impl Trust {
    /// The memory in this user's state folder, made if there is none yet.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::NoPlace`] without a home folder, [`TrustUnavailable::Io`] where the folder cannot be made,
    /// [`TrustUnavailable::Damaged`] for files of another form.
    pub fn open(volume: VolumeId) -> Result<Trust> {
        Trust::open_in(&Trust::state().ok_or(TrustUnavailable::NoPlace)?, volume)
    }

    fn state() -> Option<PathBuf> {
        let variable = |name: &str| match name {
            // By the table of users where the variable is not set: mount(8) takes it away from its helpers.
            "HOME" => std::env::home_dir(),
            _ => std::env::var_os(name).map(PathBuf::from),
        };
        state_folder(variable, process::is_root())
    }

    /// Where this device would keep what it knows of a volume, to be looked at only.
    fn at(volume: VolumeId) -> Trust {
        let folder = Trust::state().map(|state| state.join("cryptfs").join(volume.to_string()));
        Trust { folder, device: DeviceId([0; 8]) }
    }

    /// The memory below this state folder.
    ///
    /// # Errors
    ///
    /// As [`Trust::open`].
    pub fn open_in(state: &Path, volume: VolumeId) -> Result<Trust> {
        let folder = state.join("cryptfs").join(volume.to_string());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| TrustUnavailable::Io(folder.clone(), error))?;
        let mut trust = Trust { folder: Some(folder), device: DeviceId(crypto::random()) };
        match trust.read("device", |line| hex::decode_array(line).map(DeviceId))?.first() {
            Some(&device) => trust.device = device,
            None => {
                trust.replace("device", &[hex::encode(&trust.device.0)])?;
                trust.sync_names()?;
            }
        }
        Ok(trust)
    }

    /// Makes the new folders durable: the volume, the program's, the state folder.
    fn sync_names(&self) -> Result<()> {
        let folders = self.folder.iter().flat_map(|folder| folder.ancestors().skip(1).take(2));
        for folder in folders {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| TrustUnavailable::Io(folder.to_owned(), error))?;
        }
        Ok(())
    }

    /// No memory: a device that is met for the first time, every time.
    pub fn ephemeral() -> Trust {
        Trust { folder: None, device: DeviceId(crypto::random()) }
    }

    /// The newest durable versions of the volume's chunks; `None` without a state folder. One program at a time.
    ///
    /// # Errors
    ///
    /// `InUse` while another program has them open, `Store` where the file is damaged or cannot be opened.
    pub fn versions(&self) -> std::result::Result<Option<Versions>, VersionsUnavailable> {
        self.folder.as_ref().map(|folder| Versions::open(&folder.join("versions"))).transpose()
    }

    /// Where chunk files of the volume may be pinned, by their second names.
    pub fn pins(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join("pins"))
    }

    /// Whether there is a state folder.
    pub fn has_state(&self) -> bool {
        self.folder.is_some()
    }

    /// What cannot be noticed.
    pub fn blind_spots(&self) -> &'static [BlindSpot] {
        match self.folder {
            Some(_) => &[],
            None => &[BlindSpot::ReplacedVolume, BlindSpot::ReturnedSlot, BlindSpot::Rollback],
        }
    }

    /// What people call this device: what they chose, else the machine's name.
    ///
    /// # Errors
    ///
    /// The state folder could not be read.
    pub fn label(&self) -> Result<String> {
        let chosen = self.read("label", |line| Some(line.to_owned()))?.pop();
        Ok(chosen.unwrap_or_else(process::host_name))
    }

    /// Calls this device so from now on: one line.
    ///
    /// # Errors
    ///
    /// [`TrustUnavailable::Io`] where the file cannot be replaced. Without a state folder nothing is noted, and that
    /// is no error.
    pub fn set_label(&self, label: &str) -> Result<()> {
        self.replace("label", &[label])
    }

    /// This device's name in the volume.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The lines of a file; none if it is not there.
    fn read<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let Some((path, bytes)) = self.read_bytes(name)? else { return Ok(Vec::new()) };
        let text = str::from_utf8(&bytes).ok();
        let parsed = text.and_then(|text| text.lines().map(parse).collect::<Option<Vec<T>>>());
        parsed.filter(|lines| !lines.is_empty()).ok_or(TrustUnavailable::Damaged(path))
    }

    /// The beginning of a file, and where it lies; `None` if it is not there.
    fn read_bytes(&self, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.join(name)) else { return Ok(None) };
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_LENGTH).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some((path, bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TrustUnavailable::Io(path, error)),
        }
    }

    /// Replaces a file as `replace` does; without lines there is none afterwards.
    fn replace_or_remove(&self, name: &str, lines: &[impl fmt::Display]) -> Result<()> {
        if !lines.is_empty() {
            return self.replace(name, lines);
        }
        let Some(path) = self.folder.as_ref().map(|folder| folder.join(name)) else { return Ok(()) };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TrustUnavailable::Io(path, error)),
            _ => Ok(()),
        }
    }

    /// Replaces a file durably and whole.
    fn replace(&self, name: &str, lines: &[impl fmt::Display]) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(name);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        replace_file(folder, &path, text.as_bytes()).map_err(|error| TrustUnavailable::Io(path, error))
    }
}

fn replace_file(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A name of its own: two programs at once must not write the same new file.
    let new = folder.join(format!(".new-{}", hex::encode(&crypto::random::<8>())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let replaced = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    replaced?;
    File::open(folder)?.sync_all()
}

/// `$XDG_STATE_HOME` if it is absolute, else /var/lib for root and ~/.local/state for others.
fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>, root: bool) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| match root {
        true => Some("/var/lib".into()),
        false => absolute("HOME").map(|home| home.join(".local/state")),
    })
}

#[cfg(test)]
mod tests;
