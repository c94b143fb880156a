//! The bytes, parsed by hand from docs/FORMAT.md section 6.1.

use super::super::blocks::Key;
use super::super::root::{Decoded, PLAIN};
use super::*;
use crate::crypto::{Aead, expand};

/// Opens something sealed, with nothing of the chunk code but the cipher.
fn unseal(salt: &[u8], nonce: &[u8], associated: &[u8], sealed: &[u8], tag: &[u8]) -> Vec<u8> {
    let content_root = Secret::from_slice(&[2; 32]).unwrap();
    let index = 3u32.to_le_bytes();
    let key = expand(&content_root, &[b"cryptfs v2 chunk", &[9; 12], &index, salt]);
    let mut plain = sealed.to_vec();
    let cipher: Box<dyn Aead> = Cipher::Aes256Gcm.keyed_in_rust(&key);
    cipher.open(nonce.try_into().unwrap(), associated, &mut plain, tag.try_into().unwrap()).unwrap();
    plain
}

fn unseal_root(file: &[u8], which: u8) -> Vec<u8> {
    let root = &file[usize::from(which) * 4096..][..4096];
    let mut associated = vec![15, 0, 0, 0];
    associated.extend(b"cryptfs v2 root");
    associated.extend([9; 12]);
    associated.extend([3, 0, 0, 0, which]);
    unseal(&root[..16], &root[16..28], &associated, &root[28..4080], &root[4080..])
}

fn number(bytes: &[u8], offset: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[offset], bytes[offset + 1]]))
}

#[test]
fn a_root_with_direct_tables() {
    let bench = Bench::new();
    let mut chunk = Chunk::new(&bench.context, ID, CAPACITY);
    chunk.set_record(b"rec".to_vec());
    chunk.set_inline(b"inlin".to_vec());
    chunk.write(Section::Data, BlockNumber(700), &pattern(1, 2)).unwrap();
    chunk.write(Section::Metadata, BlockNumber(64), &pattern(2, 1)).unwrap();
    let commit = chunk.commit().unwrap();
    let file = bench.bytes();
    assert_eq!(file.len(), 5 * 4096);
    assert!(file[4096..8192].iter().all(|&byte| byte == 0));
    let root = unseal_root(&file, 0);
    assert_eq!(root.len(), 4052);
    assert_eq!(root[..16], [1, 0, 1, 0, 3, 0, 5, 0, 2, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(root[16..24], 4u64.to_le_bytes());
    assert_eq!(root[24..32], [7; 8]);
    assert_eq!(root[32..40], commit.0.to_le_bytes());
    assert_eq!(&root[40..48], b"recinlin");
    let entries =
        [(700, 2, 1u8, pattern(1, 2)[..4096].to_vec()), (701, 3, 1, pattern(1, 2)[4096..].to_vec())];
    let entries = entries.into_iter().chain([(64, 4, 3, pattern(2, 1))]);
    for (i, (logical, slot, kind, expected)) in entries.enumerate() {
        let entry = &root[48 + 32 * i..][..32];
        assert_eq!((number(entry, 0), number(entry, 2)), (logical, slot));
        let mut associated = vec![kind];
        associated.extend((logical as u32).to_le_bytes());
        let block =
            unseal(&file[..16], &entry[4..16], &associated, &file[slot * 4096..][..4096], &entry[16..]);
        assert!(block == expected);
    }
    assert!(root[48 + 3 * 32..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_root_with_mapped_data_and_its_settled_copy() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(300);
    assert!(chunk.write_backup_root().unwrap());
    let file = bench.bytes();
    let (root, settled) = (unseal_root(&file, 0), unseal_root(&file, 1));
    assert_eq!(root[..16], [1, 2, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        (root[16..24].to_vec(), settled[16..24].to_vec()),
        (304u64.to_le_bytes().to_vec(), 305u64.to_le_bytes().to_vec())
    );
    assert_eq!(settled[1], 3);
    assert_eq!((&root[..1], &root[2..16], &root[24..]), (&settled[..1], &settled[2..16], &settled[24..]));
    for k in 0..3 {
        let entry = &root[40 + 32 * k..][..32];
        assert_eq!(number(entry, 0), k);
        let slot = number(entry, 2);
        let associated = [2, k as u8, 0, 0, 0];
        let map = unseal(&file[..16], &entry[4..16], &associated, &file[slot * 4096..][..4096], &entry[16..]);
        assert!(map[136 * 30..].iter().all(|&byte| byte == 0));
        for i in 0..136 {
            let (entry, logical) = (&map[30 * i..][..30], 136 * k + i);
            let slot = number(entry, 0);
            assert_eq!(slot != 0, logical < 300);
            if slot != 0 {
                let associated = [1, logical as u8, (logical >> 8) as u8, 0, 0];
                let block = unseal(
                    &file[..16],
                    &entry[2..14],
                    &associated,
                    &file[slot * 4096..][..4096],
                    &entry[14..],
                );
                assert!(block == pattern(0, 300)[logical * 4096..][..4096]);
            }
        }
    }
}

#[test]
fn a_root_with_entries_beside_its_map_blocks() {
    let bench = Bench::new();
    bench.chunk_beside_maps();
    let file = bench.bytes();
    let former = unseal_root(&file, 0);
    let root = unseal_root(&file, 1);
    assert_eq!(root[..16], [1, 2, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0]);
    let (maps, beside) = (&root[40..40 + 3 * 32], &root[40 + 3 * 32..40 + 5 * 32]);
    assert_eq!(maps, &former[40..40 + 3 * 32], "no map block was written");
    assert_eq!((number(beside, 0), &beside[2..32]), (7, &[0; 30][..]));
    let (entry, slot) = (&beside[32..], number(beside, 34));
    assert_eq!(number(entry, 0), 150);
    let associated = [1, 150, 0, 0, 0];
    let block = unseal(&file[..16], &entry[4..16], &associated, &file[slot * 4096..][..4096], &entry[16..]);
    assert!(block == pattern(1, 1));
    assert!(root[40 + 5 * 32..].iter().all(|&byte| byte == 0));
}

#[test]
fn nonsense_beside_map_blocks_is_refused() {
    let bench = Bench::new();
    bench.chunk_beside_maps();
    let good = unseal_root(&bench.bytes(), 1);
    let beside = 40 + 3 * 32;
    let defects: [(usize, &[u8]); 6] = [
        (1, &[0]),
        (14, &[1]),
        (beside, &[150]),
        (beside + 33, &[4]),
        (beside + 34, &[1, 0]),
        (beside + 34, &good[42..44]),
    ];
    for (offset, bytes) in defects {
        let mut bad = good.clone();
        bad[offset..][..bytes.len()].copy_from_slice(bytes);
        assert!(Decoded::decode(&bad, CAPACITY).is_err(), "{offset} {bytes:?}");
    }
    assert!(Decoded::decode(&good, CAPACITY).is_ok());
    // A hole where there is no map block says nothing; a root that told it again would be refused.
    let mut bad = good.clone();
    bad[8] = 1;
    bad.copy_within(40 + 3 * 32..40 + 5 * 32, 40 + 32);
    bad[40 + 32..42 + 32].copy_from_slice(&136u16.to_le_bytes());
    bad[40 + 5 * 32 - 64..].fill(0);
    let root = Decoded::decode(&bad, CAPACITY).unwrap();
    assert_eq!(root.data.entries.iter().map(|entry| entry.0).collect::<Vec<_>>(), [BlockNumber(150)]);
}

#[test]
fn roots_go_where_the_durable_one_is_not() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1);
    let roots = || [0, 4096].map(|at| bench.bytes()[at + 16..at + 28].to_vec());
    let mut former = roots();
    for written in [1, 0, 1] {
        chunk.commit().unwrap();
        for _ in 0..2 {
            let now = roots();
            assert!(now[written] != former[written] && now[1 - written] == former[1 - written]);
            former = now;
            chunk.commit().unwrap();
        }
        former = roots();
        chunk.sync().unwrap();
    }
}

#[test]
fn nonsense_in_an_authentic_root_is_refused() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    chunk.set_record(vec![1; 3]);
    chunk.commit().unwrap();
    let good = unseal_root(&bench.bytes(), 1);
    let entries = 24 + 16 + 3;
    let defects: [(usize, &[u8]); 11] = [
        (0, &[2]),
        (1, &[16]),
        (2, &[0]),
        (2, &[64]),
        (4, &[1, 4]),
        (6, &[255, 255]),
        (8, &[200]),
        (12, &[1]),
        (entries + 2, &[1, 0]),
        (entries + 32, &[0, 0]),
        (entries + 34, &good[entries + 2..entries + 4]),
    ];
    let before = bench.bytes();
    let mut salt = [0; 16];
    salt.copy_from_slice(&before[..16]);
    let key = Key::new(&bench.context, ID, 0, salt);
    for (offset, bytes) in defects {
        let mut bad = good.clone();
        bad[offset..][..bytes.len()].copy_from_slice(bytes);
        assert!(Decoded::decode(&bad, CAPACITY).is_err(), "{offset} {bytes:?}");
        let mut file = before.clone();
        file[4096..8192].copy_from_slice(&key.seal_root(ID, 1, |out| out.copy_from_slice(&bad)));
        bench.put_bytes(&file);
        assert!(matches!(bench.open(), Err(Error::Damaged(..))), "{offset} {bytes:?}");
    }
    assert!(Decoded::decode(&good, CAPACITY).is_ok() && Decoded::decode(&good, BlockCount(2)).is_err());
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    use proptest::prelude::*;
    let bench = Bench::new();
    bench.chunk(3);
    let good = unseal_root(&bench.bytes(), 0);
    proptest!(|(changes in prop::collection::vec((0usize..PLAIN.min(200), any::<u8>()), 1..8))| {
        let mut bytes = good.clone();
        changes.into_iter().for_each(|(offset, byte)| bytes[offset] = byte);
        let _ = Decoded::decode(&bytes, CAPACITY);
        let _ = Decoded::decode(&bytes[..bytes.len() / 2], CAPACITY);
    });
}
