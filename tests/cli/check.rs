//! `cryptfs check` and `--repair` as a frightened person uses them, on real folders.

use crate::sandbox::Sandbox;
use crate::terminal::on_terminal;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn check(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = sandbox.program(&["check".as_ref(), sandbox.backing().as_ref()]);
    command.args(words).arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

/// What it prints, one line a finding; it has to end with this code.
fn found(sandbox: &Sandbox, words: &[&str], code: i32) -> Vec<String> {
    let output = check(sandbox, words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter(|line| !line.starts_with("Checked ")).map(str::to_owned).collect()
}

/// Every file in a folder, with its content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// A volume with folders and files, and what a mount shows of it.
fn filled() -> (Sandbox, BTreeMap<PathBuf, Vec<u8>>) {
    let sandbox = Sandbox::empty();
    sandbox.succeeds(sandbox.init().args(["--no-recovery", "--chunk-size=1M"]));
    sandbox.succeeds(&mut sandbox.mount());
    let plain = sandbox.plain();
    for folder in ["letters", "letters/2019", "photos"] {
        fs::create_dir(plain.join(folder)).unwrap();
        for n in 0..10 {
            fs::write(plain.join(folder).join(format!("file {n}")), format!("{folder} {n} ").repeat(n * 300))
                .unwrap();
        }
    }
    fs::write(plain.join("photos/film"), vec![7; 3 << 20]).unwrap();
    let tree = tree(&plain);
    sandbox.unmounts();
    (sandbox, tree)
}

/// The chunk file of something.
fn chunk_file(sandbox: &Sandbox, path: &str) -> PathBuf {
    let mut target = sandbox.backing().into_os_string();
    target.push(format!(":{path}"));
    let mut stat = sandbox.program(&["stat".as_ref(), target.as_ref()]);
    let text = sandbox.succeeds(stat.arg("--passphrase-file").arg(sandbox.path("passphrase")));
    let line = text.lines().find_map(|line| line.strip_prefix("Chunk file")).unwrap();
    sandbox.backing().join(line.trim())
}

fn shown(sandbox: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    sandbox.succeeds(&mut sandbox.mount());
    let tree = tree(&sandbox.plain());
    fs::write(sandbox.plain().join("written afterwards"), "yes").unwrap();
    fs::remove_file(sandbox.plain().join("written afterwards")).unwrap();
    sandbox.unmounts();
    tree
}

#[test]
fn a_sound_volume_is_clean_and_what_is_not_cryptfss_is_noted() {
    let (sandbox, _) = filled();
    assert!(found(&sandbox, &[], 0).is_empty() && found(&sandbox, &["--data"], 0).is_empty());
    fs::write(sandbox.backing().join("desktop.ini"), "").unwrap();
    let film = chunk_file(&sandbox, "photos/film");
    fs::copy(&film, film.with_extension("sync-conflict-20260101-010101-ABCDEFG")).unwrap();
    let notes = found(&sandbox, &[], 0);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().any(|line| line.starts_with("note     desktop.ini: is none of cryptfs's")));
    assert!(
        notes.iter().any(|line| line.contains(".sync-conflict-") && line.contains("copy of a chunk file"))
    );
    let json = sandbox.succeeds(&mut check(&sandbox, &["--json"]));
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["summary"]["findings"], &last["summary"]["files_and_folders"]),
        (&2.into(), &35.into())
    );
    let slot = sandbox.backing().join("keys/00112233445566778899aabbccddeeff.json");
    fs::write(&slot, "{}").unwrap();
    let lines = found(&sandbox, &[], 4);
    assert!(lines.iter().any(|line| line.contains(".json: is a key slot that opens nothing")), "{lines:?}");
    fs::remove_file(slot).unwrap();
    // Beside a mount it reads only, and a repair is refused.
    sandbox.succeeds(&mut sandbox.mount());
    // The mount removes the copy, which says nothing of its own, after ten minutes only.
    assert_eq!(found(&sandbox, &[], 0).len(), 2);
    sandbox.fails(&mut check(&sandbox, &["--repair", "--yes"]), 15);
    sandbox.unmounts();
}

#[test]
fn everything_comes_back_after_the_root_directory_is_lost() {
    let (sandbox, before) = filled();
    fs::remove_file(chunk_file(&sandbox, "")).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 29);
    assert!(told.contains("lacks a chunk file"), "{told}");
    let lines = found(&sandbox, &[], 4);
    assert!(
        lines.iter().any(|line| line.contains("the root directory cannot be read: its chunk file is gone"))
    );
    // Nothing is done without an answer.
    sandbox.fails(&mut check(&sandbox, &["--repair"]), 14);
    found(&sandbox, &["--repair", "--yes"], 3);
    assert!(found(&sandbox, &["--data"], 0).is_empty());
    assert!(shown(&sandbox) == before, "everything is in its place");
}

#[test]
fn a_lost_folder_and_a_damaged_file_cost_only_themselves() {
    let (sandbox, mut before) = filled();
    let (folder, film) = (chunk_file(&sandbox, "letters"), chunk_file(&sandbox, "photos/film"));
    fs::remove_file(&folder).unwrap();
    let writable = fs::File::options().write(true).open(&film).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&writable, b"damage", 9 * 4096).unwrap();
    fs::remove_file(chunk_file(&sandbox, "photos/file 3")).unwrap();
    let lines = found(&sandbox, &["--data"], 4);
    let has = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(has("letters: cannot be read: its chunk file is gone"), "{lines:?}");
    assert!(has("photos/film: bytes ") && has("photos/file 3: cannot be read"), "{lines:?}");
    let files = |sandbox: &Sandbox| tree(&sandbox.backing()).into_keys().collect::<Vec<_>>();
    let there = files(&sandbox);
    let repaired = found(&sandbox, &["--data", "--repair", "--yes"], 3);
    assert!(repaired.iter().any(|line| line.contains("Remove the name photos/file 3")), "{repaired:?}");
    assert!(repaired.iter().any(|line| line.starts_with("photos/film.partial: bytes ")), "{repaired:?}");
    let now = files(&sandbox);
    assert!(there.iter().all(|file| now.contains(file)), "nothing in the folder is deleted");
    let again = found(&sandbox, &["--data"], 0);
    assert!(again.iter().all(|line| line.contains("--all")), "{again:?}");
    assert!(!found(&sandbox, &["--data", "--all"], 0).is_empty());

    before.remove(Path::new("photos/file 3"));
    sandbox.succeeds(&mut sandbox.mount());
    let plain = sandbox.plain();
    for (path, content) in before.iter().filter(|(path, _)| !path.ends_with("film")) {
        assert!(fs::read(plain.join(path)).unwrap() == *content, "{path:?}");
    }
    let rest = fs::read(plain.join("photos/film.partial")).unwrap();
    assert_eq!(rest.len(), 3 << 20);
    assert_eq!(rest.iter().filter(|byte| **byte == 0).count(), 4096);
    sandbox.unmounts();
}

#[test]
fn older_files_are_left_alone_until_they_are_accepted() {
    let (sandbox, before) = filled();
    let files = ["letters/file 2", "photos"].map(|path| chunk_file(&sandbox, path));
    let held: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("letters/file 2"), "newer").unwrap();
    fs::rename(sandbox.plain().join("letters/file 3"), sandbox.plain().join("photos/moved")).unwrap();
    sandbox.unmounts();
    files.iter().zip(&held).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    let state = tree(&sandbox.backing());
    let lines = found(&sandbox, &["--repair", "--yes"], 4);
    assert!(
        lines.iter().any(|line| line.contains("letters/file 2: cannot be read: it is older")),
        "{lines:?}"
    );
    assert!(tree(&sandbox.backing()) == state, "nothing was changed");
    let told = sandbox.fails(&mut check(&sandbox, &[]), 4);
    assert!(told.contains("trust accept"), "{told}");
    let lines = found(&sandbox, &["--repair", "--accept-older", "--yes"], 3);
    let has = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(has("Take letters/file 2 as it is") && has("lost+found/photos/moved"), "{lines:?}");
    let shown = shown(&sandbox);
    let same = |path: &str, from: &str| shown[Path::new(path)] == before[Path::new(from)];
    assert!(same("letters/file 2", "letters/file 2") && same("lost+found/photos/moved", "letters/file 3"));
    let info = sandbox.succeeds(&mut sandbox.program(&["info".as_ref(), sandbox.backing().as_ref()]));
    assert!(info.contains("\nChecked ") && info.contains("nothing found"), "{info}");
}

#[test]
fn a_damaged_journal_is_replaced() {
    let (sandbox, before) = filled();
    let journals = fs::read_dir(sandbox.backing().join("journals")).unwrap();
    for journal in journals {
        fs::write(journal.unwrap().path(), vec![9; 20000]).unwrap();
    }
    sandbox.fails(&mut sandbox.mount(), 19);
    let lines = found(&sandbox, &[], 4);
    assert!(lines.len() == 1 && lines[0].contains("journal cannot be read"), "{lines:?}");
    found(&sandbox, &["--repair", "--yes"], 3);
    assert!(found(&sandbox, &[], 0).is_empty());
    assert!(shown(&sandbox) == before);
    let state = tree(&sandbox.path("state"));
    assert!(
        state.iter().any(|(path, bytes)| path.to_str().unwrap().contains("replaced") && bytes.len() == 20000)
    );
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let sandbox = Sandbox::with_volume();
    let (backing, passphrase) = (sandbox.backing(), sandbox.path("passphrase"));
    let words: [&OsStr; 5] = [
        "check".as_ref(),
        "--data".as_ref(),
        backing.as_ref(),
        "--passphrase-file".as_ref(),
        passphrase.as_ref(),
    ];
    let (shown, code) = on_terminal(&sandbox, &words, &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(" files, 0 MiB, ") && shown.contains(" a second, "), "{shown:?}");
}

/// What is advised finds what it is to mend, and what was put right is over.
#[test]
fn damage_to_content_is_repaired_as_it_was_found() {
    let (sandbox, _) = filled();
    let status = || {
        sandbox.succeeds(&mut sandbox.program(&[
            "trust".as_ref(),
            "status".as_ref(),
            sandbox.backing().as_ref(),
        ]))
    };
    let mut locate = sandbox.program(&["locate".as_ref()]);
    locate.arg(format!("{}:letters/file 9", sandbox.backing().display()));
    let file = sandbox.succeeds(locate.arg("--passphrase-file").arg(sandbox.path("passphrase")));
    let file = sandbox.backing().join(file.split_whitespace().last().unwrap());
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    // A block of data lies behind the roots.
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&file, damaged).unwrap();
    sandbox.succeeds(&mut sandbox.mount());
    assert!(fs::read(sandbox.plain().join("letters/file 9")).is_err());
    sandbox.unmounts();
    let told = sandbox.fails(&mut check(&sandbox, &["--data"]), 4);
    assert!(told.contains("`cryptfs check --repair --data DIR/backing`"), "{told}");
    let told = status();
    assert!(
        told.contains("Findings: 1\n") && told.contains("says what is still so, and with --repair saves"),
        "{told}"
    );
    fs::write(&file, whole).unwrap();
    sandbox.succeeds(&mut check(&sandbox, &[]));
    assert!(status().contains("Findings: 1\n"), "content was not looked at");
    sandbox.succeeds(&mut check(&sandbox, &["--data"]));
    assert!(status().ends_with("Findings: 0\n"));
}
