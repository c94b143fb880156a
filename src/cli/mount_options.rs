//! `-o`: what mount(8), fstab and people write, resolved into what is to be done.
//!
//! Words that other programs read (mount(8), systemd, fstab's order) are accepted and without effect; an unknown one
//! is an error, since a misspelt `ro` must not mount for writing. Later words win over earlier ones.

use super::args::Unlock;
use super::values;
use crate::mount::Transport;
use std::path::PathBuf;
use std::time::Duration;

/// What `-o` asks for. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    pub read_only: bool,
    /// Only the flags of a mount are to change.
    pub remount: bool,
    pub allow_other: bool,
    /// Root may enter, whoever mounts.
    pub allow_root: bool,
    pub kernel_permissions: Option<bool>,
    pub no_exec: bool,
    /// Whether set-user-ID bits and device nodes are to work.
    pub suid: bool,
    /// Writable without a state folder.
    pub stateless: bool,
    pub dev: bool,
    pub no_symlinks: bool,
    /// Security contexts, word by word.
    pub contexts: Vec<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub umask: Option<u32>,
    pub small_inode_numbers: bool,
    pub writeback: Option<bool>,
    pub acls: Option<bool>,
    pub threads: Option<usize>,
    /// MiB.
    pub cache: Option<usize>,
    pub transport: Option<Transport>,
    pub unlock: Unlock,
    pub log_file: Option<PathBuf>,
    /// Words that begin with `x-`, for programs that look at mounts.
    pub remarks: Vec<String>,
    /// How long nothing may be asked before the mount goes.
    pub idle: Option<Duration>,
}

/// The options that are cryptfs's own or differ from what mount(8) says of them, for the manual.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "ro, rw",
        "Read-only; nothing is then written to the backing folder. Or for writing too, as is the default.",
    ),
    (
        "remount",
        "Change a mount that is there: ro or rw, noexec, suid, dev, nosymfollow; for root, through mount(8). Other options are \
         ignored. What was mounted read-only stays so. A volume that stopped writing goes on, if what stopped it is over; for that \
         cryptfs mount -o remount by whoever mounted is enough.",
    ),
    (
        "allow_other",
        "Other users may enter the mount; an ordinary user needs user_allow_other in /etc/fuse.conf.",
    ),
    (
        "allow_root",
        "Root may enter beside who mounts, and nobody else: the root directory seems closed to others. An ordinary user \
         needs user_allow_other in /etc/fuse.conf; not with allow_other or no_default_permissions.",
    ),
    ("default_permissions, no_default_permissions", "The kernel checks permissions, or cryptfs does."),
    (
        "noexec, suid, dev",
        "As in mount(8), but nosuid and nodev are the default: whoever holds the backing folder's keys could make a file \
         that runs as root. Only root can ask for suid and dev.",
    ),
    (
        "uid=N, gid=N",
        "Show all files as owned by this user or group. New files still belong to their creator.",
    ),
    (
        "umask=OCTAL",
        "All files are shown and checked without these permission bits. What is stored does not change. There \
         are then no access control lists.",
    ),
    (
        "inode32",
        "Inode numbers of 32 bits, for programs that know no larger ones and otherwise fail with EOVERFLOW. A file then \
         has another number at each mount, and positions in folders (telldir(3)) have 31 bits, too.",
    ),
    (
        "acl, noacl",
        "POSIX access control lists, on by default. Without them none can be set, and existing ones have \
         no effect.",
    ),
    ("nosymfollow", "Symbolic links are not followed, as in mount(8). For root; fusermount3 refuses it."),
    (
        "context=, fscontext=, defcontext=, rootcontext=",
        "SELinux contexts, as in mount(8). For root; a kernel without SELinux refuses them.",
    ),
    (
        "writeback, no_writeback",
        "Whether the kernel gathers writes in its cache; by default it does not. With writeback, small writes are faster and \
         names slower. But the kernel accepts what there may be no space for: write(2) does not say so, a later \
         one, fsync(2) and close(2) do; what is not closed dies with the machine, and st_blocks leaves out what is not written out yet.",
    ),
    (
        "cache=MIB",
        "Size of the cache of decrypted blocks, in MiB; it serves writes of parts of blocks. 16 by default, at most 4096.",
    ),
    (
        "threads=N",
        "How many requests are served at once, 1 to 16; over io_uring, which has one queue per CPU, how many slow ones.",
    ),
    (
        "transport=auto, transport=uring, transport=device, transport=fuser",
        "What carries requests: io_uring, cryptfs's own loop over /dev/fuse, or the fuser crate where cryptfs was built with it. By default \
         io_uring where the kernel has it enabled for FUSE, else the loop. cryptfs info MOUNTPOINT says which.",
    ),
    (
        "passphrase-file=FILE, identity=FILE, pin-file=FILE, slot=ID|TYPE, fingerprint=HEX, keys=DIR, tcti=TCTI",
        "As the flags of cryptfs mount.",
    ),
    (
        "idle=TIME",
        "Unmount once nothing was asked of the volume for so long, such as 15m, and nothing in it is in use: no file is open, \
         and no process stands in it. What keeps it is said in the log. What the kernel answers from its cache is not asked. \
         Not with transport=fuser.",
    ),
    (
        "keyring=TIME",
        "Have the kernel keep a passphrase or recovery key that was typed for so long, such as 10m, so that the next mount of \
         this volume does not ask for it. Until then every process of this user can read it.",
    ),
    (
        "stateless",
        "Writable although there is no state folder, as in a container: without one a volume is mounted read-only, for each such \
         mount would be a new device to the others, and none would notice an older state of the volume.",
    ),
    ("log-file=FILE", "Where the background process appends its log; else the system log."),
    (
        "defaults, auto, noauto, nofail, _netdev, x-*, comment=…, atime flags and the like",
        "Accepted and ignored; other programs read them. Access times never change (a mount shows noatime); strictatime is \
         refused. user, users, owner and group imply noexec, nosuid and nodev, as in mount(8).",
    ),
];

/// The options that need a value.
const VALUED: &[&str] = &[
    "uid",
    "gid",
    "umask",
    "context",
    "fscontext",
    "defcontext",
    "rootcontext",
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
    "idle",
    "keyring",
];

/// Why an option list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    #[error("-o {0}: there is no such mount option")]
    Unknown(String),
    #[error("-o {0} and -o {1}: only one of these mount options can be used")]
    Conflict(&'static str, &'static str),
    /// It needs a value, or takes none, or not this one.
    #[error("-o {0}: this mount option needs another value")]
    Value(String),
}

impl MountOptions {
    /// Parses lists of options; with `sloppy`, unknown ones are ignored.
    ///
    /// # Errors
    ///
    /// [`BadOption::Unknown`], [`BadOption::Value`]; [`BadOption::Conflict`] of two that cannot both be.
    pub fn parse<'a>(
        lists: impl IntoIterator<Item = &'a str>,
        sloppy: bool,
    ) -> Result<MountOptions, BadOption> {
        let mut options = MountOptions::default();
        let words: Vec<String> = lists.into_iter().flat_map(split).collect();
        let sloppy = sloppy || words.iter().any(|word| word == "remount");
        for word in words {
            match options.apply(&word) {
                Err(BadOption::Unknown(_)) if sloppy => {}
                other => other?,
            }
        }
        if options.allow_root && options.allow_other {
            return Err(BadOption::Conflict("allow_root", "allow_other"));
        }
        if options.allow_root && options.kernel_permissions == Some(false) {
            return Err(BadOption::Conflict("allow_root", "no_default_permissions"));
        }
        #[cfg(feature = "fuser")]
        if options.idle.is_some() && options.transport == Some(Transport::Fuser) {
            return Err(BadOption::Conflict("idle", "transport=fuser"));
        }
        Ok(options)
    }

    fn apply(&mut self, word: &str) -> Result<(), BadOption> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if is_for_others(name) {
            // libmount's table can have no others.
            if name.starts_with("x-")
                && !word.contains([',', '"', '\\'])
                && !word.chars().any(char::is_control)
            {
                self.remarks.push(word.to_owned());
            }
            return Ok(());
        }
        match value {
            Some(_) if name == "user" => self.apply_flag(name), // mount(8) adds who mounted.
            None => self.apply_flag(name),
            Some(value) => self.apply_value(name, value),
        }
    }

    fn apply_flag(&mut self, name: &str) -> Result<(), BadOption> {
        match name {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "remount" => self.remount = true,
            "allow_other" => self.allow_other = true,
            "allow_root" => self.allow_root = true,
            "default_permissions" => self.kernel_permissions = Some(true),
            "no_default_permissions" => self.kernel_permissions = Some(false),
            "noexec" => self.no_exec = true,
            "exec" => self.no_exec = false,
            "suid" => self.suid = true,
            "nosuid" => self.suid = false,
            "dev" => self.dev = true,
            "nodev" => self.dev = false,
            "nosymfollow" => self.no_symlinks = true,
            "symfollow" => self.no_symlinks = false,
            "inode32" => self.small_inode_numbers = true,
            "inode64" => self.small_inode_numbers = false,
            "acl" => self.acls = Some(true),
            "noacl" => self.acls = Some(false),
            "stateless" => self.stateless = true,
            "writeback" => self.writeback = Some(true),
            "no_writeback" => self.writeback = Some(false),
            "user" | "users" | "owner" | "group" => {
                (self.no_exec, self.suid, self.dev) = (true, false, false);
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
            "umask" => {
                let bits = u32::from_str_radix(value, 8).ok().filter(|bits| *bits <= 0o777);
                self.umask = Some(bits.ok_or_else(bad)?);
            }
            "threads" => {
                let count = value.parse().ok().filter(|count| (1..=16).contains(count));
                self.threads = Some(count.ok_or_else(bad)?);
            }
            "cache" => {
                let mebibytes = value.parse().ok().filter(|mebibytes| *mebibytes <= 4096);
                self.cache = Some(mebibytes.ok_or_else(bad)?);
            }
            "transport" => {
                let found = Transport::ALL.iter().copied().find(|transport| transport.name() == value);
                self.transport = Some(found.ok_or_else(bad)?);
            }
            _ if value.is_empty() => return Err(bad()),
            "context" | "fscontext" | "defcontext" | "rootcontext" => {
                // The kernel, too, ends a word at a comma.
                let quote = if value.contains(',') && !value.starts_with('"') { "\"" } else { "" };
                self.contexts.push(format!("{name}={quote}{value}{quote}"));
            }
            "passphrase-file" => self.unlock.passphrase_file = Some(value.into()),
            "identity" => self.unlock.identities.push(value.into()),
            "pin-file" => self.unlock.pin_file = Some(value.into()),
            "slot" => self.unlock.slot = Some(values::only(value).map_err(|_| bad())?),
            "fingerprint" => self.unlock.fingerprint = Some(values::fingerprint(value).map_err(|_| bad())?),
            "keys" => self.unlock.place.keys = Some(value.into()),
            "tcti" => self.unlock.place.tcti = Some(value.into()),
            "idle" => self.idle = Some(values::duration(value).map_err(|_| bad())?),
            "keyring" => self.unlock.keyring = Some(values::duration(value).map_err(|_| bad())?),
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
        "lazytime",
        "nolazytime",
        "comment",
        "uhelper",
        "helper",
        "fsname",
        "subtype",
        "silent",
        "loud",
        "_rnetdev",
        "nostrictatime",
    ];
    WORDS.contains(&name) || name.starts_with("x-") || name.starts_with("X-")
}

/// Splits at commas; a backslash before a comma or a backslash takes it literally, as in fuse(8).
pub fn split(list: &str) -> Vec<String> {
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
            unlock: Unlock { passphrase_file: Some("/etc/a,b\\c".into()), ..Unlock::default() },
            remarks: vec!["x-systemd.automount".into(), "x-gvfs-name=a=b".into()],
            ..MountOptions::default()
        };
        assert_eq!(parsed, Ok(wanted));
    }

    #[test]
    fn what_promises_something_is_done_or_refused() {
        let parsed = parse("nosymfollow,context=a:b:c\\,d,umask=027,inode32").unwrap();
        let (contexts, umask) = (vec!["context=\"a:b:c,d\"".to_owned()], Some(0o27));
        let wanted = MountOptions {
            no_symlinks: true,
            small_inode_numbers: true,
            contexts,
            umask,
            ..MountOptions::default()
        };
        assert_eq!(parsed, wanted);
        for word in ["strictatime", "sync", "dirsync", "mand", "context", "umask=888", "umask=7777"] {
            assert!(parse(word).is_err(), "{word}");
        }
        assert!(MountOptions::parse(["context="], true).is_err());
    }

    #[test]
    fn root_alone_and_everybody_is_a_contradiction() {
        assert!(parse("allow_root").unwrap().allow_root);
        assert!(matches!(parse("allow_root,allow_other"), Err(BadOption::Conflict(..))));
        assert!(matches!(parse("no_default_permissions,allow_root"), Err(BadOption::Conflict(..))));
    }

    #[test]
    fn times_are_times() {
        let parsed = parse("idle=15min,keyring=90").unwrap();
        let seconds = [parsed.idle, parsed.unlock.keyring].map(|time| time.unwrap().as_secs());
        assert_eq!(seconds, [900, 90]);
        assert_eq!(parse("idle"), Err(BadOption::Value("idle".into())));
        assert_eq!(parse("idle=0"), Err(BadOption::Value("idle=0".into())));
        #[cfg(feature = "fuser")]
        assert!(matches!(parse("idle=1h,transport=fuser"), Err(BadOption::Conflict(..))));
    }

    /// mount(8) gives all that /proc/self/mountinfo shows.
    #[test]
    fn a_remount_ignores_what_it_cannot_change() {
        let words = "rw,remount,ro,nosuid,nodev,noatime,user_id=0,group_id=0,default_permissions";
        let parsed = MountOptions::parse([words], true).unwrap();
        assert!(parsed.remount && parsed.read_only);
        assert!(parse("remount,user_id=0").unwrap().remount);
        assert_eq!(parse("user_id=0"), Err(BadOption::Unknown("user_id=0".into())));
    }

    #[test]
    fn later_words_win() {
        assert!(!parse("ro,rw").unwrap().read_only);
        assert!(MountOptions::parse(["rw", "ro"], false).unwrap().read_only);
        let either = |list| parse(list).map(|options| (options.suid, options.dev)).unwrap();
        assert_eq!(either("defaults"), (false, false));
        assert_eq!(either("suid,dev"), (true, true));
        assert_eq!(either("suid,dev,user,exec"), (false, false));
    }

    #[test]
    fn misspelt_words_are_refused() {
        assert_eq!(parse("r0"), Err(BadOption::Unknown("r0".into())));
        assert_eq!(parse("ro=1"), Err(BadOption::Unknown("ro=1".into())));
        for word in ["keys", "keys=", "cache=4097", "threads=0"] {
            assert_eq!(parse(word), Err(BadOption::Value(word.into())));
        }
        assert!(MountOptions::parse(["r0,ro"], true).unwrap().read_only);
        assert!(MountOptions::parse(["threads=x"], true).is_err());
    }
}
