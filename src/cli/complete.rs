//! What shells complete: the words of commands, and known volumes, mountpoints, key slots and mount options.
//!
//! The scripts that shells read hold the words. For values they ask this program, with the command line so far.

use super::advice::Failure;
use super::args::{Arguments, Place};
use super::mount::LOCK;
use super::mount_options::DESCRIPTIONS;
use super::{report, unlock};
use crate::mount;
use crate::sys::process;
use crate::trust::Trust;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Says that a shell asks.
const VARIABLE: &str = "CRYPTFS_COMPLETE";

/// The types of key slots.
const TYPES: [&str; 4] = ["passphrase", "recovery", "tpm2", "recipient"];

/// Values take the place of what the words of commands would give, and folders are beside them.
const BASH: &str = r#"
_cryptfs_values() {
    local values
    _cryptfs "$@"
    mapfile -t values < <(CRYPTFS_COMPLETE=1 cryptfs "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case ${values[0]-} in
        '') ;;
        /* | '~/'*)
            mapfile -t COMPREPLY < <(compgen -d -- "${COMP_WORDS[COMP_CWORD]}")
            COMPREPLY+=("${values[@]}")
            compopt -o filenames 2>/dev/null
            ;;
        *)
            COMPREPLY=("${values[@]}")
            [[ ${values[0]} != *= ]] || compopt -o nospace 2>/dev/null
            ;;
    esac
}
complete -F _cryptfs_values -o bashdefault -o default cryptfs
"#;

const ZSH: &str = r#"_cryptfs() {
    local -a values
    values=(${(f)"$(CRYPTFS_COMPLETE=1 cryptfs "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    (( ! $#values )) || compadd -a values
    _cryptfs_words "$@"
}
"#;

const FISH: &str = "
function __cryptfs_values
    env CRYPTFS_COMPLETE=1 cryptfs (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c cryptfs -a '(__cryptfs_values)'
complete -c cryptfs -s o -x -a '(__cryptfs_values)'
complete -c cryptfs -l slot -x -a '(__cryptfs_values)'
";

/// The script of a shell.
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "cryptfs", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + BASH,
        // Its end has the function of this name run where the shell looks for it.
        Shell::Zsh => script.replacen("_cryptfs() {", &format!("{ZSH}\n_cryptfs_words() {{"), 1),
        Shell::Fish => script + FISH,
        _ => script,
    }
}

pub fn is_asked() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Prints, a line each, what the last of these words can become.
///
/// # Errors
///
/// As for [`report::print`].
pub fn answer(arguments: &[OsString]) -> Result<(), Failure> {
    // Nothing else may come onto the terminal.
    log::set_max_level(log::LevelFilter::Off);
    let words: Vec<&str> = arguments.iter().skip(1).map(|word| word.to_str().unwrap_or("")).collect();
    let values = values(&words).into_iter().filter(|value| !value.contains('\n'));
    report::print(&values.map(|value| value + "\n").collect::<String>())
}

fn values(words: &[&str]) -> Vec<String> {
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    let found = match wanted(before).as_deref() {
        Some("BACKING" | "VOLUME[:PATH]") => volumes(current),
        Some("MOUNTPOINT") => mountpoints(current),
        Some("BACKING|MOUNTPOINT") => [volumes(current), mountpoints(current)].concat(),
        Some("ID") => slots(before),
        Some("ID|TYPE") => slots(before).into_iter().chain(TYPES.map(str::to_owned)).collect(),
        Some("OPTIONS") => options(current),
        _ => Vec::new(),
    };
    found.into_iter().filter(|value| value.starts_with(current)).collect()
}

/// What comes after these words, by its name in the help.
fn wanted(before: &[&str]) -> Option<String> {
    let mut command = Arguments::command();
    command.build();
    let (mut place, mut option) = (0, None);
    for word in before {
        if option.take().is_some() {
            continue;
        }
        if let Some(named) = word.strip_prefix('-') {
            option = command.get_arguments().find(|arg| takes(arg, named)).cloned();
        } else if let Some(found) = command.find_subcommand(word).filter(|_| place == 0).cloned() {
            command = found;
        } else {
            place += 1;
        }
    }
    name(&option.or_else(|| positional(&command, place))?)
}

/// Whether an option of this name, without its first dash, has its value in the next word.
fn takes(arg: &Arg, named: &str) -> bool {
    let is_it = match named.strip_prefix('-') {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| named == short.to_string()),
    };
    is_it && arg.get_action().takes_values()
}

/// The argument at a place; the last one may be there several times.
fn positional(command: &Command, place: usize) -> Option<Arg> {
    let last = || command.get_positionals().last().filter(|arg| arg.get_action().takes_values());
    let several = |arg: &&Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    command.get_positionals().nth(place).or_else(|| last().filter(several)).cloned()
}

fn name(arg: &Arg) -> Option<String> {
    Some(arg.get_value_names()?.first()?.to_string())
}

fn volumes(current: &str) -> Vec<String> {
    let known = Trust::places_of_all().into_iter().filter(|place| place.join(LOCK).exists());
    known.filter_map(|place| shown(current, &place)).collect()
}

fn mountpoints(current: &str) -> Vec<String> {
    let user = process::user();
    let mounts = mount::all().unwrap_or_default().into_iter();
    let own = mounts.filter(|entry| user == 0 || entry.user == user);
    own.filter_map(|entry| shown(current, &entry.path)).collect()
}

/// A path, below the home directory where that is how it is typed.
fn shown(current: &str, path: &Path) -> Option<String> {
    let home = std::env::home_dir().filter(|_| current.starts_with("~/"));
    let below = home.and_then(|home| path.strip_prefix(home).ok());
    let path = below.map_or_else(|| path.to_owned(), |below| Path::new("~").join(below));
    path.into_os_string().into_string().ok()
}

/// The key slots of the volume that stands among the words.
fn slots(before: &[&str]) -> Vec<String> {
    let typed = before.iter().map(|word| match word.strip_prefix("~/") {
        Some(below) => std::env::home_dir().unwrap_or_default().join(below),
        None => PathBuf::from(word),
    });
    let volume = typed.into_iter().find(|word| word.join(LOCK).exists());
    let locked = volume.and_then(|backing| unlock::peek(&backing, &Place::default()).ok());
    locked
        .map_or_else(Vec::new, |locked| locked.listing.slots.iter().map(|slot| slot.id.to_string()).collect())
}

/// The last word of a list of mount options.
fn options(current: &str) -> Vec<String> {
    let before = current.rfind(',').map_or("", |comma| &current[..=comma]);
    option_words().map(|word| format!("{before}{word}")).collect()
}

/// Mount options by their descriptions; `name=` where the value is not one of a few.
fn option_words() -> impl Iterator<Item = String> {
    let word = |described: &str| {
        let (name, value) = described.split_once('=').unwrap_or((described, ""));
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        let is_placeholder = value.starts_with(|first: char| !first.is_lowercase());
        let value = if is_placeholder { "" } else { value };
        is_name(name)
            .then(|| if described.contains('=') { format!("{name}={value}") } else { name.to_owned() })
    };
    DESCRIPTIONS.iter().flat_map(|(names, _)| names.split(", ")).filter_map(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mount_options::{BadOption, MountOptions};

    #[test]
    fn what_comes_next_is_known_by_the_words_before() {
        for (before, next) in [
            (&["mount"][..], Some("BACKING")),
            (&["mount", "-f", "/vault"], Some("MOUNTPOINT")),
            (&["mount", "/vault", "--passphrase-file", "mount"], Some("MOUNTPOINT")),
            (&["mount", "/vault", "-o"], Some("OPTIONS")),
            (&["umount"], Some("MOUNTPOINT")),
            (&["status", "/a", "/b"], Some("MOUNTPOINT")),
            (&["key", "remove", "/vault"], Some("ID")),
            (&["mount", "--slot"], Some("ID|TYPE")),
            (&["cat"], Some("VOLUME[:PATH]")),
            (&["umount", "/a"], None),
            (&["key"], None),
            (&[], None),
        ] {
            assert_eq!(wanted(before).as_deref(), next, "{before:?}");
        }
    }

    #[test]
    fn the_last_of_the_mount_options_is_completed() {
        assert_eq!(values(&["mount", "-o", "ro,idl"]), ["ro,idle="]);
        assert_eq!(values(&["mount", "/v", "/p", "-o", "transport=u"]), ["transport=uring"]);
        assert!(values(&["unit", "-o", ""]).contains(&"noexec".to_owned()));
        assert_eq!(values(&["mount", "-o", "r0"]), [""; 0]);
        assert_eq!(values(&["mount", "--slot", ""]), ["passphrase", "recovery", "tpm2", "recipient"]);
        TYPES.iter().for_each(|name| assert!(super::super::values::only(name).is_ok(), "{name}"));
        for word in option_words() {
            let parsed = MountOptions::parse([&*word], false);
            let is_unknown = matches!(parsed, Err(BadOption::Unknown(_)));
            assert!(!is_unknown || word.ends_with('='), "{word}: {parsed:?}");
        }
        assert!(option_words().count() > 30);
    }
}
