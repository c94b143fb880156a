//! Mount options that promise something, and what a mount does that its transport and its caches could spoil: seen by
//! programs, over each transport.

use crate::sandbox::{Sandbox, is_root};
use crate::transports::transports;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

const USER: u32 = 65_534;

/// Each transport, with and without the writeback cache.
fn kinds_of_mount() -> impl Iterator<Item = String> {
    transports().into_iter().flat_map(|transport| {
        ["writeback", "no_writeback"].map(|writeback| format!("transport={transport},{writeback}"))
    })
}

fn mounted(options: &str) -> Sandbox {
    let sandbox = Sandbox::with_volume();
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.succeeds(sandbox.mount().args(["-o", options]));
    sandbox
}

fn as_user(script: &str, sandbox: &Sandbox) -> Output {
    Command::new("sh").args(["-ec", script, "sh"]).arg(sandbox.plain()).uid(USER).gid(USER).output().unwrap()
}

/// `for entry in scandir: rename(entry, "x" + entry)` went on for ever.
#[test]
fn renaming_and_creating_while_listing_meets_each_entry_once() {
    const FILES: usize = 2000;
    for transport in transports() {
        let sandbox = mounted(&format!("transport={transport}"));
        let folder = sandbox.plain().join("folder");
        fs::create_dir(&folder).unwrap();
        (0..FILES).for_each(|n| drop(File::create(folder.join(format!("{n}"))).unwrap()));
        let renamed = fs::read_dir(&folder).unwrap().take(3 * FILES).map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            File::create(folder.join(format!("new-{name}"))).unwrap();
            fs::rename(entry.path(), folder.join(format!("x-{name}"))).unwrap();
        });
        assert_eq!(renamed.count(), FILES, "{transport}");
        let mut listing = fs::read_dir(&folder).unwrap();
        let first = listing.next().unwrap().unwrap().file_name();
        for n in 0..FILES {
            let (from, to) = (format!("x-{n}"), format!("y-{n}"));
            if first != *from {
                fs::rename(folder.join(from), folder.join(to)).unwrap();
            }
        }
        // What was renamed before its turn is met under one of its names.
        assert_eq!(1 + listing.count(), 2 * FILES, "{transport}");
        sandbox.unmounts();
    }
}

#[test]
fn file_capabilities_count_and_go_when_the_file_changes() {
    if !is_root() {
        return;
    }
    for options in kinds_of_mount() {
        let sandbox = mounted(&format!("allow_other,suid,{options}"));
        let (program, file) = (sandbox.plain().join("chown"), sandbox.plain().join("file"));
        fs::copy("/bin/chown", &program).unwrap();
        fs::write(&file, "x").unwrap();
        let set = || sandbox.succeeds(Command::new("setcap").arg("cap_chown+ep").arg(&program));
        let get = || sandbox.succeeds(Command::new("getcap").arg(&program));
        set();
        let given = as_user("\"$1/chown\" 65534 \"$1/file\"", &sandbox);
        assert!(given.status.success(), "{options}: {given:?}");
        assert_eq!(fs::metadata(&file).unwrap().uid(), USER);
        let open = || OpenOptions::new().write(true).open(&program).unwrap();
        open().write_all(b"y").unwrap();
        assert_eq!(get(), "", "{options}");
        // Set after the page was changed and before it is written.
        let mut file = open();
        file.write_all(b"z").unwrap();
        set();
        file.sync_all().unwrap();
        drop(file);
        assert!(get().contains("cap_chown=ep"), "{options}");
        sandbox.succeeds(Command::new("chown").arg("1").arg(&program));
        assert_eq!(get(), "", "{options}");
        sandbox.unmounts();
    }
}

/// The kernel itself clears them for writes through its cache only, and keeps the mode that it was told last.
#[test]
fn set_user_id_goes_whatever_changes_the_content() {
    if !is_root() {
        return;
    }
    for options in kinds_of_mount() {
        let sandbox = mounted(&format!("allow_other,suid,{options}"));
        for change in [
            "printf x >>\"$1/file\"",
            "dd if=/dev/zero of=\"$1/file\" bs=4096 count=1 oflag=direct conv=notrunc status=none",
            "fallocate -p -l 4096 \"$1/file\"",
            "fallocate -z -l 8192 \"$1/file\"",
        ] {
            let file = sandbox.plain().join("file");
            fs::write(&file, "xyz").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o6777)).unwrap();
            let changed = as_user(change, &sandbox);
            assert!(changed.status.success(), "{options}: {changed:?}");
            assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o777, "{options}: {change}");
        }
        sandbox.unmounts();
    }
}

#[test]
fn nothing_was_written_before_it_was_born() {
    for options in kinds_of_mount().filter(|options| !options.contains("fuser")) {
        let sandbox = mounted(&options);
        for n in 0..50 {
            let path = sandbox.plain().join(format!("{n}"));
            fs::write(&path, "x").unwrap();
            let found = fs::metadata(&path).unwrap();
            let (born, modified) = (found.created().unwrap(), found.modified().unwrap());
            assert!(born <= modified, "{options}: {born:?}, {modified:?}");
        }
        sandbox.unmounts();
    }
}

/// The file has to be there for whoever made it, whatever its mode says of others who open it.
#[test]
fn who_creates_a_file_that_nobody_may_write_can_write_it() {
    if !is_root() {
        return;
    }
    for transport in transports() {
        let sandbox = mounted(&format!("allow_other,no_default_permissions,transport={transport}"));
        fs::set_permissions(sandbox.plain(), fs::Permissions::from_mode(0o777)).unwrap();
        let script = "exec python3 -c 'import os, sys
f = os.open(sys.argv[1] + \"/f\", os.O_CREAT | os.O_RDWR, 0o444); os.write(f, b\"x\")
try: os.open(sys.argv[1] + \"/f\", os.O_CREAT | os.O_RDWR, 0o444)
except PermissionError: pass
else: sys.exit(\"opened\")' \"$1\"";
        let made = as_user(script, &sandbox);
        assert!(made.status.success(), "{transport}: {made:?}");
        assert_eq!(fs::read(sandbox.plain().join("f")).unwrap(), b"x");
        sandbox.unmounts();
    }
}

#[test]
fn an_option_that_promises_something_works_or_is_refused() {
    let sandbox = mounted("noacl");
    fs::write(sandbox.plain().join("f"), "x").unwrap();
    let refused =
        Command::new("setfacl").args(["-m", "u:1:r"]).arg(sandbox.plain().join("f")).output().unwrap();
    assert!(!refused.status.success());
    sandbox.unmounts();

    sandbox.succeeds(sandbox.mount().args(["-o", "umask=077,inode32"]));
    let found = fs::metadata(sandbox.plain().join("f")).unwrap();
    assert_eq!((found.mode() & 0o777, found.ino() >> 32), (0o600, 0));
    let mut positions = Command::new("/usr/bin/python3");
    positions.args(["-B", "-m", "cryptfs_testing.workloads.positions"]).arg(sandbox.plain()).arg("31");
    sandbox.succeeds(positions.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")));
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = table.lines().find(|line| line.contains(sandbox.plain().to_str().unwrap())).unwrap();
    assert!(line.contains("noatime"), "{line}");
    sandbox.unmounts();

    sandbox.fails(sandbox.mount().args(["-o", "strictatime"]), 2);
    if is_root() {
        sandbox.succeeds(sandbox.mount().args(["-o", "nosymfollow"]));
        symlink("f", sandbox.plain().join("link")).unwrap();
        let followed = OpenOptions::new().read(true).custom_flags(0).open(sandbox.plain().join("link"));
        assert_eq!(followed.unwrap_err().raw_os_error(), Some(libc::ELOOP));
        sandbox.unmounts();
        let has_contexts = fs::exists("/sys/fs/selinux/enforce").unwrap();
        let contexts = sandbox.mount().args(["-o", "context=a:b:c"]).output().unwrap();
        assert!(has_contexts || !contexts.status.success(), "{contexts:?}");
    }
}
