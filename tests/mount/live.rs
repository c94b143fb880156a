//! A mount that a thread of the test serves, and what the tests ask about mounts.

use crate::memory::Memory;
use cryptfs::mount::{Options, Requests, Transport, Unmounter, mount};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A mount that is served by a thread of this test.
pub struct Live {
    pub directory: tempfile::TempDir,
    pub memory: Arc<Memory>,
    pub unmounter: Unmounter,
    pub server: Option<JoinHandle<Result<(), cryptfs::mount::RunError>>>,
    pub requests: Arc<Requests>,
}

impl Live {
    pub fn new(transport: Transport) -> Live {
        Live::with(&Options { transport, ..Options::default() })
    }

    pub fn with(options: &Options) -> Live {
        let directory = tempfile::tempdir().unwrap();
        let memory = Arc::new(Memory::default());
        let owner = fs::metadata(directory.path()).unwrap();
        memory.give_root_to(owner.uid(), owner.gid());
        let mounted = mount(memory.clone(), directory.path(), options).unwrap();
        let (unmounter, requests) = (mounted.unmounter(), mounted.requests());
        let server = Some(thread::spawn(move || mounted.run()));
        Live { directory, memory, unmounter, server, requests }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn wait_for_end(&mut self) {
        let server = self.server.take().unwrap();
        wait_until("the server ends", || server.is_finished());
        server.join().unwrap().unwrap();
        assert_eq!(self.memory.shut_downs.load(Ordering::SeqCst), 1);
        assert_eq!(Arc::strong_count(&self.memory), 1, "nobody keeps it, whoever may unmount");
    }

    pub fn finish(mut self) {
        self.unmounter.unmount().unwrap();
        self.wait_for_end();
        assert!(!mounts().contains(self.directory.path().to_str().unwrap()));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = self.unmounter.unmount();
        }
    }
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}\n{}", mounts());
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn mounts() -> String {
    fs::read_to_string("/proc/mounts").unwrap()
}

pub fn mount_line(path: &Path) -> Option<String> {
    let path = format!(" {} ", path.display());
    mounts().lines().find(|line| line.contains(&path)).map(str::to_owned)
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub fn run(command: &mut Command) -> std::process::Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
