//! Where log lines go: to stderr while somebody looks, then to a file or to the system log, and what was said until then
//! once more: whoever looks at the log of a mount later finds all of it there.
//!
//! One line per record: a file name may hold any character, and none can forge a line (`visible`).

use super::visible;
use crate::sys::files;
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The variable that chooses how much is logged: off, error, warn, info, debug or trace.
pub const LEVEL: &str = "CRYPTFS_LOG";

/// Lines on stderr that are kept for the log.
const REPEATED: usize = 1000;

static LOGGER: Logger = Logger(Mutex::new(Sink::Stderr(Vec::new())));

struct Logger(Mutex<Sink>);

enum Sink {
    Stderr(Vec<(Level, String)>),
    File(File),
    System(UnixDatagram),
    Nowhere,
}

/// Starts logging to stderr.
pub fn start() {
    let level = std::env::var(LEVEL).ok().and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::Warn);
    // Fails only if a logger was set before, which then does the work.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}

/// From now on to `file`, opened for appending, and made for nobody else to read: paths of damaged files stand in it.
pub fn to_file(file: &Path) -> io::Result<()> {
    LOGGER.go_on_at(Sink::File(files::append_to(file)?));
    Ok(())
}

/// From now on to the system log, if there is one.
pub fn to_system() {
    let connect = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect("/dev/log")?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket)
    };
    LOGGER.go_on_at(connect().map_or(Sink::Nowhere, Sink::System));
}

impl Logger {
    fn go_on_at(&self, mut next: Sink) {
        let mut sink = self.0.lock();
        if let Sink::Stderr(said) = &mut *sink {
            said.drain(..).for_each(|(level, text)| next.say(level, text));
        }
        *sink = next;
    }
}

impl Sink {
    fn say(&mut self, level: Level, text: String) {
        let (severity, word) = match level {
            Level::Error => (3, "error"),
            Level::Warn => (4, "warning"),
            Level::Info => (6, "info"),
            Level::Debug | Level::Trace => (7, "debug"),
        };
        // A log that cannot be written is no reason to fail what is being logged.
        let _ = match self {
            Sink::Stderr(said) => {
                let written = writeln!(io::stderr(), "cryptfs: {word}: {text}");
                if said.len() < REPEATED {
                    said.push((level, text));
                }
                written
            }
            Sink::File(file) => file.write_all(format!("{} {word}: {text}\n", now()).as_bytes()),
            // RFC 3164, facility 3: a daemon.
            Sink::System(socket) => {
                let line = format!("<{}>cryptfs[{}]: {text}", 3 * 8 + severity, std::process::id());
                socket.send(line.as_bytes()).map(drop)
            }
            Sink::Nowhere => Ok(()),
        };
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        self.0.lock().say(record.level(), visible::line(&record.args().to_string()));
    }

    fn flush(&self) {}
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}
