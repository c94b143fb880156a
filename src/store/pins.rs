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
    fn pin(&self, name: FileName) -> io::Result<bool>;
    /// Whether files can be pinned here, as far as is known.
    fn can_pin(&self) -> bool;
    fn pinned_as(&self, name: FileName) -> io::Result<Pinned>;
    /// All pins, those of one file together.
    fn all_pins(&self) -> io::Result<Vec<PinName>>;
    fn open_pin(&self, pin: PinName) -> io::Result<Arc<dyn StoreFile>>;
    /// Does not complain about one that is not there.
    fn unpin(&self, pin: PinName) -> io::Result<()>;
    /// What is pinned lost its place for good: its name is free for another pin, and what is written to the file that is in
    /// place from now on is not written to it. Does nothing without one.
    fn lose_pin(&self, name: FileName) -> io::Result<()>;
    /// The same at once, without a copy: what is written to the file that is in place is written to it.
    fn keep_pin(&self, name: FileName) -> io::Result<()>;
    /// Puts the pinned file in the place of the one that has its name, which is then pinned as one that lost its place; at no
    /// moment there is none. The pinned file itself is pinned no more. Returns the pin of what was replaced.
    fn put_back(&self, pin: PinName) -> io::Result<Option<PinName>>;
    /// For how long its file has had the names that it has.
    fn age_of(&self, pin: PinName) -> io::Result<Duration>;
}
