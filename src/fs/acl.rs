//! POSIX access control lists: their xattr form, their validity, and how they and the mode follow each other.
//!
//! The permission bits of an inode always equal what its access ACL implies: owner, mask (else owning group), other.
//! An ACL that says no more than the mode is not stored. Rules as in the kernel's fs/posix_acl.c.

use super::{Error, Result};
use crate::volume::Record;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The xattrs that hold ACLs.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJECT: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// An entry of the xattr form (`posix_acl_xattr_entry` of linux/posix_acl_xattr.h).
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
struct Entry {
    tag: U16,
    bits: U16,
    id: U32,
}

/// A valid ACL. Permissions are bits of 7.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acl {
    pub(super) owner: u16,
    pub(super) users: Vec<(u32, u16)>,
    pub(super) group: u16,
    pub(super) groups: Vec<(u32, u16)>,
    /// Bounds users, group and groups; there if there is any of `users` or `groups`.
    pub(super) mask: Option<u16>,
    pub(super) other: u16,
}

/// An inode's ACL of one type. One that does not parse counts as none: none such is let in.
pub(super) fn stored(record: &Record, name: &[u8]) -> Option<Acl> {
    super::stored::find(record, name).and_then(|value| Acl::parse(value).ok().flatten())
}

impl Acl {
    /// From its xattr form; `None` if it has no entries, which means to remove it. `Invalid`, or `NotSupported` for
    /// another version.
    pub(super) fn parse(value: &[u8]) -> Result<Option<Acl>> {
        let (version, entries) = U32::ref_from_prefix(value).map_err(|_| Error::Invalid)?;
        if version.get() != VERSION {
            return Err(Error::NotSupported);
        }
        let entries = <[Entry]>::ref_from_bytes(entries).map_err(|_| Error::Invalid)?;
        if entries.is_empty() {
            return Ok(None);
        }
        let mut acl = Acl::default();
        let (mut seen, mut before) = (0, 0);
        for entry in entries {
            let (tag, bits, id) = (entry.tag.get(), entry.bits.get(), entry.id.get());
            let repeats = tag == before && matches!(tag, USER | GROUP);
            if bits > 7 || (tag <= before && !repeats) {
                return Err(Error::Invalid);
            }
            acl.add(tag, bits, id)?;
            (seen, before) = (seen | tag, tag);
        }
        let needed = USER_OBJECT | GROUP_OBJECT | OTHER | if acl.is_extended() { MASK } else { 0 };
        if seen & needed == needed { Ok(Some(acl)) } else { Err(Error::Invalid) }
    }

    fn add(&mut self, tag: u16, bits: u16, id: u32) -> Result<()> {
        match tag {
            USER_OBJECT => self.owner = bits,
            USER if id != NO_ID => self.users.push((id, bits)),
            GROUP_OBJECT => self.group = bits,
            GROUP if id != NO_ID => self.groups.push((id, bits)),
            MASK => self.mask = Some(bits),
            OTHER => self.other = bits,
            _ => return Err(Error::Invalid),
        }
        Ok(())
    }

    /// The xattr form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        let mut entry = |tag: u16, bits: u16, id: u32| {
            out.extend_from_slice(Entry { tag: tag.into(), bits: bits.into(), id: id.into() }.as_bytes());
        };
        entry(USER_OBJECT, self.owner, NO_ID);
        self.users.iter().for_each(|&(uid, bits)| entry(USER, bits, uid));
        entry(GROUP_OBJECT, self.group, NO_ID);
        self.groups.iter().for_each(|&(gid, bits)| entry(GROUP, bits, gid));
        self.mask.into_iter().for_each(|bits| entry(MASK, bits, NO_ID));
        entry(OTHER, self.other, NO_ID);
        out
    }

    /// Whether it names users or groups.
    fn is_extended(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Whether permission bits say as much.
    pub(super) fn is_minimal(&self) -> bool {
        !self.is_extended() && self.mask.is_none()
    }

    /// The permission bits it implies, 0o777.
    pub(super) fn mode(&self) -> u32 {
        u32::from(self.owner) << 6 | u32::from(self.mask.unwrap_or(self.group)) << 3 | u32::from(self.other)
    }

    /// What chmod makes of it.
    pub(super) fn set_mode(&mut self, mode: u32) {
        let class = |shift: u32| (mode >> shift & 7) as u16;
        self.owner = class(6);
        *self.mask.as_mut().unwrap_or(&mut self.group) = class(3);
        self.other = class(0);
    }

    /// As a directory's default ACL: the access ACL of a new inode that asks for `mode`, and its mode.
    pub(super) fn inherit(&self, mode: u32) -> (Acl, u32) {
        let mut acl = self.clone();
        acl.set_mode(self.mode() & mode);
        let mode = mode & !0o777 | acl.mode();
        (acl, mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for (tag, bits, id) in list {
            out.extend(tag.to_le_bytes().iter().chain(&bits.to_le_bytes()).chain(&id.to_le_bytes()));
        }
        out
    }

    const FULL: [(u16, u16, u32); 6] = [
        (USER_OBJECT, 7, NO_ID),
        (USER, 6, 1000),
        (GROUP_OBJECT, 5, NO_ID),
        (GROUP, 4, 100),
        (MASK, 6, NO_ID),
        (OTHER, 1, NO_ID),
    ];

    #[test]
    fn a_valid_list_survives_the_round_trip() {
        let value = entries(&FULL);
        let acl = Acl::parse(&value).unwrap().unwrap();
        assert_eq!(acl.encode(), value);
        assert_eq!(acl.mode(), 0o761);
        assert!(!acl.is_minimal());
    }

    /// One defect each.
    #[test]
    fn invalid_lists_are_refused() {
        let mut defects: Vec<Vec<(u16, u16, u32)>> = Vec::new();
        for missing in [0, 2, 4, 5] {
            let mut list = FULL.to_vec();
            list.remove(missing);
            defects.push(list);
        }
        for first in 0..FULL.len() - 1 {
            let mut list = FULL.to_vec();
            list.swap(first, first + 1);
            defects.push(list);
        }
        for twice in [0, 2, 4, 5] {
            let mut list = FULL.to_vec();
            list.insert(twice, FULL[twice]);
            defects.push(list);
        }
        let replaced = |index: usize, entry| {
            let mut list = FULL.to_vec();
            list[index] = entry;
            list
        };
        defects.push(replaced(1, (USER, 6, NO_ID)));
        defects.push(replaced(3, (GROUP, 6, NO_ID)));
        defects.push(replaced(1, (USER, 8, 1000)));
        defects.push(replaced(1, (3, 6, 1000)));
        defects.push(replaced(5, (0x40, 6, NO_ID)));
        for list in defects {
            assert_eq!(Acl::parse(&entries(&list)), Err(Error::Invalid), "{list:?}");
        }
    }

    #[test]
    fn headers_and_lengths() {
        assert_eq!(Acl::parse(&[]), Err(Error::Invalid));
        assert_eq!(Acl::parse(&[2, 0, 0]), Err(Error::Invalid));
        assert_eq!(Acl::parse(&[1, 0, 0, 0]), Err(Error::NotSupported));
        assert_eq!(Acl::parse(&[2, 0, 0, 0]), Ok(None));
        assert_eq!(Acl::parse(&entries(&FULL)[..20]), Err(Error::Invalid));
    }

    #[test]
    fn chmod_sets_the_mask_where_there_is_one() {
        let mut acl = Acl::parse(&entries(&FULL)).unwrap().unwrap();
        acl.set_mode(0o604);
        assert_eq!((acl.owner, acl.group, acl.mask, acl.other), (6, 5, Some(0), 4));
        let mut minimal = Acl { owner: 7, group: 5, other: 5, ..Acl::default() };
        minimal.set_mode(0o640);
        assert_eq!((minimal.owner, minimal.group, minimal.other), (6, 4, 0));
    }

    #[test]
    fn inheriting_intersects_with_the_mode_asked_for() {
        let acl = Acl::parse(&entries(&FULL)).unwrap().unwrap();
        let (access, mode) = acl.inherit(0o2644);
        assert_eq!(mode, 0o2640);
        assert_eq!((access.owner, access.group, access.mask, access.other), (6, 5, Some(4), 0));
    }
}
