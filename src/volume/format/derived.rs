//! The names under which entries are shown that another one has the name of (docs/FORMAT.md section 8).
//!
//! Made from the entry alone, so that every device makes the same.

use super::limits::NAME_MAX;
use crate::chunk::DeviceId;

/// Longest extension that stays at the end, with its dot.
const EXTENSION_MAX: usize = 16;
/// Counters from here on are times, in µs since 1970.
const FIRST_TIME: u64 = 1_000_000_000_000_000;
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400;

/// How often a name is derived from one that is taken.
const DERIVED_MOST: usize = 8;

/// The names to be tried in turn for what yields, each derived from the one before, as that is taken.
pub fn derived_names(name: &[u8], counter: u64, device: DeviceId) -> impl Iterator<Item = Vec<u8>> {
    let derive = move |name: &[u8]| derived_name(name, counter, device);
    std::iter::successors(Some(derive(name)), move |taken| Some(derive(taken))).take(DERIVED_MOST)
}

/// `report.odt` becomes `report (conflict 2026-11-28 101530 3fa2).odt`. `counter` and `device`: of the dot of the entry that
/// yields, or of the stamp of the content that does.
fn derived_name(name: &[u8], counter: u64, device: DeviceId) -> Vec<u8> {
    let (stem, extension) = split_extension(name);
    let [a, b, ..] = device.0;
    let when = if counter < FIRST_TIME { counter.to_string() } else { time_of(counter) };
    let mark = format!(" (conflict {when} {a:02x}{b:02x})");
    let mut end = stem.len().min(NAME_MAX - mark.len() - extension.len());
    // Not within a character of UTF-8.
    while end < stem.len() && end > 0 && stem[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    [&stem[..end], mark.as_bytes(), extension].concat()
}

/// A dot at the start of a name begins no extension.
fn split_extension(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(at) if at > 0 && name.len() - at <= EXTENSION_MAX => name.split_at(at),
        _ => (name, &[]),
    }
}

fn time_of(micros: u64) -> String {
    let seconds = micros / SECOND;
    let (day, second) = (seconds / DAY, seconds % DAY);
    let (year, month, date) = date_of(day);
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02} {hours:02}{minutes:02}{seconds:02}")
}

/// The date of a day since 1970, in the Gregorian calendar: years begin in March, so that the leap day is their last.
fn date_of(day: u64) -> (u64, u64, u64) {
    let since = day + 719_468;
    let (era, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId([0x3f, 0xa2, 1, 2, 3, 4, 5, 6]);

    fn derived(name: &str, counter: u64) -> String {
        String::from_utf8(derived_name(name.as_bytes(), counter, DEVICE)).unwrap()
    }

    #[test]
    fn a_name_tells_when_and_by_whom() {
        // date -u -d '2026-11-28 10:15:30' +%s
        let time = 1_795_860_930_000_000;
        assert_eq!(derived("report.odt", time + 999_999), "report (conflict 2026-11-28 101530 3fa2).odt");
        assert_eq!(derived("no extension", time), "no extension (conflict 2026-11-28 101530 3fa2)");
        assert_eq!(derived("a.tar.gz", time), "a.tar (conflict 2026-11-28 101530 3fa2).gz");
        assert_eq!(derived(".profile", time), ".profile (conflict 2026-11-28 101530 3fa2)");
        assert_eq!(
            derived("what. is not an extension", time),
            "what. is not an extension (conflict 2026-11-28 101530 3fa2)"
        );
        assert_eq!(derived("f", 42), "f (conflict 42 3fa2)");
    }

    /// From `date -u -d DATE +%s`.
    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, date) in [
            (1_000_000_000, "2001-09-09 014640"),
            (1_078_012_800, "2004-02-29 000000"),
            (1_078_099_199, "2004-02-29 235959"),
            (1_078_099_200, "2004-03-01 000000"),
            (1_735_689_599, "2024-12-31 235959"),
            (4_107_542_400, "2100-03-01 000000"),
            (36_028_797_018, "3111-09-16 231018"),
        ] {
            assert_eq!(derived("f", seconds * SECOND), format!("f (conflict {date} 3fa2)"));
        }
    }

    #[test]
    fn no_name_gets_too_long_and_no_character_is_cut() {
        let counter = 1_795_860_930_000_000;
        let long = derived_name(&[b'a'; 255], counter, DEVICE);
        assert_eq!(long.len(), 255);
        for length in 110..=126 {
            let name = "ä".repeat(length) + ".text";
            let derived = derived(&name, counter);
            assert!(derived.len() <= 255 && derived.ends_with(" 3fa2).text"), "{derived}");
            let stem = derived.split(" (conflict").next().unwrap();
            assert_eq!(stem, "ä".repeat(stem.len() / 2));
        }
        assert_ne!(derived_name(&[0x80; 255], counter, DEVICE).len(), 0, "bytes that are no text");
    }
}
