//! What checks and repairs leave here: when the last check was, the findings that their owner knows of, and copies of
//! chunk files that a repair replaced.

use super::{Result, Trust, TrustUnavailable, VolumeId, replace_file};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// When a volume was checked, and how that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCheck {
    /// Seconds since 1970.
    pub when: u64,
    /// All content was read, too.
    pub data: bool,
    /// Findings of damage that were not known, and of what had not arrived.
    pub damaged: usize,
    pub waiting: usize,
}

impl Trust {
    /// Findings of a check that its owner knows of, and nothing can be done about. There may be as many as there are
    /// chunk files.
    ///
    /// # Errors
    ///
    /// The list could not be read.
    pub fn settled(&self) -> Result<Vec<String>> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.join("settled")) else {
            return Ok(Vec::new());
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(TrustUnavailable::Io(path, error)),
        }
    }

    /// Notes which these are from now on.
    ///
    /// # Errors
    ///
    /// The list could not be written.
    pub fn settle(&self, findings: &[String]) -> Result<()> {
        self.replace_or_remove("settled", findings)
    }

    /// Keeps a copy of a chunk file that is about to be replaced, beside those of earlier times; answers where.
    ///
    /// # Errors
    ///
    /// The copy could not be written.
    pub fn keep_copy(&self, name: &str, bytes: &[u8]) -> Result<Option<PathBuf>> {
        let Some(folder) = self.folder.as_ref().map(|folder| folder.join("replaced")) else {
            return Ok(None);
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            |error| TrustUnavailable::Io(path, error)
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        let names = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}.{n}") });
        let path = names.map(|name| folder.join(name)).find(|path| !path.exists()).unwrap_or_default();
        replace_file(&folder, &path, bytes).map_err(failed(&path))?;
        Ok(Some(path))
    }

    /// Notes that the volume was checked.
    ///
    /// # Errors
    ///
    /// The note could not be written.
    pub fn note_check(&self, check: LastCheck) -> Result<()> {
        let LastCheck { when, data, damaged, waiting } = check;
        self.replace("checked", &[format!("{when} {} {damaged} {waiting}", u8::from(data))])
    }

    /// When a volume was checked last on this device.
    ///
    /// # Errors
    ///
    /// The note could not be read, or is damaged.
    pub fn last_check(volume: VolumeId) -> Result<Option<LastCheck>> {
        let parse = |line: &str| {
            let mut numbers = line.split(' ').map(|word| word.parse::<u64>().ok());
            let mut next = || numbers.next().flatten();
            let (when, data, damaged, waiting) = (next()?, next()?, next()?, next()?);
            Some(LastCheck { when, data: data == 1, damaged: damaged as usize, waiting: waiting as usize })
        };
        Ok(Trust::at(volume).read("checked", parse)?.first().copied())
    }
}
