//! Where log records go: to stderr while somebody looks, then to a file or to the system log, and what went to stderr
//! once more: whoever looks at the log of a mount later finds all of it there.
//!
//! env_logger filters, formats and hands on. One line per record: a file name may hold any character, and none can forge
//! a line (`visible`).

use super::visible;
use crate::sys::files;
use env_logger::{Builder, Target};
use log::{Level, LevelFilter};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;

/// The variables that choose what is logged, by env_logger's filters; the first that is set counts.
pub const VARIABLES: [&str; 2] = ["CRYPTFS_LOG", "RUST_LOG"];

/// Records on stderr that are kept for the log.
const REPEATED: usize = 1000;

/// syslog(3)'s facility "daemon" (RFC 3164, section 4.1.1).
const FACILITY: u8 = 3;

/// Where the journal takes records in its own form (systemd's JOURNAL_NATIVE_PROTOCOL).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Where systemd says which stream of its journal stdout or stderr is.
const STREAM: &str = "JOURNAL_STREAM";
/// What MESSAGE_ID the journal has for records of which target: what a person should know of. Behind the target may stand `::` and
/// a class of paths.
const MESSAGES: [(&str, &str); 4] = [
    ("cryptfs::finding", "5f2a3c1de0b84b0c9a1d7c66e1f0a301"),
    ("cryptfs::conflict", "5f2a3c1de0b84b0c9a1d7c66e1f0a302"),
    ("cryptfs::delayed", "5f2a3c1de0b84b0c9a1d7c66e1f0a303"),
    ("cryptfs::stopped", "5f2a3c1de0b84b0c9a1d7c66e1f0a304"),
];

/// The backing folder.
static VOLUME: OnceLock<String> = OnceLock::new();

static SINK: Mutex<Sink> = Mutex::new(Sink::Stderr(Vec::new()));

enum Sink {
    Stderr(Vec<Line>),
    File(File),
    System(UnixDatagram),
    Journal(UnixDatagram),
    Nowhere,
}

/// A record as it is handed on: syslog(3)'s severity and the text.
struct Line {
    severity: u8,
    target: String,
    text: String,
}

/// env_logger's target: each write is one record, `<SEVERITY>TARGET>TEXT` and a newline.
struct Output;

/// Starts logging to stderr.
pub fn start() {
    let (mut builder, mistake) = builder(|name| std::env::var(name).ok());
    // Fails only if a logger was set before, which then does the work.
    let _ = builder.try_init();
    if let Some(mistake) = mistake {
        log::warn!("{mistake}");
    }
}

/// The logger that the environment asks for, and what is wrong with what it asks for.
fn builder(variable: impl Fn(&str) -> Option<String>) -> (Builder, Option<String>) {
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Warn);
    let set = VARIABLES.iter().find_map(|name| Some((name, variable(name)?)));
    let mistake = set.and_then(|(name, filter)| match env_filter::Builder::new().try_parse(&filter) {
        Ok(_) => {
            builder.parse_filters(&filter);
            None
        }
        Err(error) => Some(format!("{name} is ignored, warnings and errors are logged: {error}")),
    });
    builder.format(|out, record| {
        let text = visible::line(&record.args().to_string());
        writeln!(out, "<{}>{}>{text}", severity(record.level()), record.target())
    });
    builder.target(Target::Pipe(Box::new(Output)));
    (builder, mistake)
}

fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// From now on to `file`, opened for appending, and made for nobody else to read: paths of damaged files stand in it.
///
/// # Errors
///
/// As for [`files::append_to`]; the log then goes where it went.
pub fn to_file(file: &Path) -> io::Result<()> {
    SINK.lock().go_on_at(Sink::File(files::append_to(file)?));
    Ok(())
}

/// From now on to systemd's journal with all fields, if that is where stderr leads. What went there is there already.
pub fn to_journal_behind_stderr() {
    let stream = std::env::var(STREAM).unwrap_or_default();
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    if stderr.is_ok_and(|stderr| is_stream(&stderr, &stream))
        && let Ok(socket) = connect(JOURNAL)
    {
        *SINK.lock() = Sink::Journal(socket);
    }
}

/// Whether a file is the one that JOURNAL_STREAM names by device and inode (systemd.exec(5)).
fn is_stream(file: &File, stream: &str) -> bool {
    file.metadata().is_ok_and(|found| format!("{}:{}", found.dev(), found.ino()) == stream)
}

fn connect(to: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// From now on to systemd's journal or the system log, if there is one.
pub fn to_system() {
    let journal = connect(JOURNAL).map(Sink::Journal);
    let next = journal.or_else(|_| connect("/dev/log").map(Sink::System)).unwrap_or(Sink::Nowhere);
    SINK.lock().go_on_at(next);
}

/// Says in the journal which volume its records are about, from now on.
pub fn name_volume(backing: &Path) {
    // A process has one.
    let _ = VOLUME.set(visible::line(&backing.to_string_lossy()));
}

impl Write for Output {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        SINK.lock().write(Line::parse(record));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line {
    fn parse(record: &[u8]) -> Line {
        let record = String::from_utf8_lossy(record);
        let parts = record.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let (severity, rest) = parts.expect("`builder` set the format");
        let (target, text) = rest.split_once('>').expect("`builder` set the format");
        let severity = severity.parse().expect("`builder` set the format");
        Line { severity, target: target.to_owned(), text: text.trim_end_matches('\n').to_owned() }
    }

    /// Fields, one a line. No value has a newline (`visible`).
    fn for_journal(&self, volume: Option<&str>) -> String {
        let Line { severity, target, text } = self;
        let message = MESSAGES.iter().find_map(|(of, id)| {
            let class = target.strip_prefix(of)?;
            (class.is_empty() || class.starts_with("::")).then(|| (id, class.trim_start_matches("::")))
        });
        let id = message.map_or_else(String::new, |(id, _)| format!("MESSAGE_ID={id}\n"));
        let class = message.filter(|(_, class)| !class.is_empty());
        let class = class.map_or_else(String::new, |(_, class)| format!("CRYPTFS_PATH_CLASS={class}\n"));
        let volume = volume.map_or_else(String::new, |volume| format!("CRYPTFS_VOLUME={volume}\n"));
        format!(
            "MESSAGE={text}\nPRIORITY={severity}\nSYSLOG_IDENTIFIER=cryptfs\n{id}{volume}{class}CRYPTFS_TARGET={target}\n"
        )
    }

    fn word(&self) -> &'static str {
        match self.severity {
            3 => "error",
            4 => "warning",
            6 => "info",
            _ => "debug",
        }
    }
}

impl Sink {
    fn go_on_at(&mut self, mut next: Sink) {
        if let Sink::Stderr(lines) = self {
            lines.drain(..).for_each(|line| next.write(line));
        }
        *self = next;
    }

    /// A log that cannot be written to is no reason to fail what is being logged.
    fn write(&mut self, line: Line) {
        let (word, text) = (line.word(), &line.text);
        let _ = match self {
            Sink::Stderr(lines) => {
                let written = writeln!(io::stderr(), "cryptfs: {word}: {text}");
                if lines.len() < REPEATED {
                    lines.push(line);
                }
                written
            }
            Sink::File(file) => file.write_all(format!("{} {word}: {text}\n", now()).as_bytes()),
            // RFC 3164.
            Sink::System(socket) => {
                let priority = FACILITY * 8 + line.severity;
                let message = format!("<{priority}>cryptfs[{}]: {text}", std::process::id());
                socket.send(message.as_bytes()).map(drop)
            }
            Sink::Journal(socket) => {
                socket.send(line.for_journal(VOLUME.get().map(String::as_str)).as_bytes()).map(drop)
            }
            Sink::Nowhere => Ok(()),
        };
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Log as _, Metadata, Record};
    use std::io::{Read as _, Seek as _};

    fn builder_with(set: &[(&str, &str)]) -> (Builder, Option<String>) {
        let value =
            |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        builder(value)
    }

    /// The most detailed level that is logged of the modules `mount` and `fs`.
    fn levels(set: &[(&str, &str)]) -> [LevelFilter; 2] {
        let logger = builder_with(set).0.build();
        ["cryptfs::mount::device", "cryptfs::fs"].map(|target| {
            let is_on =
                |level: &Level| logger.enabled(&Metadata::builder().level(*level).target(target).build());
            Level::iter().filter(is_on).last().map_or(LevelFilter::Off, |level| level.to_level_filter())
        })
    }

    #[test]
    fn what_is_logged_is_chosen_by_the_first_variable_that_is_set() {
        use LevelFilter::{Debug, Info, Off, Warn};
        assert_eq!(levels(&[]), [Warn, Warn]);
        assert_eq!(levels(&[("CRYPTFS_LOG", "DEBUG")]), [Debug, Debug]);
        assert_eq!(levels(&[("CRYPTFS_LOG", "off")]), [Off, Off]);
        assert_eq!(levels(&[("CRYPTFS_LOG", "cryptfs::mount=debug")]), [Debug, Warn]);
        assert_eq!(levels(&[("RUST_LOG", "info,cryptfs::fs=off")]), [Info, Off]);
        assert_eq!(levels(&[("RUST_LOG", "trace"), ("CRYPTFS_LOG", "info")]), [Info, Info]);
        assert_eq!(levels(&[("CRYPTFS_LOG", "cryptfs=loud")]), [Warn, Warn]);
        assert!(builder_with(&[("CRYPTFS_LOG", "info")]).1.is_none());
        assert!(builder_with(&[("RUST_LOG", "cryptfs=loud")]).1.unwrap().starts_with("RUST_LOG is ignored"));
    }

    #[test]
    fn the_journal_gets_fields_that_can_be_searched_for() {
        let line = Line::parse(b"<3>cryptfs::finding::path>a > b\n");
        assert_eq!(
            line.for_journal(Some("/vault")),
            "MESSAGE=a > b\nPRIORITY=3\nSYSLOG_IDENTIFIER=cryptfs\nMESSAGE_ID=5f2a3c1de0b84b0c9a1d7c66e1f0a301\n\
             CRYPTFS_VOLUME=/vault\nCRYPTFS_PATH_CLASS=path\nCRYPTFS_TARGET=cryptfs::finding::path\n"
        );
        let line = Line::parse(b"<3>cryptfs::stopped>x\n").for_journal(None);
        assert!(line.contains("MESSAGE_ID=") && !line.contains("PATH_CLASS"), "{line}");
        let line = Line::parse(b"<4>cryptfs::fs>x\n");
        assert!(!line.for_journal(None).contains("MESSAGE_ID"));
    }

    #[test]
    fn a_stream_of_the_journal_is_known_by_its_numbers() {
        let (file, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let found = file.metadata().unwrap();
        let stream = format!("{}:{}", found.dev(), found.ino());
        assert!(is_stream(&file, &stream) && !is_stream(&other, &stream) && !is_stream(&file, ""));
    }

    #[test]
    fn a_record_is_one_line_and_what_went_to_stderr_comes_first() {
        let mut file = tempfile::tempfile().unwrap();
        *SINK.lock() = Sink::Stderr(Vec::new());
        let logger = builder_with(&[]).0.build();
        let log = |level, text: &str| {
            logger
                .log(&Record::builder().level(level).target("cryptfs").args(format_args!("{text}")).build());
        };
        log(Level::Warn, "early \"a\n1 error: forged\"");
        SINK.lock().go_on_at(Sink::File(file.try_clone().unwrap()));
        log(Level::Error, "late \u{202e}");
        log(Level::Info, "not asked for");
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["warning: early \"a\\n1 error: forged\"", "error: late \\u202e"]);
    }
}
