//! systemd units, those of `cryptfs unit` and those of the package: systemd finds nothing wrong with them, and they may do
//! little.

use crate::sandbox::{PROGRAM, Sandbox};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `cryptfs unit` prints: names and texts.
fn units(sandbox: &Sandbox, arguments: &[&str]) -> Vec<(String, String)> {
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let mut unit = sandbox.program(&["unit".as_ref(), backing.as_ref(), plain.as_ref()]);
    let text = sandbox.succeeds(unit.args(arguments));
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let name = line
            .strip_prefix("# ")
            .filter(|rest| [".service", ".mount", ".automount"].iter().any(|kind| rest.ends_with(kind)));
        match (name, found.last_mut()) {
            (Some(name), _) => found.push((name.to_owned(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => panic!("{text}"),
        }
    }
    found
}

/// Writes units into a folder, and has systemd look at each.
fn verify(folder: &Path, units: &[(String, String)]) {
    fs::create_dir_all(folder).unwrap();
    for (name, text) in units {
        fs::write(folder.join(name), text).unwrap();
    }
    for (name, text) in units {
        let looked = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(folder.join(name))
            .output()
            .expect("scripts/setup --test installs systemd");
        let told = String::from_utf8(looked.stderr).unwrap();
        assert!(looked.status.success() && told.is_empty(), "{name}: {told}\n{text}");
    }
}

/// `most` is in tenths.
fn assert_exposed_little(file: &Path, most: u32) {
    let looked = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &format!("--threshold={most}")])
        .arg(file)
        .output()
        .unwrap();
    assert!(looked.status.success(), "{}", String::from_utf8_lossy(&looked.stdout));
}

#[test]
fn units_of_one_volume() {
    let sandbox = Sandbox::with_volume();
    let all = [
        (
            units(&sandbox, &["--idle", "15min", "--lock-on-sleep", "-o", "ro", "--after", "x.service"]),
            ".service",
        ),
        (units(&sandbox, &["--user", "--idle", "15min"]), ".service"),
        (units(&sandbox, &["--automount", "--idle", "15min", "-o", "ro,threads=4"]), ".automount"),
    ];
    for (at, (units, first)) in all.iter().enumerate() {
        let folder = sandbox.path(&format!("units {at}"));
        assert!(units[0].0.ends_with(first), "{}", units[0].0);
        verify(&folder, units);
        if at == 0 {
            assert_exposed_little(&folder.join(&units[0].0), 50);
        }
    }
    let [automount, mount] = &all[2].0[..] else { panic!("two units") };
    assert!(automount.1.contains("TimeoutIdleSec=900\n") && mount.1.contains("Options=ro,threads=4\n"));
    assert!(mount.1.contains("Type=fuse.cryptfs\n"));
}

/// systemd starts programs in the root directory.
#[test]
fn paths_among_the_options_do_not_depend_on_where_one_stands() {
    let sandbox = Sandbox::with_volume();
    let here = std::env::current_dir().unwrap();
    let options = "passphrase-file=my secret,keys=a\\,b,log-file=/l,ro";
    let text = &units(&sandbox, &["-o", options])[0].1;
    let wanted =
        format!("-o \"passphrase-file={0}/my secret,keys={0}/a\\\\,b,log-file=/l,ro\" ", here.display());
    assert!(text.contains(&wanted), "{wanted}\n{text}");
}

/// A line of its own would be whatever its writer likes.
#[test]
fn what_cannot_stand_in_a_unit_is_refused() {
    let sandbox = Sandbox::with_volume();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    for bad in [
        ["-o", "passphrase-file=/a\nExecStartPre=/bin/x"],
        ["--after", "a.service\nWants=b.service"],
        ["--automount", "--lock-on-sleep"],
    ] {
        let mut unit = sandbox.program(&["unit".as_ref(), backing.as_ref(), plain.as_ref()]);
        sandbox.fails(unit.args(bad), 2);
    }
}

/// It would fail at the next boot, when nobody looks.
#[test]
fn a_unit_is_for_a_volume_and_says_what_it_lacks() {
    let sandbox = Sandbox::with_volume();
    let unit = |words: &[&std::path::Path]| {
        let mut unit = sandbox.program(&["unit".as_ref()]);
        unit.args(words).args(["--user", "--install"]).env("XDG_CONFIG_HOME", sandbox.path("config"));
        unit
    };
    let (backing, plain, none) = (sandbox.backing(), sandbox.plain(), sandbox.path("none"));
    let told = sandbox.fails(&mut unit(&[&plain, &backing]), 10);
    assert!(told.contains("DIR/backing is one"), "{told}");
    let told = sandbox.fails(&mut unit(&[&plain, &none]), 10);
    assert!(told.contains("is not a cryptfs volume"), "{told}");
    let told = sandbox.succeeds(&mut unit(&[&backing, &none]));
    assert!(told.contains("none does not exist yet. Make it first: `mkdir "), "{told}");
    assert!(!sandbox.succeeds(&mut unit(&[&backing, &plain])).contains("mkdir"));
}

#[test]
fn units_of_the_package() {
    let sandbox = Sandbox::empty();
    for place in ["system", "user"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("systemd/{place}/cryptfs@.service"));
        let text = fs::read_to_string(file).unwrap().replace("/usr/bin/cryptfs", PROGRAM);
        let units = [("cryptfs@.service".to_owned(), text.clone()), ("cryptfs@x.service".to_owned(), text)];
        verify(&sandbox.path(place), &units);
    }
    assert_exposed_little(&sandbox.path("system/cryptfs@x.service"), 50);
    let others = [
        ("system/cryptfs-lock@.service", "cryptfs-lock@root.service"),
        ("user/cryptfs-check@.service", "cryptfs-check@tmp-x.service"),
        ("user/cryptfs-check@.timer", "cryptfs-check@tmp-x.timer"),
    ];
    let others = others.map(|(file, name)| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(file);
        (name.to_owned(), fs::read_to_string(file).unwrap().replace("/usr/bin/cryptfs", PROGRAM))
    });
    verify(&sandbox.path("others"), &others);
    // systemd takes it for root's, and counts what only root could do.
    assert_exposed_little(&sandbox.path("others/cryptfs-check@tmp-x.service"), 59);
}

#[test]
fn units_are_installed_and_those_of_others_are_left_alone() {
    let sandbox = Sandbox::with_volume();
    let (backing, plain, config) = (sandbox.backing(), sandbox.plain(), sandbox.path("config"));
    let install = |options: &[&str]| {
        let words =
            ["unit".as_ref(), backing.as_ref(), plain.as_ref(), "--user".as_ref(), "--install".as_ref()];
        let mut unit = sandbox.program(&words);
        unit.args(options).env("XDG_CONFIG_HOME", &config);
        unit
    };
    let told = sandbox.succeeds(&mut install(&[]));
    let folder = config.join("systemd/user");
    let name = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    assert!(told.contains("systemctl --user enable --now") && told.contains(&name), "{told}");
    sandbox.succeeds(&mut install(&["-o", "ro"]));
    assert!(fs::read_to_string(folder.join(&name)).unwrap().contains("mount -f -o ro "));
    fs::write(folder.join(&name), "[Unit]\nDescription=mine\n").unwrap();
    let told = sandbox.fails(&mut install(&[]), 1);
    assert!(told.contains("another unit of that name"), "{told}");
    assert!(fs::read_to_string(folder.join(&name)).unwrap().contains("mine"));
    for (options, code) in [(&["--automount"][..], 2), (&["-o", "r0"][..], 2)] {
        sandbox.fails(&mut install(options), code);
    }
}
