//! What commands print.

use super::advice::{self, Failure};
use super::visible;
use crate::chunk::Commit;
use std::io::{self, Write};

/// Prints lines. A reader that has gone away, as of `| head`, is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    print_as_it_is(visible::lines(text).as_bytes())
}

/// The same of a text that is our own.
pub fn print_as_it_is(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(advice::system("stdout", &error)),
        _ => Ok(()),
    }
}

/// Says one line on stderr; where nobody listens there, that is all right.
pub fn complain(text: &str) {
    // Not `eprintln!`, which panics where stderr is closed.
    let _ = writeln!(io::stderr(), "cryptfs: {}", visible::line(text));
}

/// Seconds since 1970 as a date in UTC.
pub fn time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

/// When a commit was made, to the second: its number is a time in µs. Devices' clocks may differ.
pub fn commit_time(commit: Commit) -> String {
    let seconds = commit.0 / 1_000_000;
    time(seconds).replace(" UTC", &format!(":{:02} UTC", seconds % 60))
}

/// Days since 1970 to the Gregorian calendar; eras of 400 years begin on a 1st of March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
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
    }
}
