use super::*;
use crate::volume::Kind;
use crate::volume::format::directory_log::Author;
use crate::volume::inode::directory::Directory;
use crate::volume::testing::{
    any_inode, any_kind, any_link, any_record, any_time, check, device, hex, inode, mangle, sample_record,
};
use proptest::prelude::*;

fn append(builder: &mut Builder, item: &Item<'_>) -> Result<(), TooLarge> {
    match item {
        Item::Directory { inode, before, devices, log } => {
            let vector: Vec<_> = devices.iter().map(|&device| (device, 1)).collect();
            builder.directory(*inode, *before, &vector, log)
        }
        Item::Namespace { inode, links_count, modified, changed, links } => {
            builder.namespace(*inode, *links_count, *modified, *changed, links)
        }
        Item::Inode { inode, commit, record, content } => builder.inode(*inode, *commit, record, *content),
        Item::Aside { inode, commit, record, content } => builder.aside(*inode, *commit, record, content),
        Item::Delete { inode, chunks } => builder.delete(*inode, *chunks),
        Item::Orphan { inode, chunks } => builder.orphan(*inode, *chunks),
        Item::Reserve(inodes) => builder.reserve(inodes),
        Item::Deletion(deletion) => builder.deletion(deletion),
        Item::Durable(inodes) => builder.durable(inodes),
    }
}

fn encode(batch: &Batch<'_>) -> Vec<u8> {
    let mut builder = Builder::default();
    for item in &batch.items {
        append(&mut builder, item).expect("within the limits");
    }
    builder.finish(batch.number)
}

/// Borrowed by the items of `any_item`.
static BYTES: [u8; 4096] = [0x5a; 4096];

fn any_item() -> impl Strategy<Value = Item<'static>> {
    let bytes = || (0..BYTES.len()).prop_map(|length| &BYTES[..length]);
    let devices = prop::collection::vec(any::<[u8; 8]>().prop_map(DeviceId), 0..=255);
    let links = prop::collection::vec(any_link(), 0..4);
    prop_oneof![
        (any_inode(), any::<u64>(), devices, bytes())
            .prop_map(|(inode, before, devices, log)| Item::Directory { inode, before, devices, log }),
        (any_inode(), any::<u32>(), any_time(), any_time(), links).prop_map(
            |(inode, links_count, modified, changed, links)| Item::Namespace {
                inode,
                links_count,
                modified,
                changed,
                links
            }
        ),
        (any_inode(), any::<u64>(), any_record(), bytes()).prop_map(|(inode, commit, record, content)| {
            Item::Aside { inode, commit: Commit(commit), record: Box::new(record), content }
        }),
        (any_inode(), any::<u64>(), any_record(), prop::option::of(bytes())).prop_map(
            |(inode, commit, record, content)| Item::Inode {
                inode,
                commit: Commit(commit),
                record: Box::new(record),
                content
            }
        ),
        (any_inode(), any::<u32>())
            .prop_map(|(inode, chunks)| Item::Delete { inode, chunks: ChunkCount(chunks) }),
        (any_inode(), any::<u32>())
            .prop_map(|(inode, chunks)| Item::Orphan { inode, chunks: ChunkCount(chunks) }),
        prop::collection::vec(any_inode(), 0..20).prop_map(Item::Reserve),
        (any_inode(), any_kind(), any_inode(), prop::collection::vec((any::<[u8; 8]>(), any::<u64>()), 0..5))
            .prop_map(|(inode, kind, parent, vector)| Item::Deletion(Deletion {
                inode,
                kind,
                parent,
                name: b"gone",
                vector: vector.into_iter().map(|(device, counter)| (DeviceId(device), counter)).collect(),
            })),
        prop::collection::vec((any_inode(), any::<u64>().prop_map(Commit)), 0..20).prop_map(Item::Durable),
    ]
}

#[test]
fn streams_of_batches_come_back() {
    let batch = (any::<u64>(), prop::collection::vec(any_item(), 0..6))
        .prop_map(|(number, items)| Batch { number: Commit(number), items });
    check(128, prop::collection::vec(batch, 0..4), |batches| {
        let stream: Vec<u8> = batches.iter().flat_map(encode).collect();
        prop_assert_eq!(parse(&stream), Ok(batches));
        Ok(())
    });
}

fn sample() -> Batch<'static> {
    let time = |seconds| Timestamp { seconds, nanoseconds: 1 };
    let mut record = sample_record();
    record.extension = Default::default();
    Batch {
        number: Commit(0x0102_0304_0506_0708),
        items: vec![
            Item::Directory {
                inode: inode(1),
                before: 6,
                devices: vec![device(0xd1), device(0xd2)],
                log: b"log",
            },
            Item::Namespace {
                inode: inode(2),
                links_count: 2,
                modified: time(5),
                changed: time(6),
                links: vec![Link {
                    parent: inode(1),
                    name: b"n".as_slice().into(),
                    dot: Some((7, device(0xd1))),
                }],
            },
            Item::Inode {
                inode: inode(3),
                commit: Commit(9),
                record: Box::new(record),
                content: Some(b"hello"),
            },
            Item::Delete { inode: inode(4), chunks: ChunkCount(2) },
            Item::Orphan { inode: inode(5), chunks: ChunkCount(1) },
            Item::Reserve(vec![inode(6), inode(7)]),
            Item::Deletion(Deletion {
                inode: inode(8),
                kind: Kind::File,
                parent: inode(1),
                name: b"n",
                vector: vec![(device(0xd1), 7)],
            }),
        ],
    }
}

/// FORMAT section 9, by hand.
const GOLDEN: &str = concat!(
    "94010000", // payload = 45 + 82 + 155 + 21 + 21 + 29 + 51
    "07000000",
    "0807060504030201",
    "07",
    "28000000",
    "010101010101010101010101",
    "0600000000000000",
    "02",
    "d1d1d1d1d1d1d1d1",
    "d2d2d2d2d2d2d2d2",
    "6c6f67",
    "0a",
    "4d000000",
    "020202020202020202020202",
    "02000000",
    "050000000000000001000000",
    "060000000000000001000000",
    "01000000",
    "010101010101010101010101",
    "d1d1d1d1d1d1d1d10700000000000000",
    "01000000",
    "6e",
    "03",
    "96000000",
    "030303030303030303030303",
    "0900000000000000",
    "74000000",
    "01020200ed030000e8030000640000000108000003000000",
    "011000000000000000200000000000008877665544332211",
    "ffffffffffffffff04030201020000000000000004030201",
    "030000000000000004030201040000000000000004030201",
    "d2d2d2d2d2d2d2d28070605040302010",
    "00000000",
    "05000000",
    "68656c6c6f",
    "01",
    "04",
    "10000000",
    "040404040404040404040404",
    "02000000",
    "05",
    "10000000",
    "050505050505050505050505",
    "01000000",
    "06",
    "18000000",
    "060606060606060606060606",
    "070707070707070707070707",
    "08",
    "2e000000",
    "080808080808080808080808",
    "01",
    "010101010101010101010101",
    "01000000",
    "6e",
    "d1d1d1d1d1d1d1d1",
    "0700000000000000",
);

#[test]
fn a_batch_is_these_bytes() {
    assert_eq!(hex(&encode(&sample())), GOLDEN);
}

/// As they were written until names had dots.
#[test]
fn names_without_dots_are_read() {
    let bytes = data_encoding::HEXLOWER
        .decode(
            concat!(
                "42000000010000000100000000000000",
                "023d000000",
                "02020202020202020202020202000000",
                "050000000000000001000000",
                "060000000000000001000000",
                "01000000",
                "010101010101010101010101",
                "010000006e",
            )
            .as_bytes(),
        )
        .expect("hex");
    let Item::Namespace { inode, links_count, modified, changed, mut links } = sample().items.remove(1)
    else {
        panic!("names")
    };
    links[0].dot = None;
    let items = vec![Item::Namespace { inode, links_count, modified, changed, links }];
    assert_eq!(parse(&bytes), Ok(vec![Batch { number: Commit(1), items }]));
}

#[test]
fn mangled_batches_are_refused_or_read() {
    let bytes = encode(&sample());
    mangle(&bytes, |bytes| {
        if let Ok(batches) = parse(bytes) {
            let again: Vec<u8> = batches.iter().flat_map(encode).collect();
            assert_eq!(parse(&again).as_ref(), Ok(&batches));
        }
    });
    for length in 1..bytes.len() {
        assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn lengths_counts_and_contents_must_be_true() {
    let mut bytes = encode(&sample());
    bytes[4] = 6;
    assert_eq!(parse(&bytes), Err(Malformed("a batch with another number of records")));
    let mut bytes = encode(&Batch { items: vec![sample().items.remove(2)], ..sample() });
    *bytes.last_mut().expect("not empty") = 0;
    assert_eq!(parse(&bytes), Err(Malformed("content that is not there")));
    let mut bytes = encode(&Batch { items: vec![sample().items.remove(3)], ..sample() });
    bytes.push(0);
    bytes[0] += 1;
    bytes[HEADER + 1] += 1;
    assert_eq!(parse(&bytes), Err(Malformed("bytes left over")));
}

#[test]
fn a_record_that_fails_leaves_the_batch_as_it_was() {
    let mut builder = Builder::default();
    builder.delete(inode(1), ChunkCount(1)).expect("within the limits");
    let before = builder.bytes.len();
    let mut record = sample_record();
    record.extension.target = vec![0; 5000];
    assert_eq!(builder.inode(inode(2), Commit(1), &record, None), Err(TooLarge));
    assert_eq!(builder.directory(inode(2), 0, &[(device(1), 1); 256], b""), Err(TooLarge));
    let rest = BATCH_MAX - before - 5 - 21;
    assert_eq!(builder.directory(inode(2), 0, &[], &vec![0; rest + 1]), Err(TooLarge));
    assert_eq!(builder.bytes.len(), before);
    builder.directory(inode(2), 0, &[], &vec![0; rest]).expect("exactly the limit");
    let bytes = builder.finish(Commit(1));
    assert_eq!(parse(&bytes).expect("valid")[0].items.len(), 2);
}

#[test]
fn a_directorys_log_serves_in_a_batch() {
    let (mut directory, mut log) = (Directory::default(), Vec::new());
    let author = Author { device: device(1), now: Commit(0) };
    directory.insert(author, b"a", inode(1), Kind::File, &mut log).expect("free");
    let mut builder = Builder::default();
    builder.directory(inode(0), 0, directory.vector(), &log).expect("within the limits");
    let bytes = builder.finish(Commit(1));
    let mut batches = parse(&bytes).expect("valid");
    let Some(Item::Directory { devices, log, .. }) = batches[0].items.pop() else {
        panic!("a directory record")
    };
    let (mut replayed, mut applied) = (Directory::default(), Vec::new());
    replayed.apply(log, &devices, &mut applied).expect("valid");
    assert_eq!((replayed.get(b"a"), replayed.vector()), (directory.get(b"a"), directory.vector()));
}
