//! Who keeps a mount alive, as /proc tells: other mounts of it, in this or another mount namespace, and processes with
//! files in it. Of other users' processes only root learns.
//!
//! Nothing here asks the daemon, which may be hung.

use super::table::{self, Entry};
use crate::sys::filesystem;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Somebody who keeps a mount alive.
#[derive(Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is mounted here as well, in this mount namespace.
    Mount(PathBuf),
    /// It is mounted in the mount namespace that the machine began with, in which nothing but the kernel was found.
    Outside(PathBuf),
    /// It is mounted in the mount namespace of this process.
    Namespace { process: u32, name: String, path: PathBuf },
    /// The process has a file open or mapped in it, or stands in it.
    Process { process: u32, name: String },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Mount(path) => write!(f, "it is mounted at {} too", path.display()),
            Holder::Outside(path) => {
                write!(
                    f,
                    "it is mounted at {} outside of the mount namespace in which this was called",
                    path.display()
                )
            }
            Holder::Namespace { process, name, path } => {
                write!(f, "it is mounted at {} for {name} (process {process})", path.display())
            }
            Holder::Process { process, name } => write!(f, "{name} (process {process}) uses it"),
        }
    }
}

/// Who keeps the filesystem of this number, `major:minor`, alive.
pub fn of_device(device: &str) -> Vec<Holder> {
    let mut holders = mounts_where(|entry| entry.device == device);
    holders.extend(
        processes()
            .filter(|process| process.uses(device))
            .map(|process| Holder::Process { name: process.name(), process: process.number }),
    );
    holders
}

/// Where a backing folder is mounted, in any mount namespace.
pub fn of_source(source: &Path) -> Vec<Holder> {
    mounts_where(|entry| entry.is_ours() && entry.source == source)
}

/// The process that holds a lock of a file.
pub fn of_lock(path: &Path) -> Option<(u32, String)> {
    let inode = fs::metadata(path).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = words[..] else { return None };
        if file.rsplit(':').next() == Some(&*inode) { process.parse().ok() } else { None }
    })?;
    Some((process, Process { number: process }.name()))
}

/// Of each mount namespace that a process can be seen in.
fn mounts_where(is_wanted: impl Fn(&Entry) -> bool) -> Vec<Holder> {
    let own = fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    let mut seen = HashSet::new();
    let mut holders = Vec::new();
    // A thread of the kernel tells nobody anything: of those who share a namespace another is named.
    let (kernel, others): (Vec<_>, Vec<_>) = processes().partition(Process::is_kernel);
    let own_process = Process { number: std::process::id() };
    for process in [own_process].into_iter().chain(others).chain(kernel) {
        let Ok(namespace) = fs::read_link(process.path("ns/mnt")) else { continue };
        if !seen.insert(namespace.clone()) {
            continue;
        }
        let mounts = table::read(&process.path("")).unwrap_or_default();
        for Entry { path, .. } in mounts.into_iter().filter(&is_wanted) {
            holders.push(match namespace == own {
                true => Holder::Mount(path),
                false if process.is_kernel() => Holder::Outside(path),
                false => Holder::Namespace { process: process.number, name: process.name(), path },
            });
        }
    }
    holders
}

struct Process {
    number: u32,
}

/// All but this one.
fn processes() -> impl Iterator<Item = Process> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| *number != std::process::id()).map(|number| Process { number })
}

impl Process {
    fn path(&self, of: &str) -> PathBuf {
        format!("/proc/{}/{of}", self.number).into()
    }

    fn name(&self) -> String {
        fs::read_to_string(self.path("comm")).unwrap_or_default().trim().to_owned()
    }

    /// Whether it is a thread of the kernel's own: such have no command line. (Nor has a process that just ends, which has no
    /// namespace either.)
    fn is_kernel(&self) -> bool {
        fs::read(self.path("cmdline")).is_ok_and(|words| words.is_empty())
    }

    fn uses(&self, device: &str) -> bool {
        let open = fs::read_dir(self.path("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut links = ["cwd", "root", "exe"].into_iter().map(|link| self.path(link)).chain(open);
        links.any(|link| filesystem::device_of(&link).is_ok_and(|found| found == device)) || self.maps(device)
    }

    fn maps(&self, device: &str) -> bool {
        let Some((major, minor)) = device.split_once(':') else { return false };
        let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else { return false };
        let wanted = format!("{major:02x}:{minor:02x}");
        let maps = fs::read_to_string(self.path("maps")).unwrap_or_default();
        maps.lines().any(|line| line.split_whitespace().nth(3) == Some(&*wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that stands in a folder is found by the device of that; this process is left out.
    #[test]
    fn a_process_that_uses_a_filesystem_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let device = filesystem::device_of(folder.path()).unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("60").current_dir(folder.path()).spawn().unwrap();
        let process = child.id();
        let found = of_device(&device);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&Holder::Process { process, name: "sleep".into() }), "{found:?}");
        assert!(!of_device("999:7").iter().any(|holder| matches!(holder, Holder::Process { .. })));
    }

    #[test]
    fn threads_of_the_kernel_are_known() {
        assert!(!Process { number: std::process::id() }.is_kernel());
        let first = Process { number: 2 };
        assert!(first.name() != "kthreadd" || first.is_kernel());
    }

    #[test]
    fn who_holds_a_lock_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(of_lock(file.path()), None);
        file.as_file().lock().unwrap();
        assert_eq!(of_lock(file.path()).unwrap().0, std::process::id());
    }
}
