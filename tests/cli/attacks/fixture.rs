//! A volume with some files of which it is known in which chunk files they lie.

#[path = "../../support/attacked.rs"]
mod attacked;

pub use attacked::BLOCK;

use crate::sandbox::{Sandbox, eventually};
use attacked::ENTRIES;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The volume as it was made, in memory; each test has a copy of its own.
struct Made {
    files: Vec<(PathBuf, Vec<u8>)>,
    chunks: BTreeMap<&'static str, Vec<PathBuf>>,
}

pub struct Fixture {
    pub sandbox: Sandbox,
    chunks: &'static BTreeMap<&'static str, Vec<PathBuf>>,
}

/// What a file holds.
pub fn content(path: &str) -> Vec<u8> {
    let size = ENTRIES.iter().find(|entry| entry.0 == path).expect("a path of the fixture").1;
    (0..size).map(|at| (at / 7 + at % 251 + path.len() * usize::from(path.as_bytes()[0])) as u8).collect()
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files_below(&entry)) } else { found.push(entry) }
    }
    found.sort();
    found
}

impl Made {
    /// Each entry in a session of its own, so that the backing folder tells where it lies.
    fn new() -> Made {
        let sandbox = Sandbox::empty();
        let fixture = Fixture { sandbox, chunks: Box::leak(Box::default()) };
        let (backing, key) = (fixture.sandbox.backing(), fixture.key());
        let options = ["--no-tpm2", "--no-passphrase", "--chunk-size", "1M", "--recovery-file"];
        let mut init = fixture.sandbox.program(&["init".as_ref(), backing.as_ref()]);
        fixture.sandbox.succeeds(init.args(options).arg(&key));
        let mut chunks = BTreeMap::new();
        for (path, _) in ENTRIES {
            let new = fixture.made_by(|plain| match path.strip_suffix('/') {
                Some(folder) => fs::create_dir(plain.join(folder)).unwrap(),
                None => fs::write(plain.join(path), content(path)).unwrap(),
            });
            let relative = |file: &PathBuf| file.strip_prefix(&backing).unwrap().to_owned();
            chunks.insert(path.trim_end_matches('/'), new.iter().map(relative).collect());
        }
        let root = fixture.sandbox.path("");
        let kept = [backing, fixture.sandbox.path("state"), key];
        let files =
            kept.iter().flat_map(|kept| if kept.is_dir() { files_below(kept) } else { vec![kept.clone()] });
        let relative = |file: &PathBuf| file.strip_prefix(&root).unwrap().to_owned();
        let files = files.map(|file| (relative(&file), fs::read(&file).unwrap())).collect();
        Made { files, chunks }
    }
}

impl Fixture {
    /// The file of the only key slot.
    pub fn slot(&self) -> PathBuf {
        let files = files_below(&self.sandbox.backing().join("keys"));
        files.into_iter().find(|file| fs::read_to_string(file).unwrap().contains("cryptfs-slot")).unwrap()
    }

    pub fn new() -> Fixture {
        static MADE: OnceLock<Made> = OnceLock::new();
        let made = MADE.get_or_init(Made::new);
        let fixture = Fixture { sandbox: Sandbox::empty(), chunks: &made.chunks };
        for (path, bytes) in &made.files {
            let path = fixture.sandbox.path("").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let chmod = Command::new("chmod").arg("600").arg(fixture.key()).status();
        assert!(chmod.unwrap().success());
        fixture
    }

    fn key(&self) -> PathBuf {
        self.sandbox.path("recovery")
    }

    pub fn plain(&self, path: &str) -> PathBuf {
        self.sandbox.plain().join(path)
    }

    /// The chunk files of an entry.
    pub fn chunks(&self, path: &str) -> Vec<PathBuf> {
        self.chunks[path].iter().map(|file| self.sandbox.backing().join(file)).collect()
    }

    /// The chunk file of an entry that has one.
    pub fn chunk(&self, path: &str) -> PathBuf {
        let chunks = self.chunks(path);
        assert_eq!(chunks.len(), 1, "{path}");
        chunks[0].clone()
    }

    pub fn mount(&self) -> Command {
        let mut command = self.sandbox.mount_with(&self.key());
        command.arg("--log-file").arg(self.sandbox.path("log"));
        command
    }

    pub fn session<R>(&self, work: impl FnOnce(&Path) -> R) -> R {
        self.sandbox.succeeds(&mut self.mount());
        let result = work(&self.sandbox.plain());
        self.sandbox.unmounts();
        result
    }

    /// The chunk files that came into being in a session.
    pub fn made_by(&self, work: impl FnOnce(&Path)) -> Vec<PathBuf> {
        let chunks = self.sandbox.backing().join("chunks");
        let before = files_below(&chunks);
        self.session(work);
        let mut after = files_below(&chunks);
        after.retain(|file| !before.contains(file));
        after
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.sandbox.path("log")).unwrap()
    }

    /// Mounts what an attack has left. What is named as broken is an error and is told of in the log with its path and
    /// file; all else reads and lists as ever. Then what is broken is removed, and nothing is wrong any more. A file
    /// with a `:number` is broken in that block of 4 KiB only.
    pub fn expect(&self, broken: &[&str]) {
        self.sandbox.succeeds(&mut self.mount());
        let mut names: Vec<&str> = broken.iter().map(|name| name.split(':').next().unwrap()).collect();
        names.dedup();
        self.check(broken, &names);
        for name in &names {
            let files = self.chunks(name);
            let file = |line: &str| {
                files.iter().any(|file| line.contains(file.to_str().unwrap().rsplit('/').next().unwrap()))
            };
            let told = || self.log().lines().any(|line| line.contains(name) && file(line));
            eventually(&format!("a line in the log of {name}, {files:?}"), told);
            let is_folder = ENTRIES.iter().any(|entry| entry.0.strip_suffix('/') == Some(name));
            let plain = self.plain(name);
            if is_folder { fs::remove_dir(plain).unwrap() } else { fs::remove_file(plain).unwrap() }
        }
        for _ in 0..2 {
            for (path, _) in ENTRIES.iter().filter(|(path, _)| !path.ends_with('/')) {
                match names.iter().any(|name| path == name || path.starts_with(&format!("{name}/"))) {
                    true => assert!(!self.plain(path).exists(), "{path} was removed"),
                    false => {
                        assert!(fs::read(self.plain(path)).unwrap() == content(path), "wrong bytes in {path}")
                    }
                }
            }
            self.sandbox.unmounts();
            self.sandbox.succeeds(&mut self.mount());
        }
        self.sandbox.unmounts();
        assert!(!self.log().contains("panic"), "{}", self.log());
    }

    fn check(&self, broken: &[&str], names: &[&str]) {
        for (path, _) in ENTRIES {
            let parent = path.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
            let suffers = |path: &str| names.contains(&path);
            if let Some(folder) = path.strip_suffix('/') {
                match self.list(folder) {
                    Ok(names) => {
                        assert!(!suffers(folder) && names == listing(folder), "{folder} shows {names:?}")
                    }
                    Err(error) => assert!(suffers(folder) && is_eio(&error), "{folder}: {error}"),
                }
                continue;
            }
            match fs::read(self.plain(path)) {
                Ok(found) => {
                    assert!(found == content(path), "wrong bytes in {path}");
                    assert!(!suffers(path) && !suffers(parent), "{path} can be read");
                }
                Err(error) => {
                    assert!(is_eio(&error), "{path}: {error}");
                    assert!(suffers(path) || suffers(parent), "{path} was not touched: {error}");
                }
            }
            let blocks: Vec<usize> = broken
                .iter()
                .filter_map(|name| name.strip_prefix(path)?.strip_prefix(':')?.parse().ok())
                .collect();
            if !blocks.is_empty() {
                assert_eq!(self.bad_blocks(path), blocks, "{path}");
            }
        }
        assert_eq!(self.list("").unwrap(), listing(""));
        assert!(Command::new("ls").arg(self.sandbox.plain()).output().unwrap().status.success());
    }

    /// The names in a folder, sorted.
    pub fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.plain(folder))?;
        let mut names = names
            .map(|entry| Ok(entry?.file_name().into_string().expect("names in UTF-8")))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// The blocks of a file that cannot be read, read one by one past the kernel's cache; the others are right.
    fn bad_blocks(&self, path: &str) -> Vec<usize> {
        let file = File::open(self.plain(path)).unwrap();
        let bad = |(number, expected): (usize, &[u8])| {
            let mut block = vec![0; expected.len()];
            match file.read_exact_at(&mut block, (number * BLOCK) as u64) {
                Ok(()) => {
                    assert!(block == expected, "block {number} of {path} is wrong");
                    None
                }
                Err(error) => {
                    assert!(is_eio(&error), "{error}");
                    Some(number)
                }
            }
        };
        content(path).chunks(BLOCK).enumerate().filter_map(bad).collect()
    }
}

/// The names that a folder of the fixture has, sorted.
fn listing(folder: &str) -> Vec<String> {
    let in_folder = |path: &str| {
        let path = path.trim_end_matches('/');
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        (parent == folder).then(|| name.to_owned())
    };
    let mut names: Vec<String> = ENTRIES.iter().filter_map(|(path, _)| in_folder(path)).collect();
    names.sort();
    names
}

pub fn is_eio(error: &io::Error) -> bool {
    error.raw_os_error() == Some(5)
}

/// Changes bytes of a file in place.
pub fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Two files change places.
pub fn swap(a: &Path, b: &Path) {
    let (in_a, in_b) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    fs::write(a, in_b).unwrap();
    fs::write(b, in_a).unwrap();
}
