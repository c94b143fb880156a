//! Random tests that can be run again: what they use besides the code under test.

use crate::chunk::{Commit, DeviceId, InodeId};
use crate::test_rng::seed;
use crate::volume::{Extension, Kind, Link, Record, Stamp, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Runs `test` on `cases` random values, from CRYPTFS_SEED if that is set; prints the seed.
pub fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(config, rng).run(&strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

/// Feeds every truncation of `valid`, and every byte of it changed in several ways, to `parse`.
pub fn mangle(valid: &[u8], mut parse: impl FnMut(&[u8])) {
    (0..valid.len()).for_each(|length| parse(&valid[..length]));
    let mut bytes = valid.to_vec();
    for at in 0..bytes.len() {
        for value in [0, 1, 2, 0x7f, 0x80, 0xff, valid[at] ^ 1, valid[at].wrapping_add(1)] {
            bytes[at] = value;
            parse(&bytes);
        }
        bytes[at] = valid[at];
    }
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub fn inode(n: u8) -> InodeId {
    InodeId([n; 12])
}

pub fn device(n: u8) -> DeviceId {
    DeviceId([n; 8])
}

pub fn any_inode() -> impl Strategy<Value = InodeId> {
    any::<[u8; 12]>().prop_map(InodeId)
}

pub fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds })
}

pub fn any_kind() -> impl Strategy<Value = Kind> {
    (1..=7u8).prop_map(|code| Kind::from_code(code).expect("a code"))
}

pub fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=255)
        .prop_filter("not a name", |name| crate::volume::format::wire::is_name(name))
}

pub fn any_link() -> impl Strategy<Value = Link> {
    let dot = prop::option::of((1..=u64::MAX, any::<[u8; 8]>().prop_map(DeviceId)));
    (any_inode(), any_name(), dot).prop_map(|(parent, name, dot)| Link { parent, name: name.into(), dot })
}

fn any_extension() -> impl Strategy<Value = Extension> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    (
        bytes(300),
        prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..=255), bytes(700), 0..4),
        prop::collection::vec(any_link(), 0..4),
        prop::collection::btree_map(any::<[u8; 8]>(), any::<u64>(), 0..6),
        prop::option::of((any::<[u8; 8]>(), any::<u64>())),
        prop::collection::btree_map(any::<[u8; 8]>(), any::<u64>(), 0..3),
        prop::collection::vec((8..=255u8, bytes(50)), 0..3),
    )
        .prop_map(|(target, xattrs, links, vector, attributes, version, unknown)| Extension {
            target,
            xattrs: xattrs.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            links,
            vector: vector.into_iter().map(|(device, counter)| (DeviceId(device), counter)).collect(),
            attributes: attributes
                .map(|(device, commit)| Stamp { device: DeviceId(device), commit: Commit(commit) }),
            version: version.into_iter().map(|(device, commit)| (DeviceId(device), Commit(commit))).collect(),
            unknown,
        })
}

pub fn any_record() -> impl Strategy<Value = Record> {
    let numbers = (any::<[u32; 4]>(), 0..=0o7777u32, any::<[u64; 3]>());
    let stamp = (any::<[u8; 8]>(), any::<u64>(), any::<bool>()).prop_map(|(device, commit, is_exact)| {
        (Stamp { device: DeviceId(device), commit: Commit(commit) }, is_exact)
    });
    (any_kind(), numbers, [any_time(), any_time(), any_time(), any_time()], stamp, any_extension()).prop_map(
        |(
            kind,
            ([uid, gid, device, links_count], mode, [size, allocated, namespace]),
            times,
            (content, is_exact),
            extension,
        )| {
            let [accessed, modified, changed, born] = times;
            let namespace = Commit(namespace);
            Record {
                kind,
                mode,
                uid,
                gid,
                device,
                links_count,
                size,
                allocated,
                namespace,
                accessed,
                modified,
                changed,
                born,
                content,
                is_exact,
                extension,
            }
        },
    )
}

/// A record whose every field differs, with one item of each type.
pub fn sample_record() -> Record {
    let time = |seconds| Timestamp { seconds, nanoseconds: 0x0102_0304 };
    Record {
        kind: Kind::Directory,
        mode: 0o1755,
        uid: 1000,
        gid: 100,
        device: 0x0801,
        links_count: 3,
        size: 4097,
        allocated: 8192,
        namespace: Commit(0x1122_3344_5566_7788),
        accessed: time(-1),
        modified: time(2),
        changed: time(3),
        born: time(4),
        content: Stamp { device: device(0xd2), commit: Commit(0x1020_3040_5060_7080) },
        is_exact: true,
        extension: Extension {
            target: b"to".to_vec(),
            xattrs: vec![(b"user.a".as_slice().into(), b"v".to_vec())],
            links: vec![Link {
                parent: inode(0xab),
                name: b"dir".as_slice().into(),
                dot: Some((10, device(0xd5))),
            }],
            vector: vec![(device(0xd1), 7)],
            attributes: Some(Stamp { device: device(0xd3), commit: Commit(8) }),
            version: vec![(device(0xd4), Commit(9))],
            unknown: vec![(9, b"?".to_vec())],
        },
    }
}
