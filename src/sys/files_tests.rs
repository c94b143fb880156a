use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

/// Both ways of opening give the same guarantee; the second is what old kernels and sandboxes get.
#[test]
fn opening_stays_beneath_the_folder_and_follows_no_link() {
    let root = tempfile::tempdir().unwrap();
    let below = root.path().join("folder/deep");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("file"), "").unwrap();
    symlink("file", below.join("link")).unwrap();
    symlink("deep", root.path().join("folder/linked")).unwrap();
    let folder = File::open(root.path().join("folder")).unwrap();
    type Open = fn(&File, &CStr, OFlags) -> io::Result<File>;
    for open in [openat2 as Open, open_by_steps] {
        let error = |path, flags| open(&folder, path, flags).unwrap_err().raw_os_error().unwrap();
        open(&folder, c".", OFlags::RDONLY | OFlags::DIRECTORY).unwrap();
        open(&folder, c"deep/file", OFlags::RDWR).unwrap();
        assert_eq!(error(c"deep/none", OFlags::RDONLY), libc::ENOENT);
        assert_eq!(error(c"deep/file", OFlags::RDWR | OFlags::CREATE | OFlags::EXCL), libc::EEXIST);
        assert_eq!(error(c"deep/link", OFlags::RDWR | OFlags::CREATE | OFlags::EXCL), libc::EEXIST);
        assert_eq!(error(c"deep/link", OFlags::RDONLY), libc::ELOOP);
        assert!([libc::ELOOP, libc::ENOTDIR].contains(&error(c"linked/file", OFlags::RDONLY)));
        for outside in [c"..", c"../other", c"deep/../../other", c"/etc/passwd"] {
            assert_eq!(error(outside, OFlags::RDONLY), libc::EXDEV, "{outside:?}");
        }
    }
}

#[test]
fn an_open_file_is_told_from_its_replacement() {
    let root = tempfile::tempdir().unwrap();
    let folder = File::open(root.path()).unwrap();
    let [one, two] = [c"one", c"two"].map(|name| {
        status(&open_beneath(&folder, name, OFlags::RDWR | OFlags::CREATE).unwrap()).unwrap().identity
    });
    assert_ne!(one, two);
    assert_eq!(status_of(&folder, c"one").unwrap().identity, one);
}

fn coarse_now() -> (i64, i64) {
    let mut now = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `now` outlives the call, which fills it.
    let now = unsafe {
        assert_eq!(libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, now.as_mut_ptr()), 0);
        now.assume_init()
    };
    (now.tv_sec, now.tv_nsec)
}

/// What other processes do to their files moves the clock as well: one quiet moment is enough.
#[test]
fn a_look_has_the_next_write_note_no_finer_time() {
    let root = tempfile::tempdir().unwrap();
    let folder = File::open(root.path()).unwrap();
    let file = open_beneath(&folder, c"file", OFlags::RDWR | OFlags::CREATE).unwrap();
    let quiet = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(12));
        let now = coarse_now();
        write_all_at(&file, 0, &[IoSlice::new(b"before")]).unwrap();
        status_of(&folder, c"file").unwrap();
        status(&file).unwrap();
        write_all_at(&file, 0, &[IoSlice::new(b"after")]).unwrap();
        let noted = file.metadata().unwrap();
        (noted.ctime(), noted.ctime_nsec()) == now
    });
    assert!(quiet, "each write after a look noted a time of its own");
}
