use super::*;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::volume::{Error, Rename};

/// Runs `check` on the volume as it is, after a clean remount, and after a remount without closing.
fn everywhere(prepare: impl Fn(&Volume), check: impl Fn(&Volume)) {
    let fixture = Fixture::new();
    let store: Arc<Memory> = Arc::new(Memory::new());
    let volume = fixture.format(store.clone());
    prepare(&volume);
    check(&volume);
    volume.checkpoint().unwrap();
    check(&volume);
    drop(volume);
    let volume = fixture.open(store.clone());
    check(&volume);
    volume.close().unwrap();
    let volume = fixture.open(store);
    check(&volume);
}

#[test]
fn files_of_every_size_come_back() {
    let (first, second) = (FIRST as usize, (FIRST + CHUNK) as usize);
    let borders = [first - 1, first, first + 1, second - 1, second, second + 1];
    let sizes = [0, 1, 100, 3000, 3800, 4095, 4096, 4097, 50_000, 600_000, 5_000_000];
    let sizes: Vec<usize> = sizes.into_iter().chain(borders).collect();
    everywhere(
        |volume| {
            for &size in &sizes {
                file(volume, &format!("f{size}"), &pattern(size, size as u64));
            }
        },
        |volume| {
            for &size in &sizes {
                assert!(look(volume, &format!("f{size}")).unwrap() == pattern(size, size as u64), "{size}");
            }
            assert_eq!(names(volume, &volume.root().unwrap()).len(), sizes.len());
        },
    );
}

#[test]
fn a_read_behind_the_end_is_empty() {
    let fixture = Fixture::new();
    let volume = fixture.format(Arc::new(Memory::new()));
    for content in [b"".as_slice(), b"inline", &pattern(10_000, 1)] {
        let inode = file(&volume, &format!("f{}", content.len()), content);
        assert_eq!(volume.read(&inode, 700_000, &mut [0; 100]).unwrap(), 0);
    }
}

/// The hint behind st_blocks.
#[test]
fn allocated_bytes_follow_the_blocks() {
    let fixture = Fixture::new();
    let volume = fixture.format(Arc::new(Memory::new()));
    let inode = file(&volume, "f", b"inline");
    let allocated = || inode.view(|record| record.allocated);
    let resize = |size| volume.resize(&inode, size, now(), 0).unwrap();
    assert_eq!(allocated(), 0);
    resize(3 * CHUNK);
    assert_eq!(allocated(), 4096, "what was inline has become a block");
    for chunk in 0..3 {
        volume.write(&inode, chunk * CHUNK + 8192, &pattern(8192, chunk), now(), 0).unwrap();
    }
    assert_eq!(allocated(), 4096 * 7);
    volume.punch(&inode, CHUNK, CHUNK, now()).unwrap();
    assert_eq!(allocated(), 4096 * 5);
    resize(12288);
    assert_eq!(allocated(), 4096 * 2);
    resize(0);
    assert_eq!(allocated(), 0);
}

/// Writes at an offset, or resizes to one.
type Act<'a> = Box<dyn FnMut(u64, Result<Vec<u8>, u64>) + 'a>;

#[test]
fn overwriting_punching_and_resizing() {
    let script = |content: &mut Vec<u8>, mut act: Act<'_>| {
        let mut write = |content: &mut Vec<u8>, at: usize, data: Vec<u8>| {
            content.resize(content.len().max(at + data.len()), 0);
            content[at..at + data.len()].copy_from_slice(&data);
            act(at as u64, Ok(data));
        };
        write(content, 0, pattern(3_000_000, 1));
        write(content, 10, pattern(5, 2));
        write(content, 4090, pattern(5000, 3));
        write(content, FIRST as usize - 3, pattern(7, 4));
        write(content, 3_500_000, pattern(100_000, 5));
        for size in [1_200_000, 1_500_000, 2_000, 9_000, 2_500_000, 100, 0, 50, 4_000_000] {
            content.resize(size, 0);
            act(size as u64, Err(size as u64));
        }
    };
    for sync_between in [false, true] {
        everywhere(
            |volume| {
                let inode = file(volume, "f", b"");
                let mut model = Vec::new();
                script(
                    &mut model,
                    Box::new(|at, action| {
                        match action {
                            Ok(data) => volume.write(&inode, at, &data, now(), 0).unwrap(),
                            Err(size) => volume.resize(&inode, size, now(), 0).unwrap(),
                        }
                        if sync_between {
                            volume.sync(&inode, false).unwrap();
                        }
                    }),
                );
                volume.write(&inode, 1_000_000, &pattern(200_000, 9), now(), 0).unwrap();
                volume.punch(&inode, 1_100_001, 1_000_000, now()).unwrap();
            },
            |volume| {
                let mut model = Vec::new();
                script(&mut model, Box::new(|_, _| {}));
                model[1_000_000..1_200_000].copy_from_slice(&pattern(200_000, 9));
                model[1_100_001..2_100_001].fill(0);
                assert!(look(volume, "f").unwrap() == model);
            },
        );
    }
}

#[test]
fn names_move_and_go() {
    everywhere(
        |volume| {
            let root = volume.root().unwrap();
            let sub = volume.create(&root, b"sub", new(Kind::Directory)).unwrap();
            let a = file(volume, "a", b"content of a");
            file(volume, "b", b"content of b");
            volume.link(&a, &sub, b"a2", now()).unwrap();
            let gone = volume.rename((&root, b"b"), (&sub, b"b"), Rename::NoReplace, None, now()).unwrap();
            assert!(gone.is_none());
            file(volume, "c", b"content of c");
            volume.rename((&root, b"c"), (&sub, b"b"), Rename::Replace, None, now()).unwrap();
            file(volume, "d", b"content of d");
            volume.rename((&root, b"d"), (&sub, b"b"), Rename::Exchange, None, now()).unwrap();
            let deep = volume.create(&sub, b"deep", new(Kind::Directory)).unwrap();
            let inside = volume.rename((&root, b"sub"), (&deep, b"x"), Rename::Replace, None, now());
            assert!(matches!(inside, Err(Error::Invalid)));
            volume.rename((&sub, b"deep"), (&root, b"deep"), Rename::Replace, None, now()).unwrap();
            assert!(matches!(volume.remove_directory(&root, b"sub", now()), Err(Error::NotEmpty)));
            file(volume, "e", b"e");
            let e = volume.unlink(&root, b"e", now()).unwrap().unwrap();
            assert_eq!(content(volume, &e), b"e");
            volume.release(e);
        },
        |volume| {
            let root = volume.root().unwrap();
            let sub = volume.lookup(&root, b"sub").unwrap().unwrap();
            assert_eq!(names(volume, &root), ["deep", "d", "a", "sub"]);
            let mut inside = names(volume, &sub);
            inside.sort();
            assert_eq!(inside, ["a2", "b"]);
            assert_eq!(look(volume, "d").unwrap(), b"content of c");
            assert_eq!(content(volume, &volume.lookup(&sub, b"b").unwrap().unwrap()), b"content of d");
            let a = volume.lookup(&root, b"a").unwrap().unwrap();
            assert_eq!(a.view(|record| record.links_count), 2);
            assert_eq!(a.id(), volume.lookup(&sub, b"a2").unwrap().unwrap().id());
            assert_eq!(root.view(|record| record.links_count), 4);
            assert_eq!(sub.view(|record| record.links_count), 2);
            let deep = volume.lookup(&root, b"deep").unwrap().unwrap();
            assert_eq!(volume.parent(&deep).unwrap().id(), root.id());
        },
    );
}

#[test]
fn deleted_files_leave_nothing_behind() {
    let fixture = Fixture::new();
    let store: Arc<Memory> = Arc::new(Memory::new());
    let volume = fixture.format(store.clone());
    file(&volume, "first", b"1");
    volume.close().unwrap();
    let root = volume.root().unwrap();
    drop(volume);
    drop(root);
    let count = |store: &Memory| {
        let mut count = 0;
        store.list(crate::store::Area::Chunks, &mut |_, _| count += 1).unwrap();
        count
    };
    let before = count(&store);
    let volume = fixture.open(store.clone());
    for checkpoint in [false, true] {
        for size in [10, 10_000, 3_000_000] {
            let inode = file(&volume, "f", &pattern(size, 1));
            if checkpoint {
                volume.checkpoint().unwrap();
            }
            let root = volume.root().unwrap();
            drop(volume.unlink(&root, b"f", now()).unwrap());
            volume.release(inode);
        }
    }
    volume.close().unwrap();
    assert_eq!(count(&store), before);
}

#[test]
fn large_directories_are_compacted() {
    let last = 3_000;
    let keep = |number: usize| number > last - 50;
    everywhere(
        |volume| {
            let root = volume.root().unwrap();
            for number in 0..=last {
                let name = format!("a file with a name that is rather long, so that the log grows: {number}");
                drop(volume.create(&root, name.as_bytes(), new(Kind::File)).unwrap());
                if number % 500 == 0 {
                    volume.checkpoint().unwrap();
                }
                if !keep(number) {
                    let inode = volume.unlink(&root, name.as_bytes(), now()).unwrap().unwrap();
                    volume.release(inode);
                }
            }
            for number in 0..2_000 {
                drop(volume.create(&root, format!("{number:0200}").as_bytes(), new(Kind::Fifo)).unwrap());
                if number % 300 == 0 {
                    volume.checkpoint().unwrap();
                }
            }
        },
        |volume| assert_eq!(names(volume, &volume.root().unwrap()).len(), 2_050),
    );
}

#[test]
fn flushes_of_the_same_inodes_do_not_wait_for_each_other_for_ever() {
    let fixture = Fixture::new();
    let volume = fixture.format(Arc::new(Memory::new()));
    let (a, b) = (file(&volume, "a", b"a"), file(&volume, "b", b"b"));
    let (done, finished) = std::sync::mpsc::channel();
    for inodes in [[a.clone(), b.clone()], [b, a]] {
        let (volume, done) = (volume.clone(), done.clone());
        std::thread::spawn(move || {
            (0..20_000).for_each(|_| volume.writeback.flush(&inodes).unwrap());
            done.send(()).unwrap();
        });
    }
    for _ in 0..2 {
        finished.recv_timeout(std::time::Duration::from_secs(60)).expect("both come to their end");
    }
}
