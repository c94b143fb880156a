//! `-o uid=` and `gid=`: whose everything seems to be.

use crate::sandbox::{Sandbox, is_root};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// As an ordinary user one could not write what belongs to somebody else.
#[test]
fn everything_seems_to_belong_to_whom_the_options_say() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    let own = fs::metadata(sandbox.path("state")).unwrap();
    let owner = |name: &str| {
        let found = fs::symlink_metadata(sandbox.plain().join(name)).unwrap();
        (found.uid(), found.gid())
    };
    let names = ["", "folder", "folder/file", "link", "new"];
    sandbox.succeeds(&mut sandbox.mount());
    fs::create_dir(sandbox.plain().join("folder")).unwrap();
    fs::write(sandbox.plain().join("folder/file"), "x").unwrap();
    std::os::unix::fs::symlink("folder", sandbox.plain().join("link")).unwrap();
    fs::write(sandbox.plain().join("new"), "x").unwrap();
    sandbox.unmounts();
    for (options, seen) in [
        ("uid=1234,gid=5678", (1234, 5678)),
        ("uid=1234", (1234, own.gid())),
        ("gid=5678", (own.uid(), 5678)),
    ] {
        sandbox.succeeds(sandbox.mount().args(["-o", options]));
        fs::write(sandbox.plain().join("new"), options).unwrap();
        assert_eq!(names.map(owner), names.map(|_| seen), "{options}");
        sandbox.unmounts();
    }
    sandbox.succeeds(&mut sandbox.mount());
    assert_eq!(names.map(owner), names.map(|_| (own.uid(), own.gid())));
    assert_eq!(fs::read_to_string(sandbox.plain().join("new")).unwrap(), "gid=5678");
    sandbox.unmounts();
}
