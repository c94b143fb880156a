//! One step beside what was meant: what is told names it, and the way out.

use crate::refusals::told;
use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// One step beside what was meant.
#[test]
fn what_is_near_a_volume_is_told_from_it() {
    let sandbox = Sandbox::with_volume();
    let told_of = |command: &str, path: &Path, code, wanted: &str| {
        told(&sandbox.fails(&mut sandbox.program(&[command.as_ref(), path.as_ref()]), code), wanted);
    };
    let header = sandbox.backing().join("cryptfs.json");
    let wanted = "DIR/backing/cryptfs.json: is not a folder. Give the folder of the volume: DIR/backing.";
    told_of("info", &header, 10, wanted);
    told_of("ls", &header, 10, wanted);
    let mut mount = sandbox.program(&["mount".as_ref(), header.as_ref(), sandbox.plain().as_ref()]);
    told(&sandbox.fails(&mut mount, 10), wanted);
    let wanted = "DIR: is not a cryptfs volume, but DIR/backing in it is one. Give that folder.";
    told_of("info", sandbox.backing().parent().unwrap(), 10, wanted);
    for command in ["umount", "sync", "status"] {
        let wanted = "DIR/nowhere: there is no cryptfs mount. `cryptfs status` lists those there are.";
        told_of(command, &sandbox.path("nowhere"), 25, wanted);
    }
    fs::write(sandbox.path("file"), "").unwrap();
    told_of("init", &sandbox.path("file"), 1, "DIR/file: is not a folder. Choose another name.");
    let wanted = "DIR/backing/new: is in the folder of a volume, DIR/backing. Choose another folder, or insist with --force.";
    told_of("init", &sandbox.backing().join("new"), 16, wanted);
    assert!(!sandbox.backing().join("new").exists());
}

/// What is decrypted would lie where a sync client takes it along, or the volume would be hidden from that.
#[test]
fn a_mountpoint_in_the_volumes_own_folder() {
    let sandbox = Sandbox::with_volume();
    let (backing, inside) = (sandbox.backing(), sandbox.backing().join("inside"));
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(&inside, sandbox.path("link")).unwrap();
    let own = |at: &str| {
        format!(
            "{at}: is in the volume's own folder, from which a sync client would take along what is decrypted"
        )
    };
    let above = "DIR: has the volume's own folder in it, DIR/backing, which the mount would hide".to_owned();
    let refused = |command: &str, at: &Path, wanted: &str| {
        let mut command = sandbox.program(&[command.as_ref(), backing.as_ref(), at.as_ref()]);
        let text = sandbox.fails(command.stdin(Stdio::null()), 22);
        told(&text, &format!("{wanted}. Choose another folder."));
    };
    for command in ["mount", "unit"] {
        refused(command, &backing, &own("DIR/backing"));
        refused(command, &inside, &own("DIR/backing/inside"));
        refused(command, backing.parent().unwrap(), &above);
    }
    refused("mount", &sandbox.path("link"), &own("DIR/backing/inside"));
    assert!(!sandbox.is_mounted());
}

#[test]
fn a_folder_that_this_user_may_not_look_into() {
    let sandbox = Sandbox::of_nobody();
    let mode = |mode| fs::set_permissions(sandbox.backing(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    let backing = sandbox.backing();
    for words in [&["ls".as_ref(), backing.as_ref()][..], &["info".as_ref(), backing.as_ref()]] {
        told(
            &sandbox.fails(&mut sandbox.as_nobody(&sandbox.program(words)), 1),
            "DIR/backing: this user may not read that folder, or cryptfs.json in it. `ls -la DIR/backing` shows whose they are.",
        );
    }
    mode(0o555);
    for folder in ["chunks", "keys"] {
        fs::set_permissions(backing.join(folder), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let text = sandbox.remarks(&mut sandbox.as_nobody(&sandbox.mount()));
    assert!(text.contains("the volume is mounted read-only"), "{text}");
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
}

#[test]
fn an_ordinary_user_installs_no_unit_of_the_machines() {
    let sandbox = Sandbox::of_nobody();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let unit = sandbox.program(&["unit".as_ref(), backing.as_ref(), plain.as_ref(), "--install".as_ref()]);
    let text = sandbox.fails(&mut sandbox.as_nobody(&unit), 1);
    assert!(text.contains("only root may write there. Run this as root, or with --user"), "{text}");
}
