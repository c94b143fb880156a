//! Secrets that the kernel keeps for this user for a while (keyrings(7)).
//!
//! A key lies in the user's own keyring, where every process of that user can read it until it expires. Above: `cli`.

use std::ffi::CStr;
use std::io;
use std::time::Duration;

/// KEY_SPEC_PROCESS_KEYRING.
const PROCESS_KEYRING: i32 = -2;
/// KEY_SPEC_USER_KEYRING.
const USER_KEYRING: i32 = -4;
const SET_PERMISSIONS: i32 = 5;
const LINK: i32 = 8;
const UNLINK: i32 = 9;
const SEARCH: i32 = 10;
const READ: i32 = 11;
const SET_TIMEOUT: i32 = 15;
const INVALIDATE: i32 = 21;
/// All to who possesses the key; to the user looking, reading, writing, searching and setting attributes; nothing to others.
const PERMISSIONS: u32 = 0x3f2f_0000;

const KIND: &CStr = c"user";

/// Keeps a secret under a name, in place of what had that name, for the whole seconds of `duration` and at least one.
///
/// The key is made in the process keyring, which ends with the process, and gets its time before it is linked to the
/// user's: a new key can be limited by who possesses it only, and a process whose session keyring does not lead to the
/// user's keyring, such as a service of systemd's, possesses nothing in that.
///
/// # Errors
///
/// EDQUOT where this user's keys are too many; ENOSYS or EPERM where there are no keyrings, as in containers.
pub fn keep(name: &CStr, secret: &[u8], duration: Duration) -> io::Result<()> {
    // SAFETY: both strings end in NUL, and `secret` is as long as it says; the kernel copies all three.
    let key = checked(unsafe {
        libc::syscall(
            libc::SYS_add_key,
            KIND.as_ptr(),
            name.as_ptr(),
            secret.as_ptr(),
            secret.len(),
            PROCESS_KEYRING,
        )
    })?;
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1);
    let kept = control(SET_TIMEOUT, key, seconds as usize, 0, 0)
        .and_then(|_| control(SET_PERMISSIONS, key, PERMISSIONS as usize, 0, 0))
        .and_then(|_| control(LINK, key, USER_KEYRING as usize, 0, 0));
    let taken_out = control(UNLINK, key, PROCESS_KEYRING as usize, 0, 0);
    kept.and(taken_out).map(drop)
}

/// The secret of that name: fills `secret` up to its capacity.
///
/// # Errors
///
/// `NotFound` if there is none, or no more; `FileTooLarge` where it is longer than the capacity; else as for [`keep`].
pub fn find(name: &CStr, secret: &mut Vec<u8>) -> io::Result<()> {
    let key = search(name)?;
    let most = secret.capacity();
    secret.clear();
    secret.resize(most, 0);
    let length = control(READ, key, secret.as_mut_ptr() as usize, most, 0)? as usize;
    if length > most {
        secret.clear();
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    secret.truncate(length);
    Ok(())
}

/// Forgets it at once.
///
/// # Errors
///
/// `NotFound` if there is none of that name, or no more; else as for [`keep`].
pub fn forget(name: &CStr) -> io::Result<()> {
    control(INVALIDATE, search(name)?, 0, 0, 0).map(drop)
}

fn search(name: &CStr) -> io::Result<i32> {
    let found = control(SEARCH, USER_KEYRING, KIND.as_ptr() as usize, name.as_ptr() as usize, 0);
    let key = found.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOKEY | libc::EKEYEXPIRED | libc::EKEYREVOKED) => io::ErrorKind::NotFound.into(),
        _ => error,
    })?;
    Ok(key as i32)
}

/// keyctl(2). What the arguments mean depends on the operation; those that are addresses outlive the call.
fn control(operation: i32, key: i32, second: usize, third: usize, fourth: usize) -> io::Result<i64> {
    // SAFETY: only this file calls it: with addresses of strings that end in NUL and of a buffer of the length that follows.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, operation, key, second, third, fourth) };
    checked(done).map(i64::from)
}

fn checked(done: libc::c_long) -> io::Result<i32> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    const JOIN_SESSION_KEYRING: i32 = 1;

    #[test]
    fn a_secret_is_kept_for_its_time_and_no_longer() {
        keeps_for_its_time("usual");
    }

    /// As in a service of systemd's.
    #[test]
    fn so_it_is_where_the_session_does_not_lead_to_the_users_keyring() {
        // Of this thread only.
        let alone = thread::spawn(|| match control(JOIN_SESSION_KEYRING, 0, 0, 0, 0) {
            Ok(_) => keeps_for_its_time("alone"),
            Err(error) => assert!(is_missing(&error), "{error}"),
        });
        alone.join().unwrap();
    }

    /// A container may have no keyrings.
    fn is_missing(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
    }

    fn keeps_for_its_time(word: &str) {
        let name = std::ffi::CString::new(format!("cryptfs:test:{word}:{}", std::process::id())).unwrap();
        let read = || {
            let mut secret = Vec::with_capacity(64);
            find(&name, &mut secret).map(|()| secret)
        };
        match keep(&name, b"first", Duration::from_secs(600)) {
            Err(error) if is_missing(&error) => return,
            kept => kept.unwrap(),
        }
        assert_eq!(read().unwrap(), b"first");
        forget(&name).unwrap();
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::NotFound);
        keep(&name, &[7; 64], Duration::from_secs(1)).unwrap();
        assert_eq!(read().unwrap(), [7; 64]);
        let begun = Instant::now();
        while read().is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::yield_now();
        }
        keep(&name, &[7; 65], Duration::from_secs(1)).unwrap();
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        forget(&name).unwrap();
    }
}
