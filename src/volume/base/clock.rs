//! The time as the kernel stamps it.

use crate::sys::clock;
use crate::volume::format::kinds::Timestamp;

impl Timestamp {
    /// By the clock that the kernel stamps files with. It ticks some hundred times a second: by a finer one a file would
    /// be born after the kernel says that it was written.
    pub fn now() -> Timestamp {
        let (seconds, nanoseconds) = clock::coarse();
        Timestamp { seconds, nanoseconds }
    }
}
