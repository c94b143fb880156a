use super::*;
use crate::volume::testing::{any_record, check, device, hex, inode, mangle, sample_record};
use proptest::prelude::*;

fn decode(encoded: &Encoded) -> Result<Record, Malformed> {
    Record::decode(&encoded.root, encoded.overflow.as_deref())
}

#[test]
fn records_come_back() {
    check(256, any_record(), |record| {
        let encoded = record.encode().expect("within the limits");
        prop_assert!(encoded.root.len() <= ROOT_MAX);
        prop_assert_eq!(Record::overflow_length(&encoded.root), Ok(encoded.overflow.as_ref().map(Vec::len)));
        prop_assert_eq!(decode(&encoded), Ok(record.clone()));
        let mut whole = Vec::new();
        record.encode_whole(&mut whole).expect("within the limits");
        prop_assert_eq!(Record::decode_whole(&whole), Ok(record));
        Ok(())
    });
}

/// FORMAT section 7, by hand.
const GOLDEN: &str = concat!(
    "01",               // version
    "02",               // directory
    "0200",             // flags: exact
    "ed030000",         // mode
    "e8030000",         // uid
    "64000000",         // gid
    "01080000",         // device
    "03000000",         // nlink
    "0110000000000000", // size
    "0020000000000000", // allocated
    "8877665544332211", // namespace commit
    "ffffffffffffffff04030201",
    "020000000000000004030201",
    "030000000000000004030201",
    "040000000000000004030201",
    "d2d2d2d2d2d2d2d28070605040302010", // content stamp
    "8a000000",                         // x = 7 + 13 + 20 + 21 + 21 + 21 + 6 + 29
    "0102000000",
    "746f", // target
    "0208000000",
    "06757365722e6176", // xattr
    "030f000000",
    "abababababababababababab646972", // link
    "0410000000",
    "d1d1d1d1d1d1d1d10700000000000000", // vector
    "0510000000",
    "d3d3d3d3d3d3d3d30800000000000000", // stamp of the attributes
    "0610000000",
    "d4d4d4d4d4d4d4d40900000000000000", // version vector
    "0901000000",
    "3f", // unknown
    "0718000000",
    "8877665544332211",
    "d5d5d5d5d5d5d5d50a00000000000000", // dot of the link
);

#[test]
fn a_record_is_these_bytes() {
    let encoded = sample_record().encode().expect("within the limits");
    assert_eq!(hex(&encoded.root), GOLDEN);
    assert_eq!(encoded.overflow, None);
}

#[test]
fn mangled_records_are_refused_or_read() {
    let encoded = sample_record().encode().expect("within the limits");
    mangle(&encoded.root, |bytes| {
        let _ = Record::overflow_length(bytes);
        let _ = Record::decode_whole(bytes);
        if let Ok(record) = Record::decode(bytes, None) {
            assert_eq!(record.encode().map(|again| decode(&again)), Ok(Ok(record)));
        }
    });
    for length in 0..encoded.root.len() {
        assert!(Record::decode(&encoded.root[..length], None).is_err(), "{length} bytes");
    }
}

/// One defect each, and the reason that must be found.
#[test]
fn each_defect_is_found() {
    let good = sample_record().encode().expect("within the limits").root;
    let defects: [(usize, u8, &str); 6] = [
        (0, 2, "an inode record of another version"),
        (1, 8, "unknown kind of inode"),
        (2, 4, "unknown flags in an inode record"),
        (5, 0x10, "not permission bits"),
        (59, 0x3c, "nanoseconds beyond a second"),
        (115, 1, "an extension beyond its limit"),
    ];
    for (at, value, reason) in defects {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(Record::decode(&bad, None), Err(Malformed(reason)));
    }
}

#[test]
fn items_that_stand_twice_are_refused() {
    let twice = |change: fn(&mut Extension)| {
        let mut record = sample_record();
        change(&mut record.extension);
        decode(&record.encode().expect("within the limits"))
    };
    assert_eq!(twice(|e| e.xattrs.push(e.xattrs[0].clone())), Err(Malformed("an xattr twice")));
    assert_eq!(twice(|e| e.vector.push(e.vector[0])), Err(Malformed("not a directory vector")));
    assert_eq!(
        twice(|e| e.unknown.push((ITEM_TARGET, b"x".to_vec()))),
        Err(Malformed("not the target of a symlink"))
    );
}

/// A program that does not know of dots changes the names, or some of them, and keeps the item as it is.
#[test]
fn dots_that_are_not_of_these_names_do_not_count() {
    let mut record = sample_record();
    let link = |n: u8| Link { parent: inode(n), name: b"n".as_slice().into(), dot: Some((7, device(n))) };
    record.extension.links = vec![link(1), Link { dot: None, ..link(2) }, link(3)];
    let good = record.encode().expect("within the limits");
    assert_eq!(decode(&good).as_ref(), Ok(&record));
    let mut without = record.clone();
    without.extension.links.iter_mut().for_each(|link| link.dot = None);
    let mut renamed = good.clone();
    renamed.root[40] ^= 1;
    without.namespace.0 ^= 1;
    assert_eq!(decode(&renamed).as_ref(), Ok(&without), "of another batch");
    without.namespace.0 ^= 1;
    let mut item = record.namespace.0.to_le_bytes().to_vec();
    item.extend([7; 2 * 16]);
    without.extension.unknown = vec![(ITEM_DOTS, item)];
    let fewer = without.encode().expect("within the limits");
    without.extension.unknown.clear();
    assert_eq!(decode(&fewer).as_ref(), Ok(&without), "of another number of names");
    without.extension.unknown = vec![(ITEM_DOTS, vec![7; 9])];
    assert_eq!(decode(&without.encode().expect("within the limits")), Err(Malformed("cut short")));
    without.extension.unknown = vec![(ITEM_DOTS, vec![7; 8]); 2];
    assert_eq!(decode(&without.encode().expect("within the limits")), Err(Malformed("dots of names twice")));
}

/// Names and xattrs have all of the room that they had before there were dots.
#[test]
fn dots_give_way_where_there_is_no_room_for_them() {
    let mut record = sample_record();
    let xattr = |n: u8, length| (vec![n].into(), vec![0; length]);
    record.extension = Extension { links: std::mem::take(&mut record.extension.links), ..Default::default() };
    let own = ITEM_HEADER + 2;
    let rest = EXTENSION_MAX - 3 * (own + XATTR_VALUE_MAX) - own - Extension::link_length(b"dir");
    let dots = ITEM_HEADER + 8 + 16;
    for (length, fits) in [(rest - dots, true), (rest - dots + 1, false), (rest, false)] {
        record.extension.xattrs =
            (0..3).map(|n| xattr(n, XATTR_VALUE_MAX)).chain([xattr(3, length)]).collect();
        let encoded = record.encode().expect("within the limits");
        let decoded = decode(&encoded).expect("valid");
        assert_eq!(decoded.extension.links[0].dot.is_some(), fits, "{length}");
        assert_eq!(encoded.overflow.map(|bytes| bytes.len()), Some(record.extension_length()));
        assert!(record.has_room(rest - length) && !record.has_room(rest - length + 1));
    }
}

fn with_value(length: usize) -> Record {
    let mut record = sample_record();
    record.extension =
        Extension { xattrs: vec![(b"a".as_slice().into(), vec![7; length])], ..Default::default() };
    record
}

#[test]
fn the_extension_leaves_the_root_when_it_must() {
    let room = ROOT_MAX - FIXED - ITEM_HEADER - 2;
    let fits = with_value(room).encode().expect("within the limits");
    assert_eq!((fits.root.len(), fits.overflow.is_none()), (ROOT_MAX, true));
    let moved = with_value(room + 1).encode().expect("within the limits");
    assert_eq!((moved.root.len(), moved.overflow.as_ref().map(Vec::len)), (FIXED, Some(909)));
    assert_eq!(decode(&moved), Ok(with_value(room + 1)));
    assert_eq!(Record::decode(&moved.root, None), Err(Malformed("the extension is not where it should be")));
    assert!(Record::decode(&moved.root, Some(&[0; 908])).is_err());
    assert_eq!(Record::decode_whole(&moved.root), Err(Malformed("the extension is not in place")));
}

#[test]
fn limits_hold_to_the_byte() {
    assert!(with_value(XATTR_VALUE_MAX).encode().is_ok());
    assert_eq!(with_value(XATTR_VALUE_MAX + 1).encode(), Err(TooLarge));
    let mut full = sample_record();
    let xattr = |n: u8, length| (vec![n].into(), vec![0; length]);
    let own = ITEM_HEADER + 2;
    let last = EXTENSION_MAX - 3 * (own + XATTR_VALUE_MAX) - own;
    full.extension = Extension {
        xattrs: (0..3).map(|n| xattr(n, XATTR_VALUE_MAX)).chain([xattr(3, last)]).collect(),
        ..Default::default()
    };
    let encoded = full.encode().expect("exactly the limit");
    assert_eq!(encoded.overflow.as_ref().map(Vec::len), Some(EXTENSION_MAX));
    assert_eq!(decode(&encoded).as_ref(), Ok(&full));
    full.extension.xattrs[3].1.push(0);
    let mut out = vec![1];
    assert_eq!((full.encode(), full.encode_whole(&mut out), out), (Err(TooLarge), Err(TooLarge), vec![1]));
    let refused = |extension| assert_eq!(Record { extension, ..sample_record() }.encode(), Err(TooLarge));
    refused(Extension { target: vec![b'a'; TARGET_MAX + 1], ..Default::default() });
    refused(Extension {
        links: vec![Link { parent: inode(1), name: Box::default(), dot: None }],
        ..Default::default()
    });
    let devices = (0..256u64).map(|n| (DeviceId(n.to_le_bytes()), 1)).collect();
    refused(Extension { vector: devices, ..Default::default() });
}
