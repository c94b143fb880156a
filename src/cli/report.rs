//! What commands print.

use super::advice::{self, Failure};
use super::visible;
use crate::chunk::Commit;
use jiff::Timestamp;
use std::io::{self, Write};

/// Prints lines. A reader that has gone away, as of `| head`, is no failure.
///
/// # Errors
///
/// `Exit::Failed` where stdout cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    print_as_it_is(visible::lines(text).as_bytes())
}

/// Prints a text of our own, unescaped.
///
/// # Errors
///
/// As for [`print()`].
pub fn print_as_it_is(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(advice::system("stdout", &error)),
        _ => Ok(()),
    }
}

/// Prints one line on stderr. A closed stderr is no failure.
pub fn complain(text: &str) {
    // Not `eprintln!`, which panics where stderr is closed.
    let _ = writeln!(io::stderr(), "cryptfs: {}", visible::line(text));
}

/// A time in seconds since 1970 as a date in UTC.
pub fn time(seconds: u64) -> String {
    date(seconds, "%Y-%m-%d %H:%M UTC")
}

/// When a commit was made, to the second: its number is a time in µs. Devices' clocks may differ.
pub fn commit_time(commit: Commit) -> String {
    date(commit.0 / 1_000_000, "%Y-%m-%d %H:%M:%S UTC")
}

/// `format` is strftime's. A clock may be wrong and a header forged, so that the year has more than four digits.
fn date(seconds: u64, format: &str) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| "after the year 9999".to_owned(), |time| time.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::{Commit, commit_time, time};

    #[test]
    fn dates() {
        assert_eq!(time(0), "1970-01-01 00:00 UTC");
        assert_eq!(time(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(time(4_107_542_399), "2100-02-28 23:59 UTC");
        assert_eq!(time(4_107_542_400), "2100-03-01 00:00 UTC");
        assert_eq!(commit_time(Commit(951_827_696_999_999)), "2000-02-29 12:34:56 UTC");
        assert_eq!(time(253_402_203_599), "9999-12-30 20:59 UTC");
        assert_eq!(time(u64::MAX), "after the year 9999");
        assert_eq!(commit_time(Commit(u64::MAX)), "after the year 9999");
    }
}
