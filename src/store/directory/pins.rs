//! Pins as hard links, in a folder of the same filesystem.

use super::{Directory, c_path};
use crate::store::folder::{Folder, split};
use crate::store::{Area, FileName, PinName, Pinned, Pins, StoreFile};
use crate::sys::files::{self, Kind, OFlags};
use data_encoding::HEXLOWER;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Numbers that are tried for a pin that lost its place.
const LOST_MOST: u32 = 1000;

pub(super) struct PinFolder {
    /// The pins, by their names: opened and looked at as chunk files are.
    pins: Directory,
    backing: Arc<Folder>,
    /// No file can have a second name here.
    is_refused: AtomicBool,
}

impl Directory {
    /// Pins files in this folder, which has to be on the filesystem of the backing folder and is made if need be. Of what
    /// is read-only nothing is pinned.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or opened.
    pub fn pin_in(&mut self, folder: &Path) -> io::Result<()> {
        if !self.read_only {
            match std::fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            let (pins, backing) = (Directory::open(folder, false)?, self.folder.clone());
            self.pins = Some(Box::new(PinFolder { pins, backing, is_refused: AtomicBool::new(false) }));
        }
        Ok(())
    }
}

impl PinFolder {
    fn root(&self) -> &std::fs::File {
        self.pins.folder.root()
    }

    /// The first name that is free for a file that lost its place.
    fn free(&self, of: FileName) -> io::Result<PinName> {
        for lost in 1..LOST_MOST {
            let pin = PinName { of, lost };
            match files::status_of(self.root(), &path(pin)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pin),
                found => drop(found?),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EMLINK))
    }
}

impl Pins for PinFolder {
    fn pin(&self, name: FileName) -> io::Result<bool> {
        if self.is_refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let (file, pin) = (c_path(name), path(PinName { of: name, lost: 0 }));
        let (parent, file) = split(&file);
        let parent = self.backing.open_folder(&parent, OFlags::PATH)?;
        match files::link(&parent, file, self.root(), &pin) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::EPERM | libc::EOPNOTSUPP)) =>
            {
                self.is_refused.store(true, Ordering::Relaxed);
                log::warn!(
                    "versions of large files that a sync client replaces cannot be kept: no file of the backing folder can \
                     have a second name in the state folder ({error})"
                );
                return Ok(false);
            }
            linked => linked?,
        }
        if files::status_of(self.root(), &pin)?.kind != Kind::Regular {
            files::unlink(self.root(), &pin)?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(true)
    }

    fn can_pin(&self) -> bool {
        let devices =
            [self.root(), self.backing.root()].map(|folder| folder.metadata().map(|found| found.dev()));
        let is_one = matches!(devices, [Ok(pins), Ok(backing)] if pins == backing);
        is_one && !self.is_refused.load(Ordering::Relaxed)
    }

    fn pinned_as(&self, name: FileName) -> io::Result<Pinned> {
        let pinned = match files::status_of(self.root(), &path(PinName { of: name, lost: 0 })) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pinned::Absent),
            pinned => pinned?,
        };
        match files::status_of(self.backing.root(), &c_path(name)) {
            Ok(there) if there.identity == pinned.identity => Ok(Pinned::InPlace),
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Err(error),
            _ => Ok(Pinned::Displaced),
        }
    }

    fn all_pins(&self) -> io::Result<Vec<PinName>> {
        let mut found = Vec::new();
        self.pins.folder.visit(c".", &mut |name, kind| {
            found.extend(parse(name).filter(|_| kind == Kind::Regular));
            Ok(())
        })?;
        found.sort_unstable();
        Ok(found)
    }

    fn open_pin(&self, pin: PinName) -> io::Result<Arc<dyn StoreFile>> {
        let path = path(pin);
        let opened = self.pins.folder.open_file(&path, OFlags::RDONLY)?;
        Ok(self.pins.file(path, opened, false))
    }

    fn unpin(&self, pin: PinName) -> io::Result<()> {
        self.pins.folder.unlink(&path(pin))
    }

    fn lose_pin(&self, name: FileName) -> io::Result<()> {
        let (own, lost) = (PinName { of: name, lost: 0 }, path(self.free(name)?));
        match self.pinned_as(name)? {
            Pinned::Absent => Ok(()),
            Pinned::Displaced => files::rename(self.root(), &path(own), &lost),
            Pinned::InPlace => {
                let (mut original, _) = self.pins.folder.open_file(&path(own), OFlags::RDONLY)?;
                let (mut copy, _) = self.pins.folder.create_file(&lost)?;
                io::copy(&mut original, &mut copy)?;
                copy.sync_all()?;
                self.unpin(own)
            }
        }
    }

    fn keep_pin(&self, name: FileName) -> io::Result<()> {
        let own = path(PinName { of: name, lost: 0 });
        match files::rename(self.root(), &own, &path(self.free(name)?)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    fn put_back(&self, pin: PinName) -> io::Result<Option<PinName>> {
        let (file, lost) = (c_path(pin.of), self.free(pin.of)?);
        let (parent, file) = split(&file);
        let parent = self.backing.open_folder(&parent, OFlags::PATH)?;
        let kept = match files::link(&parent, file, self.root(), &path(lost)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            linked => linked.map(|()| Some(lost))?,
        };
        files::move_to(self.root(), &path(pin), &parent, file).map(|()| kept)
    }

    fn age_of(&self, pin: PinName) -> io::Result<Duration> {
        files::age_of(self.root(), &path(pin))
    }
}

/// The digits of the chunk file's name, and a number if it lost its place.
fn path(pin: PinName) -> CString {
    let digits = HEXLOWER.encode(&pin.of.bytes);
    let name = if pin.lost == 0 { digits } else { format!("{digits}.{}", pin.lost) };
    CString::new(name).expect("digits")
}

fn parse(name: &CStr) -> Option<PinName> {
    let name = name.to_str().ok()?;
    let (digits, lost) =
        name.split_once('.').map_or(Some((name, 0)), |(digits, lost)| Some((digits, lost.parse().ok()?)))?;
    let bytes = HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()?;
    Some(PinName { of: FileName { area: Area::Chunks, bytes }, lost })
}
