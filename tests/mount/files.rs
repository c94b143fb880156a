//! What programs do with files and folders in a mount.

use crate::live::*;
use cryptfs::mount::{Options, Transport};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

on_each_transport! {
    files_read_back_what_was_written
    names_links_and_special_files
    attributes_and_extended_attributes
    times_survive_the_writeback_cache
    blocks_of_an_open_file_are_counted
    fallocate_and_copies_leave_the_times_to_the_kernel
    a_directory_can_be_listed_while_it_changes
    shared_mappings_and_direct_io
    sparse_files
    an_unlinked_open_file_lives_until_it_is_closed
    a_file_without_a_name_gets_one_or_goes
}

fn files_read_back_what_was_written(transport: Transport) {
    for writeback in [true, false] {
        let live = Live::with(&Options { writeback, transport, ..Options::default() });
        let data: Vec<u8> = (0..5_000_001u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(live.path("big"), &data).unwrap();
        assert!(fs::read(live.path("big")).unwrap() == data);
        let file = OpenOptions::new().write(true).open(live.path("big")).unwrap();
        file.write_all_at(b"patched", 4_094).unwrap();
        file.set_len(6_000_000).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let read = fs::read(live.path("big")).unwrap();
        assert_eq!((read.len(), &read[4_094..4_101]), (6_000_000, &b"patched"[..]));
        assert!(read[5_000_001..].iter().all(|byte| *byte == 0));
        for part in ["one", "two", "three"] {
            let mut file = OpenOptions::new().append(true).create(true).open(live.path("log")).unwrap();
            file.write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(live.path("log")).unwrap(), b"onetwothree");
        File::create(live.path("log")).unwrap();
        assert_eq!(fs::metadata(live.path("log")).unwrap().len(), 0);
        assert_eq!(live.memory.syncs.load(Ordering::Relaxed), 1);
        live.finish();
    }
}

fn names_links_and_special_files(transport: Transport) {
    let live = Live::new(transport);
    fs::create_dir_all(live.path("a/b/c")).unwrap();
    fs::write(live.path("a/file"), b"text").unwrap();
    fs::rename(live.path("a/file"), live.path("a/b/c/moved")).unwrap();
    assert!(!live.path("a/file").exists());
    fs::hard_link(live.path("a/b/c/moved"), live.path("second")).unwrap();
    assert_eq!(fs::metadata(live.path("second")).unwrap().nlink(), 2);
    symlink("a/b/c/moved", live.path("soft")).unwrap();
    assert_eq!(fs::read_link(live.path("soft")).unwrap(), Path::new("a/b/c/moved"));
    assert_eq!(fs::read(live.path("soft")).unwrap(), b"text");
    run(Command::new("mkfifo").arg(live.path("pipe")));
    assert!(fs::metadata(live.path("pipe")).unwrap().file_type().is_fifo());
    let refused = fs::remove_dir(live.path("a/b")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOTEMPTY));
    let refused = fs::write(live.path(&"n".repeat(256)), b"").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG));
    fs::write(live.path(&"n".repeat(255)), b"").unwrap();
    run(Command::new("stat").arg("-f").arg(live.directory.path()));
    live.finish();
}

fn attributes_and_extended_attributes(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("file");
    fs::write(&path, b"x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode(), 0o100_640);
    let set = "import os,sys; p=sys.argv[1]; os.setxattr(p,'user.one',b'1'*3000); os.setxattr(p,'user.two',b''); \
        assert sorted(os.listxattr(p))==['user.one','user.two']; assert os.getxattr(p,'user.one')==b'1'*3000; \
        os.removexattr(p,'user.two'); assert os.listxattr(p)==['user.one']";
    run(Command::new("python3").args(["-c", set]).arg(&path));
    let mut umask = Command::new("sh");
    umask.args(["-c", r#"umask 027; mkdir "$0/d"; : >"$0/f"; stat -c %a "$0/d" "$0/f""#]);
    assert_eq!(run(umask.arg(live.directory.path())).stdout, b"750\n640\n");
    live.finish();
}

fn times_survive_the_writeback_cache(transport: Transport) {
    for writeback in [true, false] {
        let live = Live::with(&Options { writeback, transport, ..Options::default() });
        let (written, dated) = (live.path("written"), live.path("dated"));
        fs::write(&written, b"some").unwrap();
        let shown = fs::metadata(&written).unwrap();
        let file = File::create(&dated).unwrap();
        let past = SystemTime::UNIX_EPOCH - Duration::from_millis(1_250);
        file.set_modified(past).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let kept = live.memory.modified(b"written").unwrap();
        assert_eq!((kept.seconds, i64::from(kept.nanoseconds)), (shown.mtime(), shown.mtime_nsec()));
        let kept = live.memory.modified(b"dated").unwrap();
        assert_eq!((kept.seconds, kept.nanoseconds), (-2, 750_000_000));
        assert_eq!(fs::metadata(&dated).unwrap().modified().unwrap(), past);
        live.finish();
    }
}

/// An archiver takes a file without blocks for one without data.
fn blocks_of_an_open_file_are_counted(transport: Transport) {
    // The adapter of the fuser crate does not have the kernel ask anew: with writeback it shows too few.
    let over_fuser = !matches!(transport, Transport::Auto | Transport::Device | Transport::Uring);
    for writeback in [true, false].into_iter().filter(|writeback| !(*writeback && over_fuser)) {
        let live = Live::with(&Options { writeback, transport, ..Options::default() });
        let file = File::create(live.path("f")).unwrap();
        fs::metadata(live.path("f")).unwrap();
        file.write_all_at(&[7; 3 << 20], 0).unwrap();
        file.sync_all().unwrap();
        for blocks in [file.metadata().unwrap().blocks(), fs::metadata(live.path("f")).unwrap().blocks()] {
            assert!(blocks * 512 >= 3 << 20, "{blocks} blocks, writeback {writeback}");
        }
        drop(file);
        live.finish();
    }
}

/// What changes a content without WRITE leaves the time that stat shows, also within one tick of the kernel's clock.
fn fallocate_and_copies_leave_the_times_to_the_kernel(transport: Transport) {
    let live = Live::new(transport);
    let source = live.path("source");
    fs::write(&source, b"some").unwrap();
    for round in 0..20 {
        let name = format!("made {round}");
        let changed = "import ctypes, os, sys; \
            source, target = (os.open(path, os.O_RDWR | os.O_CREAT) for path in sys.argv[1:3]); \
            copy = lambda at: os.copy_file_range(source, target, 4, 0, at) == 4; \
            allocate = lambda at: ctypes.CDLL(None).fallocate(target, 16, ctypes.c_long(at), ctypes.c_long(2)) == 0; \
            change = copy if sys.argv[3] == '0' else allocate; \
            sys.exit(not all(change(at) for at in (0, 9, 99)))";
        let mut change = Command::new("python3");
        run(change.args(["-c", changed]).args([&source, &live.path(&name)]).arg((round % 2).to_string()));
        let shown = fs::metadata(live.path(&name)).unwrap();
        let kept = live.memory.modified(name.as_bytes()).unwrap();
        assert_eq!((kept.seconds, i64::from(kept.nanoseconds)), (shown.mtime(), shown.mtime_nsec()));
    }
    live.finish();
}

fn a_directory_can_be_listed_while_it_changes(transport: Transport) {
    let live = Live::new(transport);
    let directory = live.path("many");
    fs::create_dir(&directory).unwrap();
    for n in 0..10_000 {
        File::create(directory.join(format!("stays-{n}"))).unwrap();
        if n % 10 == 0 {
            File::create(directory.join(format!("goes-{n}"))).unwrap();
        }
    }
    let mut seen = BTreeSet::new();
    for (n, entry) in fs::read_dir(&directory).unwrap().enumerate() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(seen.insert(name.clone()), "{name} was listed twice");
        if n % 11 == 0 {
            let _ = fs::remove_file(directory.join(format!("goes-{}", n / 11 * 10)));
            File::create(directory.join(format!("comes-{n}"))).unwrap();
        }
    }
    assert_eq!(seen.iter().filter(|name| name.starts_with("stays-")).count(), 10_000);
    let again: BTreeSet<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(again.iter().all(|name| !name.to_str().unwrap().starts_with("goes-")));
    fs::remove_dir_all(&directory).unwrap();
    live.finish();
}

fn shared_mappings_and_direct_io(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("mapped");
    fs::write(&path, vec![b'a'; 3 * 4096]).unwrap();
    let script = "import mmap,sys,os; f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0); \
        assert m[4095:4097]==b'aa'; m[4090:4100]=b'0123456789'; m.flush(); m.close()";
    run(Command::new("python3").args(["-c", script]).arg(&path));
    assert_eq!(&fs::read(&path).unwrap()[4_089..4_101], b"a0123456789a");
    let direct = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    let mut room = vec![0u8; 3 * 4096];
    let start = room.as_ptr().align_offset(4096);
    let page = &mut room[start..start + 4096];
    direct.read_exact_at(page, 4096).unwrap();
    assert_eq!(&page[..5], b"6789a");
    page.fill(b'z');
    direct.write_all_at(page, 8192).unwrap();
    drop(direct);
    assert_eq!(&fs::read(&path).unwrap()[8_191..8_194], b"azz");
    live.finish();
}

fn sparse_files(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("sparse");
    // Not synced: what is only in the kernel's cache is data too.
    let script = "import os,sys; f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT|os.O_EXCL); os.ftruncate(f,1<<30); \
        os.pwrite(f,b'data',1<<29); assert os.lseek(f,0,os.SEEK_DATA)==1<<29; \
        assert os.lseek(f,1<<29,os.SEEK_HOLE)==(1<<29)+4096";
    run(Command::new("python3").args(["-c", script]).arg(&path));
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 8);
    run(Command::new("fallocate").args(["-p", "-o", "536870912", "-l", "4096"]).arg(&path));
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    let copy = "import os,sys; f,g=(os.open(p,os.O_RDWR|os.O_CREAT) for p in sys.argv[1:]); os.pwrite(f,b'more',4096); \
        os.pwrite(g,b'old-old',0); assert os.copy_file_range(f,g,4,4096,0)==4; assert os.pread(g,9,0)==b'moreold'";
    run(Command::new("python3").args(["-c", copy]).args([&path, &live.path("copy")]));
    fs::write(live.path("from"), b"0123456789").unwrap();
    fs::copy(live.path("from"), live.path("to")).unwrap();
    assert_eq!(fs::read(live.path("to")).unwrap(), b"0123456789");
    live.finish();
}

fn an_unlinked_open_file_lives_until_it_is_closed(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("gone");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"still here").unwrap();
    fs::remove_file(&path).unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), live.memory.inodes()), ("still here", 2));
    drop(file);
    wait_until("the inode is forgotten", || live.memory.inodes() == 1);
    live.finish();
}

/// `O_TMPFILE`, which the adapter of the fuser crate knows nothing of.
fn a_file_without_a_name_gets_one_or_goes(transport: Transport) {
    let over_fuser = !matches!(transport, Transport::Auto | Transport::Device | Transport::Uring);
    for writeback in [true, false] {
        let live = Live::with(&Options { writeback, transport, ..Options::default() });
        let how = OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o640).clone();
        let open = || how.open(live.directory.path());
        if over_fuser {
            assert_eq!(open().unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
            live.finish();
            continue;
        }
        for text in [&b"kept"[..], &[7; 300_000]] {
            let (kept, dropped) = (open().unwrap(), open().unwrap());
            assert_eq!((kept.metadata().unwrap().nlink(), live.memory.inodes()), (0, 3));
            kept.write_all_at(text, 0).unwrap();
            dropped.write_all_at(b"gone", 0).unwrap();
            let name = live.path("named");
            run(Command::new("ln")
                .args(["-L", "/proc/self/fd/0"])
                .arg(&name)
                .stdin(kept.try_clone().unwrap()));
            drop((kept, dropped));
            assert!(fs::read(&name).unwrap() == text);
            let shown = fs::metadata(&name).unwrap();
            assert_eq!((shown.nlink(), shown.mode()), (1, 0o100_640));
            wait_until("the other one is forgotten", || live.memory.inodes() == 2);
            fs::remove_file(&name).unwrap();
            wait_until("both are", || live.memory.inodes() == 1);
        }
        live.finish();
    }
}
