//! Programs that ask a person where there is no terminal: at boot, in a service, from a file manager.
//!
//! The question is an argument of theirs, the answer comes on their standard output. Nothing that is secret goes the other
//! way. Above: `secret_input.rs`.

use super::advice::{self, Failure};
use super::secret_input::{self, Given};
use super::visible;
use crate::sys::process;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The variable that names a program which asks, called as ssh-askpass is.
pub const VARIABLE: &str = "CRYPTFS_ASKPASS";
/// Where systemd runs the machine.
const SYSTEMD: &str = "/run/systemd/system";

#[derive(Debug, PartialEq, Eq)]
pub struct Agent {
    program: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As ssh-askpass: the question is its argument.
    Askpass,
    /// Plymouth, a console or a desktop's agent answers it.
    Systemd,
    Zenity,
    Kdialog,
}

/// What the choice depends on.
struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// systemd's agents can be asked: it runs the machine, and this is root, who alone may ask them.
    has_agents: bool,
}

impl Agent {
    /// Who can be asked from here, if anybody.
    pub fn find() -> Option<Agent> {
        if process::is_privileged_for_another_user() {
            return None;
        }
        let has_agents = process::is_root() && Path::new(SYSTEMD).is_dir();
        Agent::find_in(&Surroundings { variable: &|name| std::env::var_os(name), has_agents })
    }

    fn find_in(here: &Surroundings<'_>) -> Option<Agent> {
        let set = |name| (here.variable)(name).filter(|value| !value.is_empty());
        if let Some(program) = set(VARIABLE) {
            return Some(Agent { program: program.into(), kind: Kind::Askpass });
        }
        let is_graphical = set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).is_some();
        let known = [
            (here.has_agents, Kind::Systemd, "systemd-ask-password"),
            (is_graphical, Kind::Zenity, "zenity"),
            (is_graphical, Kind::Kdialog, "kdialog"),
        ];
        let path = set("PATH")?;
        let installed =
            |name: &str| std::env::split_paths(&path).map(|at| at.join(name)).find(|at| is_program(at));
        known
            .into_iter()
            .filter(|(is_there, ..)| *is_there)
            .find_map(|(_, kind, name)| installed(name).map(|program| Agent { program, kind }))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// `Exit::NothingToAskOn` where the program cannot be run, its answer cannot be read, or none came.
    pub fn ask(&self, question: &str) -> Result<Given, Failure> {
        let mut command = Command::new(&self.program);
        command
            .args(self.arguments(&visible::line(question.trim_end())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let failed = |error| advice::agent(&self.program, &error);
        let mut child = command.spawn().map_err(failed)?;
        let answer = child.stdout.take().map(secret_input::read_bounded);
        let ended = child.wait().map_err(failed)?;
        match answer {
            Some(answer) if ended.success() => answer.map_err(failed),
            _ => Err(advice::no_answer_by(&self.program, ended)),
        }
    }

    fn arguments(&self, question: &str) -> Vec<String> {
        let words: &[&str] = match self.kind {
            Kind::Askpass => &[],
            // By itself it gives up after 90 seconds; how long a start may take is the unit's to say.
            Kind::Systemd => &["--id=cryptfs", "--icon=drive-harddisk", "--no-tty", "--timeout=0"],
            Kind::Zenity => &["--entry", "--hide-text", "--title=cryptfs", "--text"],
            Kind::Kdialog => &["--title", "cryptfs", "--password"],
        };
        words.iter().copied().chain([question]).map(str::to_owned).collect()
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn who_is_asked_depends_on_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let find = |set: &[(&str, &str)], has_agents| {
            let variable = |name: &str| match name {
                "PATH" => Some(OsString::from(folder.path())),
                _ => set.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value)),
            };
            Agent::find_in(&Surroundings { variable: &variable, has_agents }).map(|agent| agent.kind)
        };
        let display = [("DISPLAY", ":0")];
        assert_eq!(find(&display, true), None, "nothing is installed");
        make("kdialog", 0o755);
        make("zenity", 0o644);
        assert_eq!(find(&display, true), Some(Kind::Kdialog), "zenity is no program");
        make("zenity", 0o755);
        make("systemd-ask-password", 0o755);
        assert_eq!(find(&[("WAYLAND_DISPLAY", "wayland-0")], false), Some(Kind::Zenity));
        assert_eq!(find(&[("WAYLAND_DISPLAY", "")], false), None);
        assert_eq!(find(&display, true), Some(Kind::Systemd));
        assert_eq!(find(&[(VARIABLE, "/x"), ("DISPLAY", ":0")], true), Some(Kind::Askpass));
        assert_eq!(find(&[], false), None);
    }
}
