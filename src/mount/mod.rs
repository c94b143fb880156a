//! The FUSE side: mounts a filesystem and carries the kernel's requests to it.
//!
//! Knows mount(2), fusermount3 and the FUSE protocol, and no semantics: whatever a request means is asked of
//! [`Operations`]. Three transports do the same work and are held to the same tests: our own over /dev/fuse (`device`)
//! and over io_uring (`ring`), and `adapter` over the fuser crate (a cargo feature). Above: `cli`.

#[cfg(feature = "fuser")]
mod adapter;
#[cfg(feature = "fuser")]
mod adapter_values;
mod channel;
mod control;
mod device;
mod dispatch;
mod error;
mod handshake;
mod holders;
mod idle_class;
mod notifier;
mod point;
mod policy;
mod positions;
mod protocol;
mod register;
mod reply;
mod ring;
mod server;
mod table;
#[cfg(test)]
mod tests;
mod whereabouts;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

pub use control::{Status, discard, restart, status_of, store, sync, transport_of};
pub use error::MountError;
pub use holders::{Holder, of_device, of_lock, of_source};
pub use idle_class::IdleClass;
pub use point::{Found, absolute, check, clear_stale, find, is_gone};
pub use table::{Entry, all, mounts_of, unescape};

use crate::fs::ops::Operations;
use notifier::KernelNotifier;
use point::MountPoint;

/// What carries requests between kernel and filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// io_uring where the kernel has it for FUSE, else /dev/fuse.
    Auto,
    /// Our own loop over /dev/fuse.
    Device,
    /// Our own queues over io_uring, one per CPU.
    Uring,
    /// The fuser crate. Shows node numbers as inode numbers, and no birth times.
    #[cfg(feature = "fuser")]
    Fuser,
}

impl Transport {
    pub const ALL: &[Transport] = &[
        Transport::Auto,
        Transport::Device,
        Transport::Uring,
        #[cfg(feature = "fuser")]
        Transport::Fuser,
    ];

    /// Its name in options and messages.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Auto => "auto",
            Transport::Device => "device",
            Transport::Uring => "uring",
            #[cfg(feature = "fuser")]
            Transport::Fuser => "fuser",
        }
    }
}

/// How to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// What /proc/mounts shows as the source.
    pub source: OsString,
    /// What libmount's table is to have beside the mount, for other programs: words such as `x-gvfs-name=…`.
    pub remarks: Vec<String>,
    /// Other users may enter; without it even root may not, where somebody else mounted.
    pub allow_other: bool,
    pub read_only: bool,
    pub no_exec: bool,
    pub no_suid: bool,
    pub no_dev: bool,
    /// Symbolic links in the mount are not followed.
    pub no_symlinks: bool,
    /// Security contexts, as the kernel reads them among mount options.
    pub contexts: Vec<String>,
    /// The kernel checks permissions by mode and owner, and OPEN is never sent. Without it [`Operations::open`],
    /// [`Operations::access`] and every other operation are where access is refused.
    pub kernel_permissions: bool,
    /// POSIX ACLs, kept as `system.posix_acl_*` attributes. Implies `kernel_permissions`.
    pub acls: bool,
    /// The kernel gathers writes in its cache until fsync, close or memory pressure. It accepts them without asking, so
    /// that nobody learns at the write that there is no space.
    pub writeback: bool,
    /// Positions in listings fit into 31 bits, and OPENDIR is sent.
    pub small_positions: bool,
    /// How many requests are served at once, at least 1; over io_uring, how many of the slow ones.
    pub threads: usize,
    pub transport: Transport,
    /// How long the transport polls for the next request before it sleeps, while they come quickly. Zero: never.
    pub poll_for: Duration,
    /// When threads of the scheduler's idle class serve.
    pub idle_class: IdleClass,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            source: "cryptfs".into(),
            remarks: Vec::new(),
            allow_other: false,
            read_only: false,
            no_exec: false,
            no_suid: false,
            no_dev: false,
            no_symlinks: false,
            contexts: Vec::new(),
            kernel_permissions: true,
            acls: true,
            writeback: false,
            small_positions: false,
            threads: 2,
            transport: Transport::Auto,
            poll_for: Duration::from_micros(30),
            idle_class: IdleClass::Auto,
        }
    }
}

/// A mount that answers the kernel as soon as [`run`](Mounted::run) is called. Dropped without that, it is unmounted.
/// Until `run` it has no threads, so that the process may fork.
pub struct Mounted {
    source: OsString,
    remarks: Vec<String>,
    place: Arc<Place>,
    operations: Arc<dyn Operations>,
    session: Option<Session>,
    requests: Arc<Requests>,
    notifier: Arc<KernelNotifier>,
}

enum Session {
    Device(Box<device::Connection>),
    #[cfg(feature = "fuser")]
    Fuser(Box<adapter::Session>),
}

/// How many requests of each kind came, by their number in linux/fuse.h. Fuser does not count.
pub struct Requests {
    came: [AtomicU64; protocol::opcode::LIMIT],
    /// WRITEs that were answered.
    written: AtomicU64,
    /// Those of all kinds that came to a thread of the idle class.
    of_idle_class: AtomicU64,
}

struct Place {
    point: MountPoint,
    /// The connection is over, and with it our claim to the device number.
    ended: AtomicBool,
}

/// Unmounts from any thread, and has stored what there is to store. Does not keep the filesystem: a thread that waits for a
/// signal lives as long as the process, and what is closed with the filesystem would not be.
#[derive(Clone)]
pub struct Unmounter(Arc<Place>, Weak<dyn Operations>, Arc<Requests>);

/// Why serving did not end well.
#[derive(Debug)]
pub enum RunError {
    /// The device could not be read or a thread not be started.
    Transport(io::Error),
    /// What was acknowledged could not be stored, and was given up.
    NotStored(io::Error),
}

/// Mounts `operations` at `mountpoint` and agrees with the kernel on the protocol.
///
/// # Errors
///
/// Why the kernel, fusermount3 or the first exchange refused; nothing is mounted then.
pub fn mount(
    operations: Arc<dyn Operations>,
    mountpoint: &Path,
    options: &Options,
) -> Result<Mounted, MountError> {
    let mut options = options.clone();
    options.kernel_permissions |= options.acls;
    let (point, device) = MountPoint::mount(mountpoint, &options)?;
    let place = Arc::new(Place { point, ended: AtomicBool::new(false) });
    let requests = Arc::new(Requests::default());
    let told = device.try_clone().map_err(MountError::Handshake)?;
    let mut mounted = Mounted {
        source: options.source.clone(),
        remarks: options.remarks.clone(),
        place,
        operations: operations.clone(),
        session: None,
        requests: requests.clone(),
        notifier: Arc::new(KernelNotifier::new(told, options.writeback)),
    };
    let session = match options.transport {
        #[cfg(feature = "fuser")]
        Transport::Fuser => adapter::connect(operations, device, &options)
            .map(|session| Session::Fuser(Box::new(session)))
            .map_err(MountError::Handshake),
        _ => device::connect(operations, device, &options, requests).map(Box::new).map(Session::Device),
    };
    mounted.session = Some(session?);
    mounted.place.point.read_ahead(policy::READ_AHEAD / 1024);
    Ok(mounted)
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunError::Transport(error) => error.fmt(f),
            RunError::NotStored(error) => write!(f, "the last changes could not be stored: {error}"),
        }
    }
}

impl Mounted {
    /// Serves until unmounted, then has [`Operations::shut_down`] make everything durable.
    ///
    /// # Errors
    ///
    /// The mount is gone then too.
    pub fn run(mut self) -> Result<(), RunError> {
        self.operations.notify(Some(self.notifier.clone()));
        self.register();
        let served = match self.session.take() {
            Some(Session::Device(connection)) => connection.run(&|| self.place.point.abort()),
            #[cfg(feature = "fuser")]
            Some(Session::Fuser(session)) => adapter::run(*session),
            None => Ok(()),
        };
        if served.is_err() {
            self.unmounter().unmount_or_log();
        }
        self.place.ended.store(true, Ordering::Release);
        register::leave(self.place.point.path());
        self.operations.notify(None);
        let stored = self.operations.shut_down();
        let number = |error: crate::fs::Error| io::Error::from_raw_os_error(error.errno());
        stored.map_err(|error| RunError::NotStored(number(error)))?;
        served.map_err(RunError::Transport)
    }

    /// Has umount(8) know of the mount, as soon as it is served.
    fn register(&self) {
        let (source, remarks) = (self.source.clone(), self.remarks.clone());
        let path = self.place.point.path().to_owned();
        let thread = thread::Builder::new().name("register".into());
        if let Err(error) = thread.spawn(move || register::enter(&source, &path, &remarks)) {
            log::debug!("umount(8) does not know of the mount: {error}");
        }
    }

    pub fn unmounter(&self) -> Unmounter {
        Unmounter(Arc::clone(&self.place), Arc::downgrade(&self.operations), Arc::clone(&self.requests))
    }

    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    /// The mountpoint, absolute and free of symbolic links.
    pub fn mountpoint(&self) -> &Path {
        self.place.point.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmounter().unmount_or_log();
    }
}

impl Unmounter {
    /// Takes the mount out of the tree; [`Mounted::run`] returns once the last open file in it is closed. Does nothing
    /// when the mount is gone already, whatever else is mounted there by now.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while a file in it is open; otherwise what umount2(2) or fusermount3 says.
    pub fn unmount(&self) -> io::Result<()> {
        if self.0.ended.load(Ordering::Acquire) { Ok(()) } else { self.0.point.unmount() }
    }

    /// Stores everything and takes the mount away, unless somebody uses it or there is no space for that.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while somebody uses it; otherwise why something could not be stored, or what umount2(2) or fusermount3
    /// says.
    pub fn leave(&self) -> io::Result<()> {
        if self.has_ended() {
            return Ok(());
        }
        self.store()?;
        self.0.point.unmount_unused()
    }

    /// A number that changes with each request that somebody made who uses the volume: those for the space that is left and
    /// for attributes such as the volume's status are made by programs that only look on.
    pub fn asked(&self) -> u64 {
        self.2.of_users()
    }

    /// The number of the mounted filesystem, `major:minor`.
    pub fn device(&self) -> &str {
        self.0.point.device()
    }

    /// Gets everything out of the kernel's cache and makes it durable, whoever holds files in the mount.
    ///
    /// # Errors
    ///
    /// That of a write that failed, or why something could not be stored, as its errno.
    pub fn store(&self) -> io::Result<()> {
        let Some(operations) = self.1.upgrade() else { return Ok(()) };
        self.0.point.sync_kernel()?;
        self.await_writes();
        operations.sync_all().map_err(|error| io::Error::from_raw_os_error(error.errno()))
    }

    /// Waits for what the kernel has sent. syncfs(2) does not wait for the answers of a FUSE filesystem; but its writes are
    /// queued by then, and what is asked afterwards comes behind them.
    fn await_writes(&self) {
        let (deadline, mut quiet) = (Instant::now() + server::WRITES_TAKE, 0);
        while quiet < 2 && Instant::now() < deadline {
            let before = self.2.writes();
            if self.0.point.ask().is_err() {
                return;
            }
            self.2.await_writes();
            thread::sleep(Duration::from_millis(5));
            quiet = if self.2.writes() == before { quiet + 1 } else { 0 };
        }
    }

    /// What cannot be stored at the end is given up.
    pub fn give_up(&self) {
        if let Some(operations) = self.1.upgrade() {
            operations.give_up();
        }
    }

    /// Whether the connection to the kernel is over.
    pub fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    fn unmount_or_log(&self) {
        if let Err(error) = self.unmount() {
            log::warn!("could not unmount {}: {error}", self.0.point.path().display());
        }
    }
}

impl Requests {
    fn of_users(&self) -> u64 {
        use protocol::opcode::{BATCH_FORGET, FORGET, GETXATTR, INIT, LISTXATTR, STATFS};
        const OTHERS: [u32; 6] = [BATCH_FORGET, FORGET, GETXATTR, INIT, LISTXATTR, STATFS];
        let came = self.snapshot();
        let others: u64 = OTHERS.iter().map(|opcode| came[*opcode as usize]).sum();
        came.iter().sum::<u64>() - others
    }

    /// The requests so far, by kind; kinds are the `FUSE_*` opcodes.
    pub fn snapshot(&self) -> [u64; protocol::opcode::LIMIT] {
        self.came.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }

    /// How many of them the scheduler's idle class served.
    pub fn of_idle_class(&self) -> u64 {
        self.of_idle_class.load(Ordering::Relaxed)
    }
}
