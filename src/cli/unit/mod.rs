//! `cryptfs unit`: systemd units that mount one volume, shown or installed. `text.rs` writes them.

mod text;

use super::advice::{self, Failure};
use super::home_args::Unit;
use super::mount_options::MountOptions;
use super::report;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use text::{Volume, automount, escape_path, mount, service};

/// The first line of every unit that was made here: another one is not overwritten.
const MADE: &str = "# Made by `cryptfs unit`.\n";

/// A unit: its name and what stands in it.
struct File {
    name: String,
    text: String,
}

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
    let at = |path: &Path| std::path::absolute(path).map_err(|error| advice::system(path.display(), &error));
    let backing = fs::canonicalize(&arguments.backing).map_err(|_| advice::no_folder(&arguments.backing))?;
    let volume = Volume {
        program: std::env::current_exe().map_err(|error| advice::system("/proc/self/exe", &error))?,
        backing,
        mountpoint: at(&arguments.mountpoint)?,
        options: arguments.options.join(","),
        after: &arguments.after,
        idle: arguments.idle,
        lock_on_sleep: arguments.lock_on_sleep,
    };
    for path in [&volume.program, &volume.backing, &volume.mountpoint] {
        let text = path.to_str().ok_or_else(|| advice::unit_path(path))?;
        if text.chars().any(char::is_control) {
            return Err(advice::unit_path(path));
        }
    }
    let name = escape_path(&volume.mountpoint);
    let made =
        |kind: &str, text: String| File { name: format!("{name}.{kind}"), text: format!("{MADE}{text}") };
    Ok(match (arguments.automount, arguments.user) {
        (true, _) => vec![made("automount", automount(&volume)), made("mount", mount(&volume))],
        (false, is_users) => {
            let File { name, text } = made("service", service(&volume, is_users));
            vec![File { name: format!("cryptfs-{name}"), text }]
        }
    })
}

/// Writes them where systemd looks, and says what to do next. The first one is what is to be enabled.
fn install(arguments: &Unit, files: &[File]) -> Result<(), Failure> {
    let folder = folder(arguments.user).ok_or_else(advice::no_unit_folder)?;
    let failed = |path: &Path, error: &io::Error| advice::system(path.display(), error);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    for file in files {
        let path = folder.join(&file.name);
        match fs::read_to_string(&path) {
            Ok(there) if !there.starts_with(MADE) => return Err(advice::other_unit(&path)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, &error)),
            _ => {}
        }
    }
    for file in files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).map_err(|error| failed(&path, &error))?;
        report::print(&format!("Wrote {}.\n", path.display()))?;
    }
    let systemctl = if arguments.user { "systemctl --user" } else { "systemctl" };
    let name = files.first().map_or("", |file| file.name.as_str());
    let when = if arguments.user { "at each login" } else { "at each boot" };
    report::print(&format!(
        "Start it now and {when}: `{systemctl} daemon-reload && {systemctl} enable --now '{name}'`.\n"
    ))
}

fn folder(is_users: bool) -> Option<PathBuf> {
    if !is_users {
        return Some("/etc/systemd/system".into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("systemd/user"))
}
