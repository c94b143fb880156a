//! Export and import where source and destination are not alike, or fail: nothing is left out without a word, and what is
//! not copied keeps nothing else from it.

use crate::sandbox::{PROGRAM, Sandbox, is_root};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn import(sandbox: &Sandbox, source: &Path, path: &str, words: &[&str]) -> Command {
    let mut target = sandbox.backing().into_os_string();
    target.push(format!(":{path}"));
    let mut command = sandbox.program(&["import".as_ref(), source.as_ref(), target.as_ref()]);
    command.args(words).arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

fn export(sandbox: &Sandbox, path: &str, destination: &Path, words: &[&str]) -> Command {
    let mut source = sandbox.backing().into_os_string();
    source.push(format!(":{path}"));
    let mut command = sandbox.program(&["export".as_ref(), source.as_ref(), destination.as_ref()]);
    command.args(words).arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

/// A volume, and a folder to import.
fn with_source() -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::with_volume();
    let source = sandbox.path("source");
    fs::create_dir(&source).unwrap();
    (sandbox, source)
}

/// Bytes that are allocated.
fn allocated(file: &Path) -> u64 {
    fs::metadata(file).unwrap().blocks() * 512
}

fn set_xattr(file: &Path, name: &OsStr, length: usize) {
    let set = "import os, sys; os.setxattr(sys.argvb[1], sys.argvb[2], b'v' * int(sys.argv[3]))";
    let set = format!("import sys, os; sys.argvb = list(map(os.fsencode, sys.argv)); {set}");
    let mut python = Command::new("python3");
    python.args(["-c", &set]).arg(file).arg(name).arg(length.to_string());
    assert!(python.status().unwrap().success());
}

/// Names and lengths of the xattrs of a file.
fn xattrs(file: &Path) -> String {
    let list = "import os, sys; f = sys.argv[1]; print(sorted((n, len(os.getxattr(f, n))) for n in os.listxattr(f)))";
    let output = Command::new("python3").args(["-c", list]).arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_name_in_a_volume_is_taken_for_a_part_of_an_export() {
    let (sandbox, source) = with_source();
    let partial = ".cryptfs-export-partial";
    fs::create_dir(source.join("folder")).unwrap();
    for name in ["a", partial, "z", "folder/a", "folder/.cryptfs-export-partial", "folder/z"] {
        fs::write(source.join(name), name).unwrap();
    }
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let exported = sandbox.path("exported");
    sandbox.succeeds(&mut export(&sandbox, "", &exported, &[]));
    for name in ["a", partial, "z", "folder/a", "folder/.cryptfs-export-partial", "folder/z"] {
        assert_eq!(fs::read_to_string(exported.join(name)).unwrap(), name);
    }
    assert_eq!(fs::read_dir(&exported).unwrap().count(), 4);
}

#[test]
fn an_export_goes_through_a_link_and_never_into_the_volume_itself() {
    let (sandbox, source) = with_source();
    fs::write(source.join("file"), "content").unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    fs::create_dir(sandbox.path("real")).unwrap();
    symlink(sandbox.path("real"), sandbox.path("link")).unwrap();
    sandbox.succeeds(&mut export(&sandbox, "", &sandbox.path("link"), &[]));
    assert_eq!(fs::read_to_string(sandbox.path("real/file")).unwrap(), "content");
    for inside in
        [sandbox.backing(), sandbox.backing().join("rescued"), sandbox.backing().join("keys/../new")]
    {
        let told = sandbox.fails(&mut export(&sandbox, "", &inside, &[]), 2);
        assert!(told.contains("own folder"), "{told}");
    }
    assert!(!sandbox.backing().join("rescued").exists());
    // A link on the way, in place of a folder, is not followed.
    fs::create_dir(source.join("deep")).unwrap();
    fs::write(source.join("deep/file"), "content").unwrap();
    fs::write(source.join("zz"), "after").unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &["--resume"]));
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    symlink(sandbox.path("elsewhere"), sandbox.path("real/deep")).unwrap();
    let told = sandbox.fails(&mut export(&sandbox, "", &sandbox.path("real"), &["--resume"]), 32);
    assert!(told.contains("deep: not exported"), "{told}");
    assert_eq!(fs::read_dir(sandbox.path("elsewhere")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(sandbox.path("real/zz")).unwrap(), "after");
}

#[test]
fn a_stream_that_is_cut_off_is_no_success() {
    let (sandbox, source) = with_source();
    fs::write(source.join("large"), vec![7; 5 << 20]).unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let mut command = export(&sandbox, "", "-".as_ref(), &[]);
    let mut stream = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(stream.stdout.take());
    let Output { status, stderr, .. } = stream.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(String::from_utf8(stderr).unwrap().contains("was closed"));
}

#[test]
fn what_tar_cannot_hold_is_left_out_with_all_its_names() {
    let (sandbox, source) = with_source();
    fs::write(source.join("attributes"), "content").unwrap();
    let names: [&[u8]; 4] = [b"user.a=b", b"user.%3D", b"user.\xff", b"user.plain"];
    names.iter().for_each(|name| set_xattr(&source.join("attributes"), OsStr::from_bytes(name), 5));
    let held = xattrs(&source.join("attributes"));
    drop(std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap());
    fs::hard_link(source.join("socket"), source.join("socket again")).unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let extracted = sandbox.path("extracted");
    fs::create_dir(&extracted).unwrap();
    let mut stream = export(&sandbox, "", "-".as_ref(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--xattrs", "--xattrs-include=*", "--directory"]).arg(&extracted);
    sandbox.succeeds(tar.stdin(stream.stdout.take().unwrap()));
    assert!(stream.wait().unwrap().success());
    assert_eq!(xattrs(&extracted.join("attributes")), held);
    assert_eq!(fs::read_dir(&extracted).unwrap().count(), 1);
}

/// More levels than a stack of 1 MiB has room for, were it one call for each.
#[test]
fn however_deep_folders_lie_they_are_read() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let make = "import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(int(sys.argv[2])):
    os.mkdir('d', dir_fd=fd)
    fd, above = os.open('d', os.O_RDONLY, dir_fd=fd), fd
    os.close(above)
os.write(os.open('leaf', os.O_CREAT | os.O_WRONLY, dir_fd=fd), b'leaf')";
    let depth = 3_000;
    sandbox.succeeds(Command::new("python3").args(["-c", make]).arg(sandbox.plain()).arg(depth.to_string()));
    fs::write(sandbox.plain().join("zz"), "after").unwrap();
    sandbox.unmounts();
    let run = |words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -s 1024 && exec \"$0\" \"$@\""]).arg(PROGRAM);
        let mut command = sandbox.prepared(command, &[words[0].as_ref(), sandbox.backing().as_ref()]);
        command.args(&words[1..]).arg("--passphrase-file").arg(sandbox.path("passphrase")).output().unwrap()
    };
    for (words, end) in
        [(&["du", "-s"][..], "9\t/\n"), (&["tree", "--json"], "\"zz\"}\n"), (&["export", "-"], "")]
    {
        let output = run(words);
        assert!(output.status.success(), "{words:?}: {:?}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.ends_with(end.as_bytes()), "{words:?}");
    }
    // A folder cannot hold such paths: what lies too deep is told of, and the rest is there.
    let exported = sandbox.path("exported");
    let told = sandbox.fails(&mut export(&sandbox, "", &exported, &[]), 32);
    assert!(told.contains("File name too long"), "{told}");
    assert_eq!(fs::read_to_string(exported.join("zz")).unwrap(), "after");
    // Too deep for `remove_dir_all` by its path, too.
    sandbox.succeeds(Command::new("rm").arg("-rf").arg(exported));
}

/// A path of more than 4 KiB is too long for the kernel, and not for what is to be copied.
#[test]
fn however_deep_folders_lie_they_are_imported() {
    let (sandbox, source) = with_source();
    let make = "import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(150):
    os.mkdir('d' * 60, dir_fd=fd)
    fd, above = os.open('d' * 60, os.O_RDONLY, dir_fd=fd), fd
    os.close(above)
leaf = os.open('leaf', os.O_CREAT | os.O_WRONLY, dir_fd=fd)
os.write(leaf, b'leaf')
os.setxattr(leaf, 'user.of', b'leaf')";
    sandbox.succeeds(Command::new("python3").args(["-c", make]).arg(&source));
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let mut path = sandbox.backing().into_os_string();
    path.push(":");
    path.push(format!("{}/", "d".repeat(60)).repeat(150));
    path.push("leaf");
    let mut cat = sandbox.program(&["cat".as_ref(), path.as_ref()]);
    cat.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    assert_eq!(sandbox.succeeds(&mut cat), "leaf");
    sandbox.succeeds(Command::new("rm").arg("-rf").arg(source));
}

/// `tar --acls` applies lists of its own headers only, and drops those that come as attributes.
#[test]
fn an_access_control_list_goes_through_tar() {
    let (sandbox, source) = with_source();
    fs::write(source.join("listed"), "").unwrap();
    fs::create_dir(source.join("folder")).unwrap();
    for (list, name) in [("u:1000:rwx,g:33:r", "listed"), ("d:u:77:rx", "folder")] {
        sandbox.succeeds(Command::new("setfacl").args(["-m", list]).arg(source.join(name)));
    }
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let mut export = export(&sandbox, "", "-".as_ref(), &[]);
    let mut stream = export.stdout(Stdio::piped()).spawn().unwrap();
    let extracted = sandbox.path("extracted");
    fs::create_dir(&extracted).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-x", "--acls", "-C"]).arg(&extracted);
    sandbox.succeeds(tar.stdin(stream.stdout.take().unwrap()));
    assert!(stream.wait().unwrap().success());
    for name in ["listed", "folder"] {
        let list =
            |top: &Path| sandbox.succeeds(Command::new("getfacl").args(["-n", "-c"]).arg(top.join(name)));
        assert_eq!(list(&extracted), list(&source));
    }
}

#[test]
fn holes_are_holes_in_the_volume_and_out_of_it() {
    let (sandbox, source) = with_source();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    for (at, text) in [(0, "first"), (70_000, "second"), ((1 << 29) + 5, "third"), ((1 << 30) - 4, "last")] {
        sparse.write_all_at(text.as_bytes(), at).unwrap();
    }
    File::create(source.join("hole")).unwrap().set_len(10_000_001).unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let exported = sandbox.path("exported");
    sandbox.succeeds(&mut export(&sandbox, "", &exported, &[]));
    assert!(allocated(&source.join("sparse")) < 1 << 16);
    for (name, most) in [("sparse", 1 << 16), ("hole", 4096)] {
        sandbox.succeeds(Command::new("cmp").arg(source.join(name)).arg(exported.join(name)));
        assert!(allocated(&exported.join(name)) <= most, "{name}");
    }
}

#[test]
fn what_an_import_cannot_take_keeps_nothing_else_from_it() {
    let (sandbox, source) = with_source();
    fs::write(source.join("a"), "first").unwrap();
    for number in 0..1200 {
        fs::hard_link(source.join("a"), source.join(format!("links {number:0>200}"))).unwrap();
    }
    fs::write(source.join("z"), "last").unwrap();
    let told = sandbox.fails(&mut import(&sandbox, &source, "", &[]), 32);
    assert!(told.contains("so many names"), "{told}");
    // A second time nothing is done again, and nothing is there that was not.
    fs::write(source.join("zz"), "later").unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &["--resume"]));
    sandbox.succeeds(&mut sandbox.mount());
    let held = |name: &str| fs::read_to_string(sandbox.plain().join(name)).unwrap();
    assert_eq!(
        (held("z"), held("zz"), held(&format!("links {:0>200}", 1199))),
        ("last".into(), "later".into(), "first".into())
    );
    assert_eq!(fs::read_dir(sandbox.plain()).unwrap().count(), 1203);
    sandbox.unmounts();
}

#[test]
fn xattrs_that_are_too_long_and_files_that_cannot_be_opened_are_left_out_whole() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    let source = sandbox.path("source");
    fs::create_dir(&source).unwrap();
    sandbox.succeeds(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&source));
    for name in ["a", "b", "c"] {
        fs::write(source.join(name), name).unwrap();
    }
    (0..6).for_each(|number| {
        set_xattr(&source.join("b"), OsString::from(format!("trusted.{number}")).as_ref(), 60_000)
    });
    let output = import(&sandbox, &source, "in", &[]).output();
    let unmounted = Command::new("umount").arg(&source).status();
    let (output, _) = (output.unwrap(), unmounted.unwrap());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(32), "{told}");
    assert!(told.contains("in/b: not imported: its extended attributes"), "{told}");
    let ls = |path: &str| {
        let mut target = sandbox.backing().into_os_string();
        target.push(path);
        let mut ls = sandbox.program(&["ls".as_ref(), target.as_ref()]);
        sandbox.succeeds(ls.arg("--passphrase-file").arg(sandbox.path("passphrase")))
    };
    assert_eq!(ls(":in"), "a\nc\n");

    let sandbox = Sandbox::of_nobody();
    let source = sandbox.path("source");
    fs::create_dir(&source).unwrap();
    for name in ["open", "shut"] {
        fs::write(source.join(name), name).unwrap();
    }
    sandbox.succeeds(Command::new("chmod").arg("600").arg(source.join("shut")));
    let told = sandbox.fails(&mut sandbox.as_nobody(&import(&sandbox, &source, "", &[])), 32);
    assert!(told.contains("shut: not imported: Permission denied"), "{told}");
    let mut ls = sandbox.program(&["ls".as_ref(), sandbox.backing().as_ref()]);
    ls.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    assert_eq!(sandbox.succeeds(&mut sandbox.as_nobody(&ls)), "open\n");
}

#[test]
fn an_import_says_what_is_wrong_with_where_it_is_to_go_or_comes_from() {
    let (sandbox, source) = with_source();
    fs::create_dir(source.join("sub")).unwrap();
    fs::write(source.join("sub/file"), "content").unwrap();
    sandbox.succeeds(&mut import(&sandbox, &source, "", &[]));
    let told = sandbox.fails(&mut import(&sandbox, &source, "sub/file", &[]), 33);
    assert!(told.contains("sub/file: not a directory") && !told.contains("disk"), "{told}");
    sandbox.fails(&mut import(&sandbox, &source, "sub/file/deeper", &[]), 33);
    sandbox.fails(&mut import(&sandbox, &source, "../up", &[]), 2);
    sandbox.fails(&mut import(&sandbox, &source, &"n".repeat(300), &[]), 2);
    sandbox.fails(&mut import(&sandbox, &sandbox.path("none"), "", &[]), 1);
    sandbox.fails(&mut import(&sandbox, &sandbox.backing().join("keys"), "", &[]), 2);
    // A folder above the volume's own.
    let told = sandbox.fails(&mut import(&sandbox, &sandbox.path(""), "all", &[]), 32);
    assert!(told.contains("all/backing: not imported: it is the volume's own folder"), "{told}");
}
