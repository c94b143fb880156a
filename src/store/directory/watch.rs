//! What becomes of the files in a backing folder: inotify on `chunks/`, its folders and `journals/`, and now and then a look
//! at which folders changed. Where the backing folder was mounted anew all of that begins again.
//!
//! The look is for what inotify does not tell: events that were lost, and what other machines do to a network's filesystem.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Closed, c_path, renew};
use crate::store::folder::Folder;
use crate::store::{Area, CopyName, Ender, FileName, Seen, Watch};
use crate::sys::files;
use crate::sys::filesystem;
use crate::sys::notify::{Notify, Place, Waker, What};

/// How often folders are looked at where inotify tells everything, and where it does not.
const SELDOM: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_secs(30);

/// When a folder was changed last.
type Times = (i128, i128);

pub(super) struct DirectoryWatch {
    folder: Arc<Folder>,
    closed: Arc<Closed>,
    notify: Notify,
    /// The watched folders, by their paths below the backing one.
    places: HashMap<Place, CString>,
    /// Folders as they were at the last look.
    looked: HashMap<CString, Times>,
    every: Duration,
    next_look: Instant,
    /// How often the folder had been mounted anew when it was watched.
    renewals: u64,
}

impl DirectoryWatch {
    /// Of the backing folder, and those in it that hold chunk files.
    ///
    /// # Errors
    ///
    /// As for [`Store::watch`](crate::store::Store::watch).
    pub fn new(folder: &Arc<Folder>, closed: &Arc<Closed>) -> io::Result<DirectoryWatch> {
        let every = if filesystem::tells_changes(folder.root())? { SELDOM } else { OFTEN };
        Ok(DirectoryWatch {
            folder: Arc::clone(folder),
            closed: Arc::clone(closed),
            notify: Notify::new()?,
            places: HashMap::new(),
            looked: HashMap::new(),
            every,
            next_look: Instant::now() + every,
            renewals: folder.renewals.load(Ordering::Acquire),
        })
    }

    /// Watches the folder that was mounted anew, and tells all chunk files: what became of them meanwhile nobody saw.
    fn begin_anew(&mut self, renewals: u64, seen: &mut Vec<Seen>) -> io::Result<()> {
        let every = if filesystem::tells_changes(self.folder.root())? { SELDOM } else { OFTEN };
        self.places.clear();
        self.looked.clear();
        let mut found = Vec::new();
        self.add(c".", &mut |path| found.push(path.to_owned()))?;
        found.iter().try_for_each(|path| self.list(path, seen))?;
        (self.renewals, self.every, self.next_look) = (renewals, every, Instant::now() + every);
        Ok(())
    }

    /// Watches a folder that holds chunk files or folders of them, and these. `found` is told of those that hold files: what
    /// is there already may have come before they were watched.
    fn add(&mut self, path: &CStr, found: &mut dyn FnMut(&CStr)) -> io::Result<()> {
        let holds_folders = !holds_files(path);
        let folder = match self.folder.open_folder(path, files::OFlags::RDONLY) {
            // It is gone again, or is none.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                return Ok(());
            }
            folder => folder?,
        };
        self.places.insert(self.notify.add(&folder, holds_folders)?, path.to_owned());
        if !holds_folders {
            self.looked.insert(path.to_owned(), files::folder_times(&folder)?);
            found(path);
            return Ok(());
        }
        drop(folder);
        let mut below = Vec::new();
        self.folder.visit(path, &mut |name, kind| {
            if kind == files::Kind::Folder {
                below.extend(folder_of(path, name.to_bytes()));
            }
            Ok(())
        })?;
        below.into_iter().try_for_each(|below| self.add(&below, found))
    }

    /// Tells all chunk files of a folder.
    fn list(&self, path: &CStr, seen: &mut Vec<Seen>) -> io::Result<()> {
        let listed = self.folder.visit(path, &mut |name, _| {
            seen.extend(file_of(path, name.to_bytes()));
            Ok(())
        });
        // It is gone again.
        listed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }

    /// Tells the files of all folders that changed since the last look.
    fn look(&mut self, seen: &mut Vec<Seen>) -> io::Result<()> {
        self.next_look = Instant::now() + self.every;
        let paths: Vec<CString> = self.places.values().filter(|path| holds_files(path)).cloned().collect();
        for path in paths {
            let folder = match self.folder.open_folder(&path, files::OFlags::RDONLY) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                folder => folder?,
            };
            let times = files::folder_times(&folder)?;
            if self.looked.insert(path.clone(), times) != Some(times) {
                self.list(&path, seen)?;
            }
        }
        Ok(())
    }

    /// Whether the file of that name is the one that was written and closed here.
    fn is_own(&self, name: FileName) -> bool {
        let path = c_path(name);
        let Some(closed) = self.closed.files.lock().remove(&path) else { return false };
        files::status_of(self.folder.root(), &path).is_ok_and(|status| status.identity == closed)
    }
}

impl Watch for DirectoryWatch {
    fn begin(&mut self) -> io::Result<()> {
        self.add(c".", &mut |_| {})?;
        // Not before: nothing is told of what was closed until then, and it would hide what others do to that file later.
        self.closed.is_watched.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn wait(&mut self, at_most: Option<Duration>, seen: &mut Vec<Seen>) -> io::Result<()> {
        let look = self.next_look.saturating_duration_since(Instant::now());
        self.notify.wait(Some(at_most.map_or(look, |limit| limit.min(look))))?;
        let told = self.tell(seen);
        let renewals = self.folder.renewals.load(Ordering::Acquire);
        let told = if renewals == self.renewals { told } else { self.begin_anew(renewals, seen) };
        // The folder is away. What is noticed of that, here or elsewhere, brings it back.
        if let Err(error) = told {
            log::debug!("the backing folder cannot be looked at now: {error}");
            if renew::is_gone(&error) {
                self.folder.renew();
            }
            self.next_look = Instant::now() + OFTEN;
        }
        Ok(())
    }

    fn ender(&self) -> Ender {
        let waker: Waker = self.notify.waker();
        Box::new(move || waker.wake())
    }
}

impl DirectoryWatch {
    /// Tells what inotify does, and what a look finds if one is due.
    fn tell(&mut self, seen: &mut Vec<Seen>) -> io::Result<()> {
        let (mut lost, mut gone, mut folders) = (false, Vec::new(), Vec::new());
        let mut written = Vec::new();
        let places = &self.places;
        self.notify.take(&mut |place, what, name| match (what, places.get(&place)) {
            (What::Overflow, _) => lost = true,
            (What::Gone, _) => gone.push(place),
            (What::Folder, Some(path)) => folders.extend(folder_of(path, name)),
            (What::Written, Some(path)) => written.extend(file_of(path, name)),
            (What::Moved, Some(path)) => seen.extend(file_of(path, name)),
            (_, None) => {}
        })?;
        seen.extend(written.into_iter().filter(|seen| match seen {
            Seen::File(name) => !self.is_own(*name),
            Seen::Copy(_) => true,
        }));
        let is_root = |path: &CString| path.as_c_str() == c".";
        if gone.iter().filter_map(|place| self.places.remove(place)).any(|path| is_root(&path)) {
            // Unmounted, or removed.
            self.next_look = Instant::now() + OFTEN.min(self.every);
        }
        let mut came = Vec::new();
        folders.iter().try_for_each(|path| self.add(path, &mut |found| came.push(found.to_owned())))?;
        came.iter().try_for_each(|path| self.list(path, seen))?;
        if lost {
            self.closed.files.lock().clear();
        }
        if lost || self.next_look <= Instant::now() {
            self.look(seen)?;
        }
        Ok(())
    }
}

/// Whether chunk files lie in the folder of this path: others hold folders only.
fn holds_files(path: &CStr) -> bool {
    !matches!(path.to_bytes(), b"." | b"chunks")
}

/// The path of a folder that may hold chunk files, or folders of them; `None` for any other.
fn folder_of(parent: &CStr, name: &[u8]) -> Option<CString> {
    let path = match (parent.to_bytes(), name) {
        (b".", b"chunks" | b"journals") => name.to_vec(),
        (b"chunks", [a, b]) if [a, b].iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) => {
            [b"chunks/", name].concat()
        }
        _ => return None,
    };
    CString::new(path).ok()
}

/// The chunk file of that name in a folder, or the copy of one.
fn file_of(folder: &CStr, name: &[u8]) -> Option<Seen> {
    let Some(fan_out) = folder.to_bytes().strip_prefix(b"chunks/") else {
        return FileName::parse(Area::Journals, name).map(Seen::File);
    };
    let path = [fan_out, b"/", name].concat();
    let file = FileName::parse(Area::Chunks, &path).map(Seen::File);
    file.or_else(|| CopyName::parse(&path).map(Seen::Copy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::directory::Directory;
    use crate::store::folder::LockError;
    use std::fs;
    use std::io::IoSlice;
    use std::path::Path;

    /// The files; temporary ones have the names of copies.
    fn seen_until(watch: &mut dyn Watch, wanted: &[FileName]) -> Vec<FileName> {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(20));
        while !wanted.iter().all(|name| seen.contains(&Seen::File(*name))) {
            assert!(Instant::now() < deadline, "{seen:?} of {wanted:?}");
            watch.wait(Some(Duration::from_millis(100)), &mut seen).unwrap();
        }
        seen.into_iter()
            .filter_map(|seen| if let Seen::File(name) = seen { Some(name) } else { None })
            .collect()
    }

    fn chunk(number: u8) -> FileName {
        FileName { area: Area::Chunks, bytes: [number; 16] }
    }

    /// As sync clients do: under another name first.
    fn bring(root: &Path, name: FileName, bytes: &[u8]) {
        let path = root.join(name.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let aside = path.with_extension("tmp");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, path).unwrap();
    }

    #[test]
    fn what_others_do_is_told_and_what_is_done_here_is_not() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path(), false).unwrap();
        let mut watch = store.watch().unwrap().unwrap();
        watch.begin().unwrap();
        let journal = FileName { area: Area::Journals, bytes: [3; 16] };
        for round in 0..2 {
            bring(root.path(), chunk(1), b"one");
            bring(root.path(), journal, b"journal");
            fs::write(root.path().join(chunk(1).path()), b"in place").unwrap();
            seen_until(&mut *watch, &[chunk(1), journal]);
            fs::remove_file(root.path().join(chunk(1).path())).unwrap();
            let seen = seen_until(&mut *watch, &[chunk(1)]);
            assert!(!seen.contains(&journal), "{round}");
        }

        let own = store.create(chunk(2)).unwrap();
        own.write_at(0, &[IoSlice::new(b"own")]).unwrap();
        seen_until(&mut *watch, &[chunk(2)]);
        drop(own);
        let reader = store.open(chunk(2)).unwrap();
        reader.read_at(0, &mut [0; 3]).unwrap();
        drop(reader);
        let writer = store.open(chunk(2)).unwrap();
        writer.write_at(0, &[IoSlice::new(b"more")]).unwrap();
        drop(writer);
        bring(root.path(), chunk(4), b"four");
        assert_eq!(
            seen_until(&mut *watch, &[chunk(4)]),
            [chunk(4)],
            "neither reading nor writing here is news"
        );

        // Replaced since it was closed here.
        let writer = store.open(chunk(2)).unwrap();
        writer.write_at(0, &[IoSlice::new(b"again")]).unwrap();
        drop(writer);
        bring(root.path(), chunk(2), b"theirs");
        seen_until(&mut *watch, &[chunk(2)]);
    }

    #[test]
    fn a_look_finds_what_no_event_told() {
        let root = tempfile::tempdir().unwrap();
        bring(root.path(), chunk(1), b"one");
        bring(root.path(), chunk(2), b"two");
        let store = Directory::open(root.path(), false).unwrap();
        let mut watch = DirectoryWatch::new(&store.folder, &store.closed).unwrap();
        watch.begin().unwrap();
        let mut seen = Vec::new();
        watch.look(&mut seen).unwrap();
        assert!(seen.is_empty(), "{seen:?}");
        bring(root.path(), chunk(2), b"more");
        watch.look(&mut seen).unwrap();
        assert_eq!(seen, [Seen::File(chunk(2))]);
        let path = chunk(2).path() + ".sync-conflict-20261128-101530-AAAAAAA";
        let copy = CopyName::parse(path.strip_prefix("chunks/").unwrap().as_bytes()).unwrap();
        fs::write(root.path().join(path), b"a copy").unwrap();
        watch.look(&mut seen).unwrap();
        assert!(seen.contains(&Seen::Copy(copy)), "{seen:?}");
    }

    /// As where a network's folder was away: the path leads to another filesystem with the same files.
    #[test]
    fn a_folder_that_was_mounted_anew_is_watched_again_and_locked() {
        let parent = tempfile::tempdir().unwrap();
        let (root, away) = (parent.path().join("root"), parent.path().join("away"));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("cryptfs.json"), b"this volume").unwrap();
        bring(&root, chunk(1), b"one");
        let store = Directory::open(&root, false).unwrap();
        let mut watch = store.watch().unwrap().unwrap();
        watch.begin().unwrap();
        let mount_anew = || {
            fs::rename(&root, &away).unwrap();
            fs::create_dir(&root).unwrap();
            assert!(!store.folder.renew(), "an empty mountpoint is not the folder");
            fs::write(root.join("cryptfs.json"), b"this volume").unwrap();
            bring(&root, chunk(1), b"one");
            bring(&root, chunk(2), b"made meanwhile");
        };
        mount_anew();
        assert!(store.folder.renew() && store.folder.renew(), "two threads may notice it");
        assert!(matches!(Folder::open(&root).unwrap().lock("cryptfs.json"), Err(LockError::Held)));
        seen_until(&mut *watch, &[chunk(1), chunk(2)]);
        bring(&root, chunk(3), b"three");
        seen_until(&mut *watch, &[chunk(3)]);

        fs::remove_dir_all(&away).unwrap();
        mount_anew();
        let mut flock = std::process::Command::new("flock");
        let mut other =
            flock.arg("--no-fork").arg(root.join("cryptfs.json")).args(["sleep", "60"]).spawn().unwrap();
        while Folder::open(&root).unwrap().lock("cryptfs.json").is_ok() {
            std::thread::yield_now();
        }
        assert!(!store.folder.renew(), "another process uses it there");
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(store.folder.renew());
    }

    #[test]
    fn a_wait_is_ended_by_another_thread() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = Directory::open(root.path(), false).unwrap().watch().unwrap().unwrap();
        watch.begin().unwrap();
        let end = watch.ender();
        std::thread::scope(|scope| {
            let waits = scope.spawn(move || watch.wait(None, &mut Vec::new()));
            end();
            waits.join().unwrap().unwrap();
        });
    }
}
