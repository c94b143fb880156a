//! What stands in systemd units. What the daemon is not to do is said once, in the templates of the package.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first line of every unit that was made here: another one is not overwritten.
pub const MADE: &str = "# Made by `cryptfs unit`.\n";
const SYSTEM: &str = include_str!("../../../systemd/system/cryptfs@.service");
const USER: &str = include_str!("../../../systemd/user/cryptfs@.service");
/// Where in the templates begins what is the same for every volume.
const SAME: &str = "# Somebody may have to type";

/// A volume that is to be mounted. No path has control characters.
pub struct Volume<'a> {
    pub program: PathBuf,
    pub backing: PathBuf,
    pub mountpoint: PathBuf,
    /// Separated by commas.
    pub options: String,
    pub after: &'a [String],
    pub idle: Option<Duration>,
    pub lock_on_sleep: bool,
}

/// A service that mounts the volume and tells when it answers.
pub fn service(volume: &Volume<'_>, is_users: bool) -> String {
    let template = if is_users { USER } else { SYSTEM };
    let same = template.find(SAME).map_or("", |at| &template[at..]);
    let mut command = format!("{} mount -f", quoted(&volume.program));
    let idle = volume.idle.map(|idle| format!("idle={}", idle.as_secs()));
    let options: Vec<_> =
        [volume.options.clone()].into_iter().filter(|text| !text.is_empty()).chain(idle).collect();
    if !options.is_empty() {
        let _ = write!(command, " -o {}", quoted(Path::new(&options.join(","))));
    }
    format!(
        "{}\n[Service]\nType=notify\nExecStart={command} {} {}\n{same}",
        head(volume),
        quoted(&volume.backing),
        quoted(&volume.mountpoint),
    )
}

/// A mount unit, for `automount`.
pub fn mount(volume: &Volume<'_>) -> String {
    let options = match volume.options.as_str() {
        "" => String::new(),
        options => format!("Options={}\n", escaped(options)),
    };
    format!(
        "{}\n[Mount]\nWhat={}\nWhere={}\nType=fuse.cryptfs\n{options}# Somebody may have to type a passphrase; at the \
         stop everything is written out.\nTimeoutSec=10min\n",
        head(volume),
        escaped(&volume.backing.to_string_lossy()),
        escaped(&volume.mountpoint.to_string_lossy()),
    )
}

/// What mounts on first access.
pub fn automount(volume: &Volume<'_>) -> String {
    let idle = volume.idle.map_or_else(String::new, |idle| format!("TimeoutIdleSec={}\n", idle.as_secs()));
    format!(
        "[Unit]\nDescription=Encrypted volume at {at}, on access\nDocumentation=man:cryptfs(1)\n\n[Automount]\n\
         Where={at}\n{idle}\n[Install]\nWantedBy=multi-user.target\n",
        at = escaped(&volume.mountpoint.to_string_lossy()),
    )
}

fn head(volume: &Volume<'_>) -> String {
    let mut text = format!(
        "[Unit]\nDescription=Encrypted volume at {}\nDocumentation=man:cryptfs(1)\n",
        escaped(&volume.mountpoint.to_string_lossy())
    );
    // The mountpoint's folder and not the mountpoint, which is a mount itself once it is mounted.
    let parent = volume.mountpoint.parent().unwrap_or(Path::new("/"));
    let _ = writeln!(text, "RequiresMountsFor={} {}", word(&volume.backing), word(parent));
    for unit in volume.after {
        let _ = writeln!(text, "After={}", escaped(unit));
    }
    if volume.lock_on_sleep {
        text +=
            "# The machine sleeps when the volume is closed.\nConflicts=sleep.target\nBefore=sleep.target\n";
    }
    text
}

/// `%` begins a specifier.
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word of a command line, in which `$` would begin a variable.
fn quoted(path: &Path) -> String {
    word(path).replace('$', "$$")
}

/// One word of a list, as systemd.syntax(7) has it.
fn word(path: &Path) -> String {
    let text = escaped(&path.to_string_lossy());
    let is_plain = |c: char| c.is_alphanumeric() || "/-_.,:=+@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A path as the name of a unit, as systemd-escape --path does it.
pub fn escape_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let parts: Vec<&[u8]> =
        path.as_os_str().as_bytes().split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let mut name = String::new();
    for (at, byte) in parts.join(&b'/').into_iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name += "\\x2e",
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => name.push(byte.into()),
            byte => {
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_names_as_systemd_has_them() {
        for (path, name) in [
            ("/home/anna/plain", "home-anna-plain"),
            ("/a b/c-d//e/", "a\\x20b-c\\x2dd-e"),
            ("/.hidden/x", "\\x2ehidden-x"),
            ("/größe", "gr\\xc3\\xb6\\xc3\\x9fe"),
            ("/", "-"),
        ] {
            assert_eq!(escape_path(Path::new(path)), name);
        }
    }

    #[test]
    fn words_stay_words() {
        let words = ["/a", "/a b", "/50%", "/a\"b\\c", "/a$b"].map(|path| quoted(Path::new(path)));
        assert_eq!(words, ["/a", "\"/a b\"", "/50%%", "\"/a\\\"b\\\\c\"", "\"/a$$b\""]);
    }

    #[test]
    fn a_service_says_what_was_asked_for() {
        let volume = Volume {
            program: "/usr/bin/cryptfs".into(),
            backing: "/disk/my vault".into(),
            mountpoint: "/home/anna/plain".into(),
            options: "ro,threads=4".into(),
            after: &["syncthing.service".to_owned()],
            idle: Some(Duration::from_secs(900)),
            lock_on_sleep: true,
        };
        let text = service(&volume, false);
        for line in [
            "ExecStart=/usr/bin/cryptfs mount -f -o ro,threads=4,idle=900 \"/disk/my vault\" /home/anna/plain",
            "RequiresMountsFor=\"/disk/my vault\" /home/anna",
            "After=syncthing.service",
            "Conflicts=sleep.target",
            "Before=sleep.target",
            "Type=notify",
            "NoNewPrivileges=yes",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let users =
            service(&Volume { idle: None, lock_on_sleep: false, options: String::new(), ..volume }, true);
        assert!(users.contains("mount -f \"/disk") && users.contains("WantedBy=default.target"), "{users}");
        assert!(!users.contains("NoNewPrivileges=yes") && !users.contains("sleep"), "{users}");
    }
}
