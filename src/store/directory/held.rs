//! Space that is held, or kept back: files without a name, which the kernel frees whatever becomes of this process, and which
//! no sync client sees.

use crate::sys::files;
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is kept back is taken in pieces of so many bytes: btrfs gives nothing of an extent back but all of it.
const PIECE: u64 = 128 << 10;

pub struct Held {
    holds: Mutex<Holds>,
    /// And how many bytes it has.
    kept_back: Mutex<Option<(File, u64)>>,
}

enum Holds {
    Untried,
    File {
        file: File,
        bytes: u64,
    },
    /// There are no such files there, or they hold nothing: each write is a copy, or space is somebody else's affair.
    Never,
}

impl Held {
    /// `can_hold`: as [`crate::sys::filesystem::holds_space`].
    pub fn new(can_hold: bool) -> Held {
        let holds = if can_hold { Holds::Untried } else { Holds::Never };
        Held { holds: Mutex::new(holds), kept_back: Mutex::new(None) }
    }

    /// As [`crate::store::Store::hold`], on the filesystem of `folder`.
    ///
    /// # Errors
    ///
    /// fallocate(2)'s or ftruncate(2)'s; ENOSPC, EDQUOT.
    pub fn hold(&self, folder: &File, bytes: u64) -> io::Result<bool> {
        let mut holds = self.holds.lock();
        if matches!(*holds, Holds::Untried) {
            *holds = match files::make_unnamed(folder) {
                Ok(file) => Holds::File { file, bytes: 0 },
                Err(_) => Holds::Never,
            };
        }
        let Holds::File { file, bytes: before } = &mut *holds else { return Ok(false) };
        if bytes > *before {
            // Only what is new: tmpfs looks at every page that it is asked for.
            match files::allocate(file, *before..bytes) {
                Err(error) if is_unsupported(&error) => {
                    *holds = Holds::Never;
                    return Ok(false);
                }
                Err(error) => {
                    file.set_len(*before)?;
                    return Err(error);
                }
                Ok(()) => {}
            }
        } else {
            file.set_len(bytes)?;
        }
        *before = bytes;
        Ok(true)
    }

    /// As [`crate::store::Store::keep_back`], on the filesystem of `folder`.
    ///
    /// # Errors
    ///
    /// open(2)'s where there are no files without a name; those of [`Held::hold`] and pwrite(2).
    pub fn keep_back(&self, folder: &File, bytes: u64) -> io::Result<u64> {
        let mut kept = self.kept_back.lock();
        let (file, before) = match &mut *kept {
            Some((file, before)) => (file, before),
            none => {
                let (file, before) = none.insert((files::make_unnamed(folder)?, 0));
                (file, before)
            }
        };
        while *before < bytes {
            let end = bytes.min(*before + PIECE);
            let taken = match files::allocate(file, *before..end) {
                Err(error) if is_unsupported(&error) => {
                    file.write_all_at(&vec![0; (end - *before) as usize], *before)
                }
                taken => taken,
            };
            if let Err(error) = taken {
                file.set_len(*before)?;
                // As much as there is.
                return if *before > 0 { Ok(*before) } else { Err(error) };
            }
            *before = end;
        }
        if bytes < *before {
            file.set_len(bytes)?;
            *before = bytes;
        }
        Ok(*before)
    }
}

pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}
