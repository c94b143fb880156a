//! Fuzzing of the words that the command line and /etc/fstab bring.

use super::mount_options::MountOptions;
use super::values;

/// A list of mount options, and the values of flags.
pub fn options(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for sloppy in [false, true] {
        let _ = MountOptions::parse([text], sloppy);
    }
    let _ = (values::chunk_size(text), values::cipher(text), values::fingerprint(text));
    let _ = (values::label(text), values::only(text).is_ok(), values::milliseconds(text));
}
