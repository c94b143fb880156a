//! Pins: second names, outside of the backing folder, of chunk files that a sync client may replace. A pinned file lives on
//! with all that was written to it.

use super::{FileName, StoreFile};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// One pinned file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinName {
    /// The chunk file that it was when it was pinned.
    pub of: FileName,
    /// 0: of the version that this device works on. Else one that lost its place before that was written to.
    pub lost: u32,
}

/// What the pin of a chunk file is to the file that has its name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    Absent,
    /// The same file.
    InPlace,
    /// Another file has the name, or none.
    Displaced,
}

/// Where pins are kept. As durable as names in the backing folder after `Store::sync_all`.
pub trait Pins: Send + Sync {
    /// Pins the file that has this name now; leaves a pin that there is. False: files cannot be pinned here.
    ///
    /// # Errors
    ///
    /// `NotFound` without the file; `InvalidData` where the name has something else; else link(2)'s. That files
    /// cannot be pinned here is no error.
    fn pin(&self, name: FileName) -> io::Result<bool>;
    /// Whether files can be pinned here, as far as is known.
    fn can_pin(&self) -> bool;
    /// What the pin of a chunk file is now to the file that has its name.
    ///
    /// # Errors
    ///
    /// statx(2)'s; a pin or file that is missing is no error.
    fn pinned_as(&self, name: FileName) -> io::Result<Pinned>;
    /// All pins, those of one file together.
    ///
    /// # Errors
    ///
    /// That of reading the folder of pins.
    fn all_pins(&self) -> io::Result<Vec<PinName>>;
    /// Opens a pinned file as [`Store::open`](super::Store::open) does.
    ///
    /// # Errors
    ///
    /// `NotFound`; else as for [`Store::open`](super::Store::open).
    fn open_pin(&self, pin: PinName) -> io::Result<Arc<dyn StoreFile>>;
    /// Removes a pin. Does not complain about one that is not there.
    ///
    /// # Errors
    ///
    /// unlink(2)'s.
    fn unpin(&self, pin: PinName) -> io::Result<()>;
    /// What is pinned lost its place for good: its name is free for another pin, and what is written to the file that is in
    /// place from now on is not written to it. Does nothing without one.
    ///
    /// # Errors
    ///
    /// ENOSPC, EDQUOT for the copy; EMLINK where a thousand have lost their place; else that of copying or renaming.
    /// The pin stays then, perhaps beside a copy.
    fn lose_pin(&self, name: FileName) -> io::Result<()>;
    /// The same at once, without a copy: what is written to the file that is in place is written to it.
    ///
    /// # Errors
    ///
    /// EMLINK, as for [`Pins::lose_pin`]; else rename(2)'s.
    fn keep_pin(&self, name: FileName) -> io::Result<()>;
    /// Puts the pinned file in the place of the one that has its name, which is then pinned as one that lost its place; at no
    /// moment there is none. The pinned file itself is pinned no more. Returns the pin of what was replaced.
    ///
    /// # Errors
    ///
    /// `NotFound` without the pin; EMLINK, as for [`Pins::lose_pin`]; else link(2)'s or rename(2)'s. Nothing is
    /// replaced then, but another pin of the file may be left.
    fn put_back(&self, pin: PinName) -> io::Result<Option<PinName>>;
    /// For how long its file has had the names that it has.
    ///
    /// # Errors
    ///
    /// `NotFound`; else statx(2)'s.
    fn age_of(&self, pin: PinName) -> io::Result<Duration>;
}
