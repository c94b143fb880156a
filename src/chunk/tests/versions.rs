//! Versions compared, and chunks opened from files under other names.

use super::*;

#[test]
fn versions_compare_in_four_ways() {
    let version = |entries: &[(u8, u64)]| {
        Version(entries.iter().map(|&(device, commit)| (DeviceId([device; 8]), Commit(commit))).collect())
    };
    let (old, new) = (version(&[(1, 5)]), version(&[(1, 6)]));
    let (other, both) = (version(&[(2, 9), (1, 5)]), version(&[(2, 9), (1, 6)]));
    for (ours, theirs, relation) in [
        (&old, &old, Relation::Equal),
        (&other, &version(&[(1, 5), (2, 9)]), Relation::Equal),
        (&old, &new, Relation::Older),
        (&new, &old, Relation::Newer),
        (&old, &other, Relation::Older),
        (&both, &new, Relation::Newer),
        (&other, &new, Relation::Concurrent),
        (&new, &other, Relation::Concurrent),
    ] {
        assert_eq!(ours.compare(theirs), relation, "{ours:?} beside {theirs:?}");
    }
}

/// A device that a vector lacks is not taken for included: so each that wrote has to stand in it.
#[test]
fn of_255_devices_in_turn_every_older_version_is_rolled_back() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1);
    chunk.set_record(vec![1; 1024]);
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    let mut before = vec![(bench.bytes(), chunk.version().clone())];
    for number in 1..255_u16 {
        let device = DeviceId((1000 + u64::from(number)).to_be_bytes());
        let secret = |byte: u8| Secret::from_slice(&[byte; 32]).unwrap();
        let store: Arc<dyn Store> = Arc::new(bench.store.clone());
        let context = Context::new(store, device, Cipher::Aes256Gcm, &secret(1), vec![secret(2)]);
        let mut chunk = Chunk::open(&Arc::new(context), ID, CAPACITY).unwrap();
        chunk.write(Section::Data, BlockNumber(number), &pattern(number.into(), 1)).unwrap();
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        before.push((bench.bytes(), chunk.version().clone()));
    }
    let newest = before.pop().unwrap().1;
    assert_eq!(newest.0.len(), 255);
    for (number, (bytes, version)) in before.into_iter().enumerate() {
        assert_eq!(newest.compare(&version), Relation::Newer, "{number}");
        bench.put_bytes(&bytes);
        let opened = Chunk::open_known(&bench.context, ID, CAPACITY, Some(&newest));
        assert!(matches!(opened, Err(Error::RolledBack { .. })), "{number}");
    }
}

#[test]
fn a_chunk_is_opened_from_a_file_under_another_name() {
    let bench = Bench::new();
    let chunk = bench.chunk(5);
    let copy = bench.context.file_name(ChunkId { index: ID.index.next(), ..ID });
    let file = bench.memory.create(copy).unwrap();
    file.write_at(0, &[std::io::IoSlice::new(&bench.bytes())]).unwrap();
    bench.memory.remove(bench.context.file_name(ID)).unwrap();
    let open = |id: ChunkId, known: Option<&Version>| {
        Chunk::open_file(&bench.context, id, CAPACITY, bench.memory.open(copy).unwrap(), known)
    };
    let opened = open(ID, None).unwrap();
    assert!(content(&opened, 5).unwrap() == pattern(0, 5) && opened.version() == chunk.version());
    let mut newer = chunk.version().clone();
    newer.0[0].1.0 += 1;
    assert!(
        matches!(open(ID, Some(&newer)), Err(Error::RolledBack { .. })),
        "it is held against what is known"
    );
    let wrong = open(ChunkId { index: ID.index.next(), ..ID }, None);
    assert!(matches!(wrong, Err(Error::Damaged(..))), "the roots say which chunk it is, not the name");
}
