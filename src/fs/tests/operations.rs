//! Random operations: what there is, how it is drawn, and how it is done to a filesystem.

use super::support::{OTHER, ROOT_USER, USER, acl};
use crate::fs::Result;
use crate::fs::ops::{Allocate as Mode, SetXattr as How, *};
use proptest::prelude::*;

/// Stands for a node: below 64 for a directory, else for any that is known (a deleted one among them).
pub(super) type Place = u8;

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Lookup(Place, Name),
    MakeNode { caller: bool, at: Place, name: Name, kind: u8, mode: u32, umask: u32 },
    MakeDirectory { caller: bool, at: Place, name: Name, mode: u32, umask: u32 },
    MakeSymlink { at: Place, name: Name, length: u16 },
    Link { node: Place, at: Place, name: Name },
    Unlink(Place, Name),
    RemoveDirectory(Place, Name),
    Rename { from: Place, old: Name, to: Place, new: Name, flags: u8 },
    Change { caller: bool, node: Place, what: Change },
    Write { node: Place, offset: u64, length: usize, fill: u8, clear: bool },
    Allocate { caller: bool, node: Place, offset: u64, length: u64, how: u8 },
    CopyRange { caller: bool, from: Place, offset: u64, to: Place, target: u64, length: u64 },
    SetXattr { node: Place, name: u8, length: usize, fill: u8, how: u8 },
    RemoveXattr { node: Place, name: u8 },
    SetAcl { caller: bool, node: Place, default: bool, bits: [u8; 5] },
    RemoveAcl { node: Place, default: bool },
    Inspect(Place),
    List(Place),
    Forget(Place),
    Sync(Place),
    Remount,
    Kill,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Mode(u32),
    Owner(Option<u8>, Option<u8>),
    Size(u64, bool),
    Times(Option<i64>, Option<i64>, Option<i64>),
}

/// Few, so that they meet; some at the edge of what a name may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name(u8);

impl Name {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self.0 {
            6 => vec![b'x'; 255],
            7 => vec![b'x'; 256],
            8 => vec![0xff, b'\n', 1],
            n => vec![b'a' + n],
        }
    }
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![20 => 0..6_u8, 1 => 6..9_u8].prop_map(Name)
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![0..64_u8, 64..=255_u8]
}

fn directory() -> impl Strategy<Value = Place> {
    prop_oneof![20 => 0..64_u8, 1 => 64..=255_u8]
}

/// Around the edges of inline content, blocks and chunks (1 MiB in these tests).
fn offset() -> impl Strategy<Value = u64> {
    let edges = prop::sample::select(vec![0, 0, 0, 700, 3500, 4096, 8192, 65_536, 1 << 20, 2 << 20]);
    let near = prop_oneof![Just(0), -3..=3_i64, 0..2000_i64];
    (edges, near).prop_map(|(edge, near): (u64, i64)| edge.saturating_add_signed(near))
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..3000_usize, prop::sample::select(vec![0, 1, 4095, 4096, 4097, 8192, 20_000, 70_000])]
}

fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![0..0o10000_u32, Just(0o644), Just(0o755), Just(0o6755), Just(0o2775)]
}

fn change() -> impl Strategy<Value = Change> {
    let id = || prop::option::of(0..3_u8);
    let time = || prop::option::of(-5..5_i64);
    prop_oneof![
        4 => mode().prop_map(Change::Mode),
        4 => (id(), id()).prop_map(|(uid, gid)| Change::Owner(uid, gid)),
        4 => (offset(), any::<bool>()).prop_map(|(size, clear)| Change::Size(size, clear)),
        4 => (time(), time(), time()).prop_map(|(a, m, c)| Change::Times(a, m, c)),
        1 => Just(Change::Size(1 << 62, false)),
    ]
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let caller = any::<bool>;
    let xattr_length = || prop_oneof![10 => 0..200_usize, 2 => Just(3000_usize), 1 => Just(65_536_usize)];
    let bits = || prop::array::uniform5(0..8_u8);
    let names = prop_oneof![
        2 => (directory(), name()).prop_map(|(at, name)| Lookup(at, name)),
        5 => (caller(), directory(), name(), prop_oneof![5 => Just(0_u8), 1 => 1..5_u8], mode(), 0..0o1000_u32)
            .prop_map(|(caller, at, name, kind, mode, umask)| MakeNode { caller, at, name, kind, mode, umask }),
        4 => (caller(), directory(), name(), mode(), 0..0o1000_u32)
            .prop_map(|(caller, at, name, mode, umask)| MakeDirectory { caller, at, name, mode, umask }),
        1 => (directory(), name(), prop_oneof![1..50_u16, Just(4095), Just(4096), Just(0)])
            .prop_map(|(at, name, length)| MakeSymlink { at, name, length }),
        3 => (place(), directory(), name()).prop_map(|(node, at, name)| Link { node, at, name }),
        3 => (directory(), name()).prop_map(|(at, name)| Unlink(at, name)),
        2 => (directory(), name()).prop_map(|(at, name)| RemoveDirectory(at, name)),
        6 => (directory(), name(), directory(), name(), 0..16_u8)
            .prop_map(|(from, old, to, new, flags)| Rename { from, old, to, new, flags }),
    ];
    let contents = prop_oneof![
        8 => (place(), offset(), length(), any::<u8>(), any::<bool>())
            .prop_map(|(node, offset, length, fill, clear)| Write { node, offset, length, fill, clear }),
        4 => (caller(), place(), offset(), offset(), 0..3_u8)
            .prop_map(|(caller, node, offset, length, how)| Allocate { caller, node, offset, length, how }),
        3 => (caller(), place(), offset(), place(), offset(), offset())
            .prop_map(|(caller, from, offset, to, target, length)| CopyRange { caller, from, offset, to, target, length }),
    ];
    let attributes = prop_oneof![
        8 => (caller(), place(), change()).prop_map(|(caller, node, what)| Change { caller, node, what }),
        3 => (place(), 0..4_u8, xattr_length(), any::<u8>(), 0..3_u8)
            .prop_map(|(node, name, length, fill, how)| SetXattr { node, name, length, fill, how }),
        1 => (place(), 0..4_u8).prop_map(|(node, name)| RemoveXattr { node, name }),
        2 => (caller(), place(), any::<bool>(), bits())
            .prop_map(|(caller, node, default, bits)| SetAcl { caller, node, default, bits }),
        1 => (place(), any::<bool>()).prop_map(|(node, default)| RemoveAcl { node, default }),
    ];
    let rest = prop_oneof![
        3 => place().prop_map(Inspect),
        2 => directory().prop_map(List),
        2 => place().prop_map(Forget),
        2 => place().prop_map(Sync),
        1 => Just(Remount),
        1 => Just(Kill),
    ];
    prop_oneof![4 => names, 3 => contents, 2 => attributes, 1 => rest]
}

/// What an operation answered, as far as both filesystems must agree.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Done,
    Nothing,
    Count(u64),
    Attributes(Attributes),
    /// A node that was looked up or made.
    Node(Attributes),
}

fn who(user: bool) -> Caller {
    if user { USER } else { ROOT_USER }
}

fn id(number: u8) -> u32 {
    [ROOT_USER, USER, OTHER][usize::from(number)].uid
}

fn kind(number: u8) -> Kind {
    [Kind::File, Kind::Fifo, Kind::Socket, Kind::CharDevice, Kind::BlockDevice][usize::from(number)]
}

pub(super) fn xattr_name(number: u8) -> Vec<u8> {
    let names: [&[u8]; 4] = [b"user.one", b"user.two", b"user.three", b"security.capability"];
    names[usize::from(number)].to_vec()
}

fn acl_name(default: bool) -> &'static [u8] {
    if default { b"system.posix_acl_default" } else { b"system.posix_acl_access" }
}

/// With a named user and a mask if `bits[3]` is odd.
fn acl_value(bits: [u8; 5]) -> Vec<u8> {
    let [owner, group, other, user, mask] = bits.map(u16::from);
    let none = u32::MAX;
    if user % 2 == 0 {
        return acl(&[(1, owner, none), (4, group, none), (0x20, other, none)]);
    }
    acl(&[(1, owner, none), (2, user, 1000), (4, group, none), (0x10, mask, none), (0x20, other, none)])
}

fn times(accessed: Option<i64>, modified: Option<i64>, changed: Option<i64>) -> SetAttributes {
    let to = |seconds| Timestamp { seconds, nanoseconds: 999_999_999 };
    let set = |seconds| if seconds == 0 { SetTime::Now } else { SetTime::To(to(seconds)) };
    SetAttributes {
        accessed: accessed.map(set),
        modified: modified.map(set),
        changed: changed.map(to),
        ..SetAttributes::default()
    }
}

fn attributes_to_set(change: &Change) -> SetAttributes {
    let none = SetAttributes::default();
    match *change {
        Change::Mode(mode) => SetAttributes { mode: Some(mode), ..none },
        Change::Owner(None, None) => SetAttributes { uid: Some(1000), ..none },
        Change::Owner(uid, gid) => SetAttributes { uid: uid.map(id), gid: gid.map(id), ..none },
        Change::Size(size, clear_suid_sgid) => SetAttributes { size: Some(size), clear_suid_sgid, ..none },
        Change::Times(None, None, None) => times(Some(0), Some(0), None),
        Change::Times(accessed, modified, changed) => times(accessed, modified, changed),
    }
}

fn entered(entry: Entry) -> (Answer, Option<NodeId>) {
    (Answer::Node(entry.attributes), Some(entry.node))
}

/// Does an operation, with `node` telling which node stands at a place. Gives out the node that was entered, if any.
/// `Inspect` and what follows it, but for `Sync`, is not done here.
pub(super) fn apply(
    fs: &dyn Operations,
    operation: &Operation,
    node: &dyn Fn(Place) -> NodeId,
) -> Result<(Answer, Option<NodeId>)> {
    use Operation::*;
    let done = |()| (Answer::Done, None);
    match *operation {
        Lookup(at, name) => Ok(match fs.lookup(USER, node(at), &name.bytes())? {
            Some(entry) => entered(entry),
            None => (Answer::Nothing, None),
        }),
        MakeNode { caller, at, name, kind: number, mode, umask } => {
            let new = NewNode { kind: kind(number), mode, umask, device: 0 };
            fs.make_node(who(caller), node(at), &name.bytes(), &new).map(entered)
        }
        MakeDirectory { caller, at, name, mode, umask } => {
            fs.make_directory(who(caller), node(at), &name.bytes(), mode, umask).map(entered)
        }
        MakeSymlink { at, name, length } => {
            fs.make_symlink(USER, node(at), &name.bytes(), &vec![b't'; length.into()]).map(entered)
        }
        Link { node: inode, at, name } => fs.link(USER, node(inode), node(at), &name.bytes()).map(entered),
        Unlink(at, name) => fs.unlink(USER, node(at), &name.bytes()).map(done),
        RemoveDirectory(at, name) => fs.remove_directory(USER, node(at), &name.bytes()).map(done),
        Rename { from, old, to, new, flags } => {
            let flags = RenameFlags {
                no_replace: flags & 5 == 5,
                exchange: flags & 6 == 6,
                whiteout: flags & 9 == 8,
            };
            fs.rename(USER, (node(from), &old.bytes()), (node(to), &new.bytes()), flags).map(done)
        }
        Change { caller, node: inode, ref what } => fs
            .set_attributes(who(caller), node(inode), &attributes_to_set(what))
            .map(|attributes| (Answer::Attributes(attributes), None)),
        Write { node: inode, offset, length, fill, clear } => fs
            .write(
                node(inode),
                offset,
                &vec![fill; length],
                WriteHow { clear_suid_sgid: clear.then_some(OTHER), ..WriteHow::default() },
            )
            .map(|count| (Answer::Count(count as u64), None)),
        Allocate { caller, node: inode, offset, length, how } => {
            let how = match how {
                0 => Mode::PunchHole,
                _ => Mode::ZeroRange { keep_size: how == 1 },
            };
            fs.allocate(who(caller), node(inode), offset, length, how, Times::Set).map(done)
        }
        CopyRange { caller, from, offset, to, target, length } => fs
            .copy_range(who(caller), (node(from), offset), (node(to), target), length, Times::Set)
            .map(|count| (Answer::Count(count), None)),
        SetXattr { node: inode, name, length, fill, how } => {
            let how = [How::Any, How::Create, How::Replace][usize::from(how)];
            fs.set_xattr(USER, node(inode), &xattr_name(name), &vec![fill; length], how).map(done)
        }
        RemoveXattr { node: inode, name } => fs.remove_xattr(USER, node(inode), &xattr_name(name)).map(done),
        SetAcl { caller, node: inode, default, bits } => {
            let how = How::Any;
            fs.set_xattr(who(caller), node(inode), acl_name(default), &acl_value(bits), how).map(done)
        }
        RemoveAcl { node: inode, default } => fs.remove_xattr(USER, node(inode), acl_name(default)).map(done),
        Sync(inode) => fs.sync(node(inode), false).map(done),
        Inspect(_) | List(_) | Forget(_) | Remount | Kill => Ok((Answer::Done, None)),
    }
}
