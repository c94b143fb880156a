//! What mount(8) was asked for and does not hand on to its helper: util-linux 2.38 leaves out `suid` and `dev`, which to it
//! are the default, and are not to cryptfs; and `x-` options, which file managers read in libmount's table: where the mount
//! stands there already, mount(8) does not add them. All are looked for where they were written: in its arguments and in
//! fstab.

use crate::mount;
use std::fs;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

/// The options that it leaves out, with those that take them back.
const LEFT_OUT: [&str; 4] = ["suid", "nosuid", "dev", "nodev"];
/// Short options of mount(8) that have a value.
const VALUED: [char; 7] = ['L', 'N', 'o', 'O', 't', 'T', 'U'];
const VALUED_LONG: [&str; 11] = [
    "fstab",
    "label",
    "namespace",
    "options",
    "options-mode",
    "options-source",
    "source",
    "target",
    "target-prefix",
    "test-opts",
    "types",
];

/// Arguments of mount(8).
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    /// In their order, comma-separated.
    options: Vec<String>,
    fstab: Option<PathBuf>,
    /// How many of source and target are given: with both, fstab is not read.
    places: usize,
}

/// Those of the options that mount(8), if that is what started this process, was given for a mount at `target` and may have
/// left out.
pub fn of_mount(target: &Path) -> Vec<String> {
    let process = |file: &str| fs::read(format!("/proc/{}/{file}", parent_id())).unwrap_or_default();
    if process("comm") != b"mount\n" {
        return Vec::new();
    }
    let command = String::from_utf8_lossy(&process("cmdline")).into_owned();
    let arguments = Arguments::parse(command.split_terminator('\0').skip(1));
    let fstab = match arguments.places {
        2.. => String::new(),
        _ => fs::read_to_string(arguments.fstab.as_deref().unwrap_or(Path::new("/etc/fstab")))
            .unwrap_or_default(),
    };
    let lists = line_of(&fstab, target).map(|line| line.options).into_iter().chain(arguments.options);
    let words = lists.flat_map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>());
    words.filter(|word| LEFT_OUT.contains(&word.as_str()) || word.starts_with("x-")).collect()
}

impl Arguments {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Arguments {
        let (mut arguments, mut words) = (Arguments::default(), words);
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--") {
                let (name, value) =
                    long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                if VALUED_LONG.contains(&name) {
                    let value = value.or_else(|| words.next()).unwrap_or_default();
                    arguments.take(name, value);
                }
            } else if let Some(flags) = word.strip_prefix('-') {
                let Some(at) = flags.find(VALUED) else { continue };
                let (name, value) = (&flags[at..=at], &flags[at + 1..]);
                let value = if value.is_empty() { words.next().unwrap_or_default() } else { value };
                arguments.take(name, value);
            } else {
                arguments.places += 1;
            }
        }
        arguments
    }

    fn take(&mut self, name: &str, value: &str) {
        match name {
            "o" | "options" => self.options.push(value.to_owned()),
            "T" | "fstab" => self.fstab = Some(value.into()),
            "L" | "U" | "label" | "source" | "target" => self.places += 1,
            _ => {}
        }
    }
}

/// What fstab mounts at this place.
pub fn in_fstab(target: &Path) -> Option<PathBuf> {
    let line = line_of(&fs::read_to_string("/etc/fstab").ok()?, target)?;
    ["fuse.cryptfs", "cryptfs"].contains(&line.kind.as_str()).then_some(line.source)
}

struct Line {
    source: PathBuf,
    kind: String,
    options: String,
}

/// The last line of a fstab that is about this mountpoint.
fn line_of(fstab: &str, target: &Path) -> Option<Line> {
    let lines = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut entries = lines.filter_map(|line| {
        let mut fields = line.split_whitespace();
        let mut place = || Some(PathBuf::from(mount::unescape(fields.next()?.as_bytes())));
        let (source, place) = (place()?, place()?);
        let (kind, options) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let is_it = place == target || fs::canonicalize(place).is_ok_and(|place| place == target);
        is_it.then_some(Line { source, kind, options })
    });
    entries.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_mount_are_read_as_it_reads_them() {
        let parsed = |line: &str| {
            let arguments = Arguments::parse(line.split(' '));
            (arguments.options.join(" "), arguments.fstab, arguments.places)
        };
        let both = |options: &str| (options.to_owned(), None, 2);
        assert_eq!(parsed("-t fuse.cryptfs -o suid,dev a b"), both("suid,dev"));
        assert_eq!(parsed("a b -vosuid -odev -tdev"), both("suid dev"));
        assert_eq!(parsed("-no suid --options dev --options=x --types suid a b"), both("suid dev x"));
        assert_eq!(parsed("-a -T f"), (String::new(), Some("f".into()), 0));
        assert_eq!(parsed("--fstab=f -O suid --target b"), (String::new(), Some("f".into()), 1));
        assert_eq!(parsed("-o"), (String::new(), None, 0));
    }

    #[test]
    fn a_line_of_fstab_is_found_by_its_mountpoint() {
        let fstab = "# /b /m fuse.cryptfs no 0 0\n/b /m fuse.cryptfs suid,a 0 0\n\n/b  /my\\040m\tfuse.cryptfs dev\nshort /m\n";
        let of = |target: &str| line_of(fstab, Path::new(target)).map(|line| line.options);
        assert_eq!(of("/m").as_deref(), Some("suid,a"));
        assert_eq!(of("/my m").as_deref(), Some("dev"));
        assert_eq!(of("/b"), None);
    }
}
