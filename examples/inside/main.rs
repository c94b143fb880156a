//! Loads without a mount: the filesystem as a transport drives it, over a folder, in this process alone.
//!
//! `inside FOLDER LOAD [COUNT]` prints what one operation took, a line for each step of the load. What the kernel adds
//! is left out, so that the figures show the filesystem's own cost and a profiler sees nothing else; system calls and
//! instructions for each operation repeat exactly (`strace -c -f`, `valgrind --tool=callgrind`). `scripts/scale` makes
//! its table of this. FOLDER must be empty or absent; what is made in it is left to the caller.

mod loads;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptfs::chunk::{Context, DeviceId};
use cryptfs::crypto::{Cipher, Secret};
use cryptfs::fs::{self, Filesystem, ops::Caller};
use cryptfs::store::directory::Directory;
use cryptfs::volume::{Options, Volume};
use rustix::time::ClockId;

const CHUNK: u64 = 4 << 20;
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

pub const CALLER: Caller = Caller { uid: 0, gid: 0, pid: 1 };

/// A volume that can be closed and opened again.
pub struct Bench {
    backing: PathBuf,
    name: Secret,
    content: Secret,
}

impl Bench {
    fn new(backing: &Path) -> std::io::Result<Bench> {
        std::fs::create_dir_all(backing)?;
        let bench = Bench { backing: backing.to_owned(), name: Secret::random(), content: Secret::random() };
        Volume::format(&bench.context()?, CHUNK, 0, 0).map_err(std::io::Error::other)?;
        Ok(bench)
    }

    fn context(&self) -> std::io::Result<Arc<Context>> {
        let store = Arc::new(Directory::open(&self.backing, false)?);
        let content = vec![self.content.duplicate()];
        Ok(Arc::new(Context::new(store, DeviceId(*b"measured"), Cipher::Aes256Gcm, &self.name, content)))
    }

    /// The filesystem, as a mount would have it.
    pub fn open(&self) -> Filesystem {
        let context = self.context().expect("the folder can be opened");
        let options =
            Options { chunk_size: CHUNK, read_only: false, open_files: OPEN_FILES, stateless: false };
        let volume = Volume::open(context, options).expect("the volume opens");
        volume.start().expect("the flusher has a thread");
        Filesystem::new(volume, fs::Options::default()).expect("the root can be read")
    }
}

/// Runs a step of `count` operations and prints what each took: on the clock, and of the CPU, all threads together and the
/// one that ran it.
pub fn step<R>(name: &str, count: u64, act: impl FnOnce() -> R) -> R {
    let clocks = || [cpu(ClockId::ProcessCPUTime), cpu(ClockId::ThreadCPUTime)];
    let (start, before) = (Instant::now(), clocks());
    let result = act();
    let (took, after) = (start.elapsed(), clocks());
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count.max(1) as f64;
    let [all, own] = [0, 1].map(|at| each(after[at].saturating_sub(before[at])));
    println!("{name:<26} {count:>9} x {:>10.3} us, CPU {all:>10.3} us, own {own:>10.3} us", each(took));
    result
}

fn cpu(clock: ClockId) -> Duration {
    let spent = rustix::time::clock_gettime(clock);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// Peak resident memory, in MiB.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse().ok());
    kibibytes.unwrap_or(0u64) / 1024
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, load, count) = match &arguments[..] {
        [folder, load] => (folder, load, None),
        [folder, load, count] => (folder, load, count.parse().ok()),
        _ => {
            eprintln!("usage: inside FOLDER LOAD [COUNT]; loads: {}", loads::names());
            return ExitCode::from(2);
        }
    };
    let bench = match Bench::new(Path::new(folder)) {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("inside: {folder}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if !loads::run(load, &bench, count) {
        eprintln!("inside: no such load: {load}; there are {}", loads::names());
        return ExitCode::from(2);
    }
    println!("peak memory {} MiB", peak());
    ExitCode::SUCCESS
}
