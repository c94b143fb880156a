//! `-o`: what mount(8), fstab and people write, resolved into what is to be done.
//!
//! Words that other programs read (mount(8), systemd, fstab's order) are accepted and without effect; an unknown one
//! is an error, since a misspelt `ro` must not mount for writing. Later words win over earlier ones.

use super::args::Unlock;
use super::values;
use crate::mount::Transport;
use std::path::PathBuf;

/// What `-o` asks for. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    pub read_only: bool,
    pub allow_other: bool,
    pub kernel_permissions: Option<bool>,
    pub no_exec: bool,
    pub no_suid: bool,
    pub no_dev: bool,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub writeback: Option<bool>,
    pub acls: Option<bool>,
    pub threads: Option<usize>,
    /// MiB.
    pub cache: Option<usize>,
    pub transport: Option<Transport>,
    pub unlock: Unlock,
    pub log_file: Option<PathBuf>,
}

/// The options that are cryptfs's own or differ from what mount(8) says of them, for the manual.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "ro, rw",
        "Read-only; nothing is then written to the backing folder. Or for writing too, as is the default.",
    ),
    (
        "allow_other",
        "Other users may enter the mount; an ordinary user needs user_allow_other in /etc/fuse.conf.",
    ),
    ("default_permissions, no_default_permissions", "The kernel checks permissions, or cryptfs does."),
    ("noexec, nosuid, nodev", "As in mount(8). fusermount3 always sets the last two."),
    (
        "uid=N, gid=N",
        "Everything seems to belong to this user or group. What is created still belongs to its creator.",
    ),
    ("acl, noacl", "POSIX access control lists, on by default."),
    (
        "writeback, no_writeback",
        "Whether the kernel gathers writes in its cache; by default it does not. With writeback, small writes are faster and \
         names slower. But the kernel accepts what there may be no space for: write(2) does not say so, fsync(2) and \
         close(2) do; what is not closed dies with the machine, and st_blocks leaves out what is not written out yet.",
    ),
    (
        "cache=MIB",
        "How much is kept of decrypted blocks that are changed in part, 16 unless said; at most 4096.",
    ),
    (
        "threads=N",
        "How many requests are worked on at once, 1 to 16; over io_uring, which has a queue per CPU, how many slow ones.",
    ),
    (
        "transport=auto, transport=uring, transport=device, transport=fuser",
        "What carries requests: io_uring, cryptfs's own loop over /dev/fuse, or fuser's. By default io_uring where the \
         kernel has it enabled for FUSE, else the loop. cryptfs info MOUNTPOINT says which.",
    ),
    (
        "passphrase-file=FILE, identity=FILE, pin-file=FILE, slot=ID|TYPE, fingerprint=HEX, keys=DIR, tcti=TCTI",
        "As the flags of cryptfs mount.",
    ),
    ("log-file=FILE", "Where the background process appends its log; else the system log."),
    (
        "defaults, auto, noauto, nofail, _netdev, x-*, comment=…, atime flags and the like",
        "Accepted, for others to read. user, users, owner and group imply noexec, nosuid and nodev, as in mount(8).",
    ),
];

/// The options that need a value.
const VALUED: &[&str] = &[
    "uid",
    "gid",
    "threads",
    "cache",
    "transport",
    "passphrase-file",
    "identity",
    "pin-file",
    "slot",
    "fingerprint",
    "keys",
    "tcti",
    "log-file",
];

/// Why an option list is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadOption {
    Unknown(String),
    /// It needs a value, or takes none, or not this one.
    Value(String),
}

impl MountOptions {
    /// Parses lists of options; with `sloppy`, unknown ones are passed over.
    pub fn parse<'a>(
        lists: impl IntoIterator<Item = &'a str>,
        sloppy: bool,
    ) -> Result<MountOptions, BadOption> {
        let mut options = MountOptions::default();
        for word in lists.into_iter().flat_map(split) {
            match options.apply(&word) {
                Err(BadOption::Unknown(_)) if sloppy => {}
                other => other?,
            }
        }
        Ok(options)
    }

    fn apply(&mut self, word: &str) -> Result<(), BadOption> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if is_for_others(name) {
            return Ok(());
        }
        match value {
            // mount(8) adds who mounted.
            Some(_) if name == "user" => self.apply_flag(name),
            None => self.apply_flag(name),
            Some(value) => self.apply_value(name, value),
        }
    }

    fn apply_flag(&mut self, name: &str) -> Result<(), BadOption> {
        match name {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "allow_other" => self.allow_other = true,
            "default_permissions" => self.kernel_permissions = Some(true),
            "no_default_permissions" => self.kernel_permissions = Some(false),
            "noexec" => self.no_exec = true,
            "exec" => self.no_exec = false,
            "nosuid" => self.no_suid = true,
            "suid" => self.no_suid = false,
            "nodev" => self.no_dev = true,
            "dev" => self.no_dev = false,
            "acl" => self.acls = Some(true),
            "noacl" => self.acls = Some(false),
            "writeback" => self.writeback = Some(true),
            "no_writeback" => self.writeback = Some(false),
            "user" | "users" | "owner" | "group" => {
                (self.no_exec, self.no_suid, self.no_dev) = (true, true, true);
            }
            _ if VALUED.contains(&name) => return Err(BadOption::Value(name.to_owned())),
            _ => return Err(BadOption::Unknown(name.to_owned())),
        }
        Ok(())
    }

    fn apply_value(&mut self, name: &str, value: &str) -> Result<(), BadOption> {
        let bad = || BadOption::Value(format!("{name}={value}"));
        match name {
            "uid" => self.uid = Some(value.parse().map_err(|_| bad())?),
            "gid" => self.gid = Some(value.parse().map_err(|_| bad())?),
            "threads" => {
                let count = value.parse().ok().filter(|count| (1..=16).contains(count));
                self.threads = Some(count.ok_or_else(bad)?);
            }
            "cache" => {
                let mebibytes = value.parse().ok().filter(|mebibytes| *mebibytes <= 4096);
                self.cache = Some(mebibytes.ok_or_else(bad)?);
            }
            "transport" => {
                let found = Transport::ALL.into_iter().find(|transport| transport.name() == value);
                self.transport = Some(found.ok_or_else(bad)?);
            }
            _ if value.is_empty() => return Err(bad()),
            "passphrase-file" => self.unlock.passphrase_file = Some(value.into()),
            "identity" => self.unlock.identities.push(value.into()),
            "pin-file" => self.unlock.pin_file = Some(value.into()),
            "slot" => self.unlock.slot = Some(values::only(value).map_err(|_| bad())?),
            "fingerprint" => self.unlock.fingerprint = Some(values::fingerprint(value).map_err(|_| bad())?),
            "keys" => self.unlock.place.keys = Some(value.into()),
            "tcti" => self.unlock.place.tcti = Some(value.into()),
            "log-file" => self.log_file = Some(value.into()),
            _ => return Err(BadOption::Unknown(format!("{name}={value}"))),
        }
        Ok(())
    }
}

/// Words that mount(8), systemd or the kernel's generic layer read, and that mean nothing here.
fn is_for_others(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "defaults",
        "auto",
        "noauto",
        "nouser",
        "nousers",
        "nofail",
        "_netdev",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "lazytime",
        "nolazytime",
        "comment",
        "uhelper",
        "helper",
        "fsname",
        "subtype",
        "silent",
        "loud",
        "nosymfollow",
        "_rnetdev",
        "nostrictatime",
    ];
    WORDS.contains(&name) || name.starts_with("x-") || name.starts_with("X-")
}

/// Splits at commas; a backslash before a comma or a backslash takes it literally, as in fuse(8).
fn split(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = character == '\\' && matches!(characters.peek(), Some(',' | '\\'));
        match (character, words.last_mut()) {
            (',', _) => words.push(String::new()),
            (_, Some(word)) => word.push(characters.next_if(|_| escaped).unwrap_or(character)),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<MountOptions, BadOption> {
        MountOptions::parse([list], false)
    }

    #[test]
    fn an_fstab_line() {
        let parsed = parse(
            "defaults,user=anna,exec,_netdev,x-systemd.automount,x-gvfs-name=a=b,allow_other,\
             passphrase-file=/etc/a\\,b\\\\c,nofail",
        );
        let wanted = MountOptions {
            allow_other: true,
            no_suid: true,
            no_dev: true,
            unlock: Unlock { passphrase_file: Some("/etc/a,b\\c".into()), ..Unlock::default() },
            ..MountOptions::default()
        };
        assert_eq!(parsed, Ok(wanted));
    }

    #[test]
    fn later_words_win() {
        assert!(!parse("ro,rw").unwrap().read_only);
        assert!(MountOptions::parse(["rw", "ro"], false).unwrap().read_only);
    }

    #[test]
    fn misspelt_words_are_refused() {
        assert_eq!(parse("r0"), Err(BadOption::Unknown("r0".into())));
        assert_eq!(parse("ro=1"), Err(BadOption::Unknown("ro=1".into())));
        assert_eq!(parse("keys"), Err(BadOption::Value("keys".into())));
        assert_eq!(parse("keys="), Err(BadOption::Value("keys=".into())));
        assert_eq!(parse("cache=4097"), Err(BadOption::Value("cache=4097".into())));
        assert_eq!(parse("threads=0"), Err(BadOption::Value("threads=0".into())));
        assert!(MountOptions::parse(["r0,ro"], true).unwrap().read_only);
        assert!(MountOptions::parse(["threads=x"], true).is_err());
    }
}
