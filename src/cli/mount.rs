//! `cryptfs mount`, and the mount helper that mount(8) calls.

use super::advice::{self, Failure};
use super::args::{Helper, Mount, Unlock};
use super::daemon::Waiting;
use super::logging;
use super::mount_options::MountOptions;
use super::serving::serve;
use super::{asked, assemble, report, unlock};
use crate::fs::Filesystem;
use crate::fs::ops::{NodeId, Operations};
use crate::mount::{self, MountError, Options, RunError};
use crate::store::folder::{Folder, Lock, LockError};
use crate::sys::daemon::{Termination, enter_mount_namespace, spare_from_oom};
use crate::sys::{memory, process};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The file that a mounted volume's daemon holds a lock on.
pub const LOCK: &str = "cryptfs.json";

/// How long a mount waits for a daemon whose mount is gone already.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be mounted, where, and how: resolved from the flags and from `-o`.
struct Request {
    backing: PathBuf,
    mountpoint: PathBuf,
    unlock: Unlock,
    options: MountOptions,
    log_file: Option<PathBuf>,
    foreground: bool,
}

/// Mounts a volume; unless it is to stay in front, it returns in the daemon only, at the end.
///
/// # Errors
///
/// `Exit::Usage` for the options; `Exit::InUse`; those of opening the volume (`unlock.rs`, `assemble.rs`) and of the
/// mountpoint (`advice::mounting`); `Exit::NotStored` at the end.
pub fn run(arguments: &Mount) -> Result<(), Failure> {
    let options = MountOptions::parse(arguments.options.iter().map(String::as_str), false)
        .map_err(|error| advice::option(&error))?;
    if options.remount {
        return remount(&arguments.mountpoint, &options);
    }
    let (backing, mountpoint, unlock) = (&arguments.backing, &arguments.mountpoint, arguments.unlock.clone());
    let mut request = resolve(backing, mountpoint, unlock, options)?;
    request.foreground = arguments.foreground;
    request.log_file = arguments.log_file.clone().or(request.log_file);
    perform(request)
}

/// What mount(8) asked for.
///
/// # Errors
///
/// As for [`run`]; `Exit::Failed` where the mount namespace cannot be entered.
pub fn help(arguments: &Helper) -> Result<(), Failure> {
    if arguments.verbose {
        log::set_max_level(log::LevelFilter::Info);
    }
    if let Some(namespace) = &arguments.namespace {
        File::open(namespace)
            .and_then(|file| enter_mount_namespace(&file))
            .map_err(|error| advice::system(namespace.display(), &error))?;
    }
    let asked = if process::is_root() { asked::of_mount(&arguments.target) } else { Vec::new() };
    let words = asked.iter().chain(&arguments.options).map(String::as_str);
    let options = MountOptions::parse(words, arguments.sloppy).map_err(|error| advice::option(&error))?;
    if options.remount {
        return if arguments.fake { Ok(()) } else { remount(&arguments.target, &options) };
    }
    let request = resolve(&arguments.source, &arguments.target, Unlock::default(), options)?;
    if arguments.fake { Ok(()) } else { perform(request) }
}

/// Changes the flags of a mount, and has a volume that stopped go on. Of what it cannot change nothing is changed: whoever
/// asks for a writable mount is told if it would not be one.
fn remount(mountpoint: &Path, options: &MountOptions) -> Result<(), Failure> {
    let found = mount::find(mountpoint).map_err(|error| advice::finding_mount(mountpoint, &error))?;
    let found = found.ok_or_else(|| advice::not_mounted(mountpoint))?;
    let user = found.entry().user;
    let failed = |error| advice::remounting(mountpoint, &error, process::is_root().then_some(user));
    if options.read_only {
        mount::store(mountpoint).map_err(failed)?;
        return found.remount(&flags_of(options)).map_err(failed);
    }
    let condition = mount::status_of(mountpoint).map_err(failed)?.condition;
    if condition.read_only {
        return Err(advice::remount_is_not_enough(mountpoint, &found.entry().source));
    }
    // Who is not root cannot change the flags, and needs not to have a volume go on.
    if condition.stopped.is_none() || process::is_root() {
        found.remount(&flags_of(options)).map_err(failed)?;
    }
    match condition.stopped {
        None => Ok(()),
        Some(_) => mount::restart(mountpoint).map_err(|error| {
            let condition = mount::status_of(mountpoint).ok().map(|status| status.condition);
            advice::restarting(mountpoint, &error, condition.and_then(|condition| condition.stopped))
        }),
    }
}

/// Flags win over `-o`. Paths become absolute: the background process works in `/`.
fn resolve(
    backing: &Path,
    mountpoint: &Path,
    flags: Unlock,
    options: MountOptions,
) -> Result<Request, Failure> {
    let absolute = |path: PathBuf| match path.as_os_str() == "-" {
        true => Ok(path),
        false => std::path::absolute(&path).map_err(|error| advice::system(path.display(), &error)),
    };
    let either = |flag: Option<PathBuf>, option: &Option<PathBuf>| {
        flag.or_else(|| option.clone()).map(absolute).transpose()
    };
    let words = options.unlock.clone();
    let mut unlock = Unlock {
        passphrase_file: either(flags.passphrase_file, &words.passphrase_file)?,
        pin_file: either(flags.pin_file, &words.pin_file)?,
        identities: [flags.identities, words.identities].concat(),
        slot: flags.slot.or(words.slot),
        fingerprint: flags.fingerprint.or(words.fingerprint),
        keyring: words.keyring,
        place: flags.place,
    };
    unlock.place.keys = either(unlock.place.keys, &words.place.keys)?;
    unlock.place.tcti = unlock.place.tcti.or(words.place.tcti);
    let missing = |_| advice::no_folder(backing);
    Ok(Request {
        backing: fs::canonicalize(backing).map_err(missing)?,
        mountpoint: mountpoint.to_owned(),
        unlock,
        log_file: either(None, &options.log_file)?,
        options,
        foreground: false,
    })
}

fn perform(request: Request) -> Result<(), Failure> {
    let system = |error| advice::system("The background process", &error);
    let waiting = if request.foreground { Waiting::nobody() } else { Waiting::parent().map_err(system)? };
    let backing = request.backing.as_path();
    logging::name_volume(backing);
    if request.foreground {
        logging::to_journal_behind_stderr();
    }
    if !backing.join(LOCK).exists() && request.mountpoint.join(LOCK).exists() {
        return Err(advice::swapped(backing, &request.mountpoint, false));
    }
    let folder = Folder::open(backing).map_err(|_| advice::no_folder(backing))?;
    let mountpoint = check_mountpoint(&request.mountpoint)?;
    if is_beside_itself(&mountpoint, backing) {
        return Err(advice::mount_over_volume(&mountpoint, backing));
    }
    tell_what_is_hidden(&request.mountpoint);
    // Nobody should type a passphrase only to learn that the volume is in use; any other trouble with the lock means
    // that the folder is no volume, which unlocking tells better.
    let lock = match lock_once_written(&folder, backing) {
        Err(error @ LockError::Held) => return Err(advice::locking(backing, &error)),
        lock => lock,
    };
    let unlocked = unlock::unlock(backing, &request.unlock)?;
    let lock = lock.map_err(|error| advice::locking(backing, &error))?;
    let may_write = unlocked.trust.has_state() || request.options.stateless;
    if !may_write && !request.options.read_only {
        report::complain(&advice::no_state_folder());
    }
    let signals = Termination::block().map_err(system)?;
    let mut options = kernel_options(&request);
    let choices = assemble::Choices {
        read_only: request.options.read_only || !may_write,
        cache: request.options.cache.map(|mebibytes| mebibytes << 20),
        filesystem: crate::fs::Options {
            check_permissions: !options.kernel_permissions && !options.acls,
            uid: request.options.uid,
            gid: request.options.gid,
            umask: request.options.umask.unwrap_or(0),
            only_for: request.options.allow_root.then(process::user),
            no_acls: request.options.acls == Some(false) || request.options.umask.is_some(),
            small_numbers: request.options.small_inode_numbers,
        },
    };
    let filesystem = assemble::filesystem(backing, &unlocked.opened, &unlocked.trust, &choices)?;
    drop(unlocked);
    if filesystem.is_read_only() && !choices.read_only {
        report::complain(&advice::only_to_be_read(backing));
    }
    options.read_only |= filesystem.is_read_only();
    tell_owner(&filesystem, &request);
    let mounted = mount::mount(Arc::new(filesystem), &request.mountpoint, &options)
        .map_err(|error| advice::mounting(&request.mountpoint, &error))?;
    if !waiting.is_in_front() {
        log_elsewhere(request.log_file.as_deref())?;
    }
    waiting.release().map_err(system)?;
    if let Err(error) = memory::lock_all() {
        log::info!("memory may go to swap, but for the keys: {error}");
    }
    if let Err(error) = spare_from_oom() {
        log::debug!("where memory runs out this process is as likely to be ended as any other: {error}");
    }
    let served = serve(mounted, signals, request.options.idle).map_err(|error| match error {
        RunError::Transport(error) => advice::system(request.mountpoint.display(), &error),
        RunError::NotStored(error) => advice::not_stored(&request.mountpoint, &error),
    });
    drop(lock);
    served
}

/// Takes the lock of the volume. umount(8) does not wait for the daemon as `cryptfs umount` does: of a volume that is
/// held and mounted nowhere, the rest is perhaps being written.
///
/// # Errors
///
/// [`LockError::Held`] at once where it is mounted, else after ten seconds; [`LockError::Io`] as for
/// [`Folder::lock`].
pub fn lock_once_written(folder: &Folder, backing: &Path) -> Result<Lock, LockError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match folder.lock(LOCK) {
            Err(LockError::Held)
                if Instant::now() < deadline && mount::mounts_of(backing).is_ok_and(|at| at.is_empty()) =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            lock => return lock,
        }
    }
}

/// Whether a mount there would put what is decrypted into the volume's folder, or hide that from whoever is to copy it.
pub fn is_beside_itself(mountpoint: &Path, backing: &Path) -> bool {
    mountpoint.starts_with(backing) || backing.starts_with(mountpoint)
}

/// The canonical form of a mountpoint that can take a mount; one that a killed daemon left there is taken away.
fn check_mountpoint(mountpoint: &Path) -> Result<PathBuf, Failure> {
    let refused = |error: &MountError| advice::mounting(mountpoint, error);
    match mount::check(mountpoint) {
        Err(error @ MountError::Stale) => {
            mount::clear_stale(mountpoint).map_err(|_| refused(&error))?;
            let at = mountpoint.display();
            report::complain(&format!("{at}: removed a mount whose daemon was gone"));
            mount::check(mountpoint).map_err(|error| refused(&error))
        }
        checked => checked.map_err(|error| refused(&error)),
    }
}

/// Says so where something lies in the mountpoint, as after writing to it while nothing was mounted.
fn tell_what_is_hidden(mountpoint: &Path) {
    let device = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    // systemd's automount is a mount of its own, and would wait for this one if it were read.
    let is_mounted_on = device(mountpoint) != device(&mountpoint.join(".."));
    if !is_mounted_on && mountpoint.read_dir().is_ok_and(|mut names| names.next().is_some()) {
        report::complain(&advice::hidden(mountpoint));
    }
}

/// Says so where the files belong to another user than who mounts and could then not use them: another machine's, or the
/// one outside of a user namespace.
fn tell_owner(filesystem: &Filesystem, request: &Request) {
    // Whoever is to seem to own them was chosen.
    if request.options.uid.is_some() {
        return;
    }
    let user = process::user();
    let owner = filesystem.attributes(NodeId::ROOT).map_or(user, |root| root.uid);
    if owner != user && !process::is_root() {
        report::complain(&advice::foreign_files(&request.backing, owner, user));
    }
}

fn kernel_options(request: &Request) -> Options {
    let wanted = &request.options;
    let usual = flags_of(wanted);
    Options {
        source: request.backing.clone().into(),
        remarks: wanted.remarks.clone(),
        allow_other: wanted.allow_other || wanted.allow_root,
        contexts: wanted.contexts.clone(),
        kernel_permissions: wanted.kernel_permissions.unwrap_or(usual.kernel_permissions),
        acls: wanted.umask.is_none()
            && wanted.acls.unwrap_or(wanted.kernel_permissions.unwrap_or(usual.acls)),
        writeback: wanted.writeback.unwrap_or(usual.writeback),
        small_positions: wanted.small_inode_numbers,
        threads: wanted.threads.unwrap_or(usual.threads),
        transport: wanted.transport.unwrap_or(usual.transport),
        ..usual
    }
}

/// What a remount can change.
fn flags_of(wanted: &MountOptions) -> Options {
    Options {
        read_only: wanted.read_only,
        no_exec: wanted.no_exec,
        no_suid: !wanted.suid,
        no_dev: !wanted.dev,
        no_symlinks: wanted.no_symlinks,
        ..Options::default()
    }
}

fn log_elsewhere(file: Option<&Path>) -> Result<(), Failure> {
    match file {
        Some(file) => logging::to_file(file).map_err(|error| advice::system(file.display(), &error)),
        None => {
            logging::to_system();
            Ok(())
        }
    }
}
