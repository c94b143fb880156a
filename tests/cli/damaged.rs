//! Damaged folders, one for each kind of finding that files alone can make: a check names exactly that, a repair mends it,
//! a second check is clean, and what was not damaged is byte for byte what it was. What only keys can make is in
//! `repair::tests`.

use crate::sandbox::Sandbox;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a mount shows: mode, time of change, and of a file the content.
type Shown = BTreeMap<String, (u32, i64, Vec<u8>)>;

/// A volume as it was, after changes, and what it shows then.
struct Golden {
    sandbox: Sandbox,
    shown: Shown,
    /// The chunk files of paths, before and after the changes.
    files: BTreeMap<String, PathBuf>,
}

struct Case {
    name: &'static str,
    damage: fn(&DamagedFixture),
    found: &'static [&'static str],
    code: i32,
    /// What a check needs beside `--repair --yes` to mend it; the code that it ends with.
    repair: (&'static [&'static str], i32),
    /// Paths whose content, place or attributes it costs.
    lost: &'static [&'static str],
    /// A path that is there afterwards.
    there: &'static str,
    /// What is found again: nothing is wrong with it.
    notes: &'static [&'static str],
}

/// A copy of a golden volume.
struct DamagedFixture<'a> {
    sandbox: Sandbox,
    golden: &'a Golden,
}

const SOUND: Case = Case {
    name: "nothing",
    damage: |_| (),
    found: &[],
    code: 0,
    repair: (&[], 0),
    lost: &[],
    there: "b/three",
    notes: &[],
};

const CASES: &[Case] = &[
    SOUND,
    Case {
        name: "a foreign file",
        damage: |fixture| fs::write(fixture.backing("desktop.ini"), "").unwrap(),
        found: &["foreign-file"],
        notes: &["foreign-file"],
        ..SOUND
    },
    Case {
        name: "a conflict copy of what is in place, which a mount removes after ten minutes",
        damage: |fixture| {
            let file = fixture.file("top");
            fs::copy(&file, file.with_extension("sync-conflict-20260101-010101-ABCDEFG")).unwrap();
        },
        found: &["conflict-copy"],
        notes: &["conflict-copy"],
        ..SOUND
    },
    Case {
        name: "a slot that opens nothing",
        damage: |fixture| {
            fs::write(fixture.backing("keys/00112233445566778899aabbccddeeff.json"), "{}").unwrap();
        },
        found: &["dead-slot"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "garbage",
        damage: |fixture| drop(fixture.put_garbage()),
        found: &["garbage"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "a block of a file",
        damage: |fixture| fixture.spoil("big", 9),
        found: &["content"],
        code: 4,
        repair: (&["--data"], 3),
        lost: &["big"],
        there: "big.partial",
        ..SOUND
    },
    Case {
        name: "a small file, gone",
        damage: |fixture| fs::remove_file(fixture.file("top")).unwrap(),
        found: &["dangling-name"],
        code: 4,
        repair: (&[], 3),
        lost: &["top"],
        ..SOUND
    },
    Case {
        name: "a small file, spoilt",
        damage: |fixture| fs::write(fixture.file("top"), vec![9; 9000]).unwrap(),
        found: &["dangling-name"],
        code: 4,
        repair: (&[], 3),
        lost: &["top"],
        ..SOUND
    },
    Case {
        name: "a small file, a link in its place",
        damage: |fixture| {
            fs::remove_file(fixture.file("top")).unwrap();
            symlink("/etc/passwd", fixture.file("top")).unwrap();
        },
        found: &["dangling-name", "foreign-file"],
        code: 4,
        repair: (&[], 3),
        lost: &["top"],
        notes: &["foreign-file"],
        ..SOUND
    },
    Case {
        name: "a small file that has not arrived",
        damage: |fixture| {
            fs::remove_file(fixture.file("top")).unwrap();
            fixture.forget();
        },
        found: &["dangling-name"],
        code: 5,
        repair: (&["--missing-is-lost"], 3),
        lost: &["top"],
        ..SOUND
    },
    Case {
        name: "a small file, older than it was",
        damage: |fixture| fixture.bring_back("b/three"),
        found: &["dangling-name"],
        code: 4,
        repair: (&["--accept-older"], 3),
        lost: &["b/three"],
        ..SOUND
    },
    Case {
        name: "a folder",
        damage: |fixture| fs::remove_file(fixture.file("a")).unwrap(),
        // One of its files has another name elsewhere.
        found: &["dangling-name", "links", "unnamed"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "the root directory",
        damage: |fixture| fs::remove_file(fixture.file("")).unwrap(),
        found: &["root", "unnamed"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "the root directory, a folder in its place",
        damage: |fixture| {
            fs::remove_file(fixture.file("")).unwrap();
            fs::create_dir(fixture.file("")).unwrap();
        },
        found: &["foreign-file", "root", "unnamed"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "the roots of the root directory",
        damage: |fixture| fs::write(fixture.file(""), vec![3; 9000]).unwrap(),
        found: &["root", "unnamed"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "the journal",
        damage: |fixture| fs::write(fixture.journal(), vec![9; 20_000]).unwrap(),
        found: &["journal"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "the journal, a folder in its place",
        damage: |fixture| {
            let journal = fixture.journal();
            fs::remove_file(&journal).unwrap();
            fs::create_dir(&journal).unwrap();
        },
        found: &["foreign-file", "journal"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "the journal, gone",
        damage: |fixture| fs::remove_file(fixture.journal()).unwrap(),
        found: &["journal"],
        code: 4,
        repair: (&[], 3),
        ..SOUND
    },
    Case {
        name: "a removed file that came back",
        damage: |fixture| fixture.bring_back("removed"),
        found: &["returned"],
        notes: &["returned"],
        ..SOUND
    },
    Case {
        name: "another device's folder that is older than what was in it",
        damage: |fixture| {
            fixture.bring_back("b");
            fixture.forget();
        },
        found: &["links", "unnamed"],
        code: 5,
        repair: (&["--missing-is-lost"], 3),
        lost: &["b"],
        there: "lost+found/b/late",
        ..SOUND
    },
    Case {
        name: "another device's folder that is older than what was moved out of it",
        damage: |fixture| {
            fixture.bring_back("a");
            fixture.forget();
        },
        found: &["several-names"],
        code: 5,
        repair: (&["--missing-is-lost"], 3),
        lost: &["a"],
        ..SOUND
    },
    Case {
        name: "another device's file that is older than its second name",
        damage: |fixture| {
            fixture.bring_back("a/two");
            fixture.forget();
        },
        found: &["links"],
        code: 5,
        repair: (&["--missing-is-lost"], 3),
        lost: &["a/two", "b/second"],
        ..SOUND
    },
];

impl Golden {
    fn new() -> Golden {
        let sandbox = Sandbox::empty();
        sandbox.succeeds(sandbox.init().args(["--no-recovery", "--chunk-size=1M"]));
        sandbox.succeeds(&mut sandbox.mount());
        let plain = sandbox.plain();
        let write = |path: &str, length: usize| {
            fs::write(plain.join(path), path.bytes().cycle().take(length).collect::<Vec<u8>>()).unwrap();
        };
        ["a", "b", "a/inner"].iter().for_each(|path| fs::create_dir(plain.join(path)).unwrap());
        write("a/one", 700);
        write("a/two", 30_000);
        write("a/inner/deep", 10);
        write("b/three", 5_000);
        write("removed", 100);
        write("top", 50);
        write("big", 3 << 20);
        sandbox.unmounts();
        let paths = ["", "a", "b", "a/one", "a/two", "b/three", "removed", "top", "big", "a/inner/deep"];
        let files = paths.map(|path| (path.to_owned(), chunk_file(&sandbox, path)));
        copy(&sandbox.backing(), &sandbox.path("before"));
        sandbox.succeeds(&mut sandbox.mount());
        fs::remove_file(plain.join("removed")).unwrap();
        fs::hard_link(plain.join("a/two"), plain.join("b/second")).unwrap();
        fs::rename(plain.join("a/inner"), plain.join("b/inner")).unwrap();
        write("b/late", 300);
        write("b/three", 4_000);
        let shown = shown(&plain);
        sandbox.unmounts();
        Golden { sandbox, shown, files: files.into() }
    }
}

impl DamagedFixture<'_> {
    fn of(golden: &Golden) -> DamagedFixture<'_> {
        let sandbox = Sandbox::empty();
        copy(&golden.sandbox.backing(), &sandbox.backing());
        fs::remove_dir(sandbox.path("state")).unwrap();
        copy(&golden.sandbox.path("state"), &sandbox.path("state"));
        DamagedFixture { sandbox, golden }
    }

    fn backing(&self, path: &str) -> PathBuf {
        self.sandbox.backing().join(path)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.sandbox.backing().join(&self.golden.files[path])
    }

    fn journal(&self) -> PathBuf {
        let mut found = BTreeSet::new();
        files(&self.backing("journals"), &mut found);
        assert_eq!(found.len(), 1);
        found.pop_first().unwrap()
    }

    fn spoil(&self, path: &str, block: u64) {
        let file = fs::File::options().write(true).open(self.file(path)).unwrap();
        file.write_all_at(b"damage", block * 4096).unwrap();
    }

    /// A file with the name of a chunk file.
    fn put_garbage(&self) -> PathBuf {
        let file = self.backing("chunks/00/112233445566778899aabbccddeeff");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, vec![7; 9000]).unwrap();
        file
    }

    /// The chunk file as it was before the changes.
    fn bring_back(&self, path: &str) {
        fs::copy(self.golden.sandbox.path("before").join(&self.golden.files[path]), self.file(path)).unwrap();
    }

    /// As on a device that never saw the volume.
    fn forget(&self) {
        fs::remove_dir_all(self.sandbox.path("state")).unwrap();
        fs::create_dir(self.sandbox.path("state")).unwrap();
    }

    /// The kinds of what a check finds; it has to end with this code.
    fn check(&self, words: &[&str], code: i32, what: &str) -> BTreeSet<String> {
        let mut command = self.sandbox.program(&["check".as_ref(), self.sandbox.backing().as_ref()]);
        command.args(["--json"]).args(words).arg("--passphrase-file").arg(self.sandbox.path("passphrase"));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{what}: {words:?}: {text}{errors}");
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        lines.filter_map(|line| Some(line["what"].as_str()?.to_owned())).collect()
    }
}

fn chunk_file(sandbox: &Sandbox, path: &str) -> PathBuf {
    let mut target = sandbox.backing().into_os_string();
    target.push(format!(":{path}"));
    let mut stat = sandbox.program(&["stat".as_ref(), target.as_ref()]);
    let text = sandbox.succeeds(stat.arg("--passphrase-file").arg(sandbox.path("passphrase")));
    text.lines().find_map(|line| line.strip_prefix("Chunk file")).unwrap().trim().into()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else {
            found.insert(entry);
        }
    }
}

fn shown(folder: &Path) -> Shown {
    let (mut shown, mut waiting) = (Shown::new(), vec![folder.to_owned()]);
    while let Some(at) = waiting.pop() {
        for path in fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            let status = fs::symlink_metadata(&path).unwrap();
            let content = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap_or_default() };
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            shown.insert(name, (status.mode(), status.mtime(), content));
            waiting.extend(status.is_dir().then_some(path));
        }
    }
    shown
}

fn is_named_and_repaired(golden: &Golden, case: &Case) {
    let Case { name, found, code, repair, notes, .. } = case;
    let fixture = DamagedFixture::of(golden);
    (case.damage)(&fixture);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(fixture.check(&["--data"], *code, name), words(found), "{name}");
    let (mut before, untouched) = (BTreeSet::new(), fixture.file("a/inner/deep"));
    files(&fixture.sandbox.backing(), &mut before);
    let held = fs::read(&untouched).unwrap();
    if *code == 5 {
        fixture.check(&["--repair", "--yes"], 5, name);
    }
    fixture.check(&[repair.0, &["--repair", "--yes"]].concat(), repair.1, name);
    // An unreadable journal is replaced, and an empty one removed.
    before.retain(|file| !file.starts_with(fixture.backing("journals")));
    assert!(before.iter().all(|file| file.exists()), "{name}: something was deleted in the folder");
    assert!(held == fs::read(&untouched).unwrap(), "{name}: something else was changed");
    fixture.sandbox.succeeds(&mut fixture.sandbox.mount());
    let now = shown(&fixture.sandbox.plain());
    fs::write(fixture.sandbox.plain().join("afterwards"), "").unwrap();
    fixture.sandbox.unmounts();
    for (path, was) in &golden.shown {
        let is_lost = case.lost.iter().any(|lost| path == lost || path.starts_with(&format!("{lost}/")));
        assert!(is_lost || now.get(path) == Some(was), "{name}: {path}: {:?}", now.keys());
    }
    assert!(now.contains_key(case.there), "{name}: {:?}", now.keys());
    assert_eq!(fixture.check(&["--data"], 0, name), words(notes), "{name}: again");
}

#[test]
fn each_kind_of_damage_is_named_and_repaired_and_costs_only_itself() {
    let golden = Golden::new();
    let is_wrong =
        |case: &&Case| catch_unwind(AssertUnwindSafe(|| is_named_and_repaired(&golden, case))).is_err();
    let wrong: Vec<&str> = CASES.iter().filter(is_wrong).map(|case| case.name).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn garbage_is_copied_into_the_state_folder() {
    let golden = Golden::new();
    let fixture = DamagedFixture::of(&golden);
    let garbage = fixture.put_garbage();
    fixture.check(&["--repair", "--yes"], 3, "garbage");
    let mut kept = BTreeSet::new();
    files(&fixture.sandbox.path("state"), &mut kept);
    let is_copy = |file: &&PathBuf| file.to_str().unwrap().contains("/replaced/chunks-00-1122");
    let copy = kept.iter().find(is_copy).expect("a copy is kept");
    assert!(fs::read(copy).unwrap() == vec![7; 9000] && garbage.exists());
}
