//! `cryptfs unit`: systemd units that mount one volume, shown or installed. `text.rs` writes them.

mod text;

use super::advice::{self, Failure};
use super::home_args::Unit;
use super::mount::{LOCK, is_beside_itself};
use super::mount_options::{MountOptions, split};
use super::report;
use super::visible::shown;
use crate::keys::OpenError;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use text::{Volume, automount, escape_path, mount, service};

/// The mount options that name files.
const PATHS: [&str; 5] = ["passphrase-file", "identity", "pin-file", "keys", "log-file"];

/// A unit: its name and what stands in it.
struct File {
    name: String,
    text: String,
}

/// Prints the units, or installs them.
///
/// # Errors
///
/// `Exit::Usage` for the options, and for text that no unit can have; `Exit::NotAVolume` without a volume in the folder;
/// `Exit::Failed` where they cannot be installed.
pub fn run(arguments: &Unit) -> Result<(), Failure> {
    let files = files(arguments)?;
    if arguments.install {
        return install(arguments, &files);
    }
    let shown: Vec<_> = files.iter().map(|file| format!("# {}\n{}", file.name, file.text)).collect();
    report::print(&shown.join("\n"))
}

fn files(arguments: &Unit) -> Result<Vec<File>, Failure> {
    let words = || arguments.options.iter().map(String::as_str);
    MountOptions::parse(words(), false).map_err(|error| advice::option(&error))?;
    let backing = fs::canonicalize(&arguments.backing).map_err(|_| advice::no_folder(&arguments.backing))?;
    if !backing.join(LOCK).exists() {
        return Err(match arguments.mountpoint.join(LOCK).exists() {
            true => advice::swapped(&backing, &arguments.mountpoint, true),
            false => advice::opening(&backing, &OpenError::NotAVolume),
        });
    }
    let mountpoint = absolute(&arguments.mountpoint)?;
    if is_beside_itself(&mountpoint, &backing) {
        return Err(advice::mount_over_volume(&mountpoint, &backing));
    }
    let volume = Volume {
        program: std::env::current_exe().map_err(|error| advice::system("/proc/self/exe", &error))?,
        backing,
        mountpoint,
        options: options(arguments)?,
        after: &arguments.after,
        idle: arguments.idle,
        lock_on_sleep: arguments.lock_on_sleep,
    };
    let paths = [&volume.program, &volume.backing, &volume.mountpoint].map(|path| path.as_os_str());
    let others = [&volume.options].into_iter().chain(&arguments.after).map(OsStr::new);
    for text in paths.into_iter().chain(others) {
        if text.to_str().is_none_or(|text| text.chars().any(char::is_control)) {
            return Err(advice::unit_text(text));
        }
    }
    let name = escape_path(&volume.mountpoint);
    let made = |kind: &str, text: String| File {
        name: format!("{name}.{kind}"),
        text: format!("{}{text}", text::MADE),
    };
    Ok(match (arguments.automount, arguments.user) {
        (true, _) => vec![made("automount", automount(&volume)), made("mount", mount(&volume))],
        (false, is_users) => {
            let File { name, text } = made("service", service(&volume, is_users));
            vec![File { name: format!("cryptfs-{name}"), text }]
        }
    })
}

/// The mount options as one list, every path in it absolute: systemd starts programs in the root directory.
fn options(arguments: &Unit) -> Result<String, Failure> {
    let resolved = |word: String| match word.split_once('=') {
        Some((name, path)) if PATHS.contains(&name) && path != "-" => {
            let path = absolute(Path::new(path))?;
            let text = path.to_str().ok_or_else(|| advice::unit_text(path.as_os_str()))?;
            Ok(format!("{name}={text}"))
        }
        _ => Ok(word),
    };
    let words: Result<Vec<String>, Failure> =
        arguments.options.iter().flat_map(|list| split(list)).map(resolved).collect();
    let escaped = |word: &String| word.replace('\\', "\\\\").replace(',', "\\,");
    Ok(words?.iter().map(escaped).collect::<Vec<_>>().join(","))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| advice::system(path.display(), &error))
}

/// Writes them where systemd looks, and says what to do next. The first one is what is to be enabled.
fn install(arguments: &Unit, files: &[File]) -> Result<(), Failure> {
    let folder = folder(arguments.user).ok_or_else(advice::no_unit_folder)?;
    let failed = |path: &Path, error: &io::Error| advice::installing_unit(path, error, arguments.user);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    for file in files {
        let path = folder.join(&file.name);
        match fs::read_to_string(&path) {
            Ok(there) if !there.starts_with(text::MADE) => return Err(advice::other_unit(&path)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, &error)),
            _ => {}
        }
    }
    for file in files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).map_err(|error| failed(&path, &error))?;
        report::print(&format!("Wrote {}.\n", shown(&path)))?;
    }
    if !arguments.automount && !arguments.mountpoint.exists() {
        report::print(&advice::make_mountpoint(&arguments.mountpoint))?;
    }
    let name = files.first().map_or("", |file| file.name.as_str());
    report::print(&advice::start_unit(name, arguments.user))?;
    if arguments.user { report::print(&format!("{}\n", advice::nobody_at_login())) } else { Ok(()) }
}

fn folder(is_users: bool) -> Option<PathBuf> {
    if !is_users {
        return Some("/etc/systemd/system".into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("systemd/user"))
}
