//! The xattrs that an inode's record holds, sorted by name.

use crate::volume::Record;

/// File capabilities: gone when content or owner change. Whether they count at execution is the kernel's business.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// The value of an xattr as stored.
pub(super) fn find<'a>(record: &'a Record, name: &[u8]) -> Option<&'a [u8]> {
    position(record, name).ok().map(|index| record.extension.xattrs[index].1.as_slice())
}

/// Stores a value, whether or not there was one.
pub(super) fn put(record: &mut Record, name: &[u8], value: Vec<u8>) {
    match position(record, name) {
        Ok(index) => record.extension.xattrs[index].1 = value,
        Err(index) => record.extension.xattrs.insert(index, (name.into(), value)),
    }
}

/// Whether there was one.
pub(super) fn take(record: &mut Record, name: &[u8]) -> bool {
    position(record, name).map(|index| record.extension.xattrs.remove(index)).is_ok()
}

fn position(record: &Record, name: &[u8]) -> std::result::Result<usize, usize> {
    record.extension.xattrs.binary_search_by(|(known, _)| known.as_ref().cmp(name))
}
