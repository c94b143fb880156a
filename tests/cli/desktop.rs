//! On a desktop: the trash of file managers.

use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

#[test]
fn what_is_thrown_away_lies_in_the_mounts_own_trash() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let (file, data) = (sandbox.plain().join("letter"), sandbox.path("data"));
    fs::write(&file, "content").unwrap();
    let mut gio = sandbox.prepared(Command::new("gio"), &["trash".as_ref(), file.as_ref()]);
    sandbox.succeeds(gio.env("XDG_DATA_HOME", &data).env_remove("DBUS_SESSION_BUS_ADDRESS"));
    sandbox.unmounts();
    sandbox.succeeds(&mut sandbox.mount());
    let user = fs::metadata(sandbox.plain()).unwrap().uid();
    let trash = sandbox.plain().join(format!(".Trash-{user}"));
    let info = fs::read_to_string(trash.join("info/letter.trashinfo")).unwrap();
    assert!(!file.exists() && info.contains("\nPath=letter\n"), "{info}");
    assert_eq!(fs::read(trash.join("files/letter")).unwrap(), b"content");
    fs::rename(trash.join("files/letter"), &file).unwrap();
    assert_eq!((fs::read(&file).unwrap().as_slice(), data.join("Trash").exists()), (&b"content"[..], false));
    sandbox.unmounts();
}
