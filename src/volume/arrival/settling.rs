//! When a file that others write is looked at: a second after the last that was told of it, ten seconds after the first.

use crate::store::Seen;
use hashbrown::HashMap;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(10);

/// Files that something was told of, each with when that was first and last.
#[derive(Default)]
pub struct Settling(HashMap<Seen, (Instant, Instant)>);

impl Settling {
    pub fn note(&mut self, seen: Seen, now: Instant) {
        self.0.entry(seen).and_modify(|times| times.1 = now).or_insert((now, now));
    }

    /// Takes those whose time has come.
    pub fn take_due(&mut self, now: Instant) -> Vec<Seen> {
        self.0.extract_if(|_, times| due(*times) <= now).map(|(seen, _)| seen).collect()
    }

    /// When the next one's time comes.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|times| due(*times)).min()
    }
}

fn due((first, last): (Instant, Instant)) -> Instant {
    (last + QUIET).min(first + LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Area, FileName};

    #[test]
    fn a_file_is_looked_at_once_it_is_quiet_and_not_too_late() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let [busy, quiet] = [1, 2].map(|n| Seen::File(FileName { area: Area::Chunks, bytes: [n; 16] }));
        let mut settling = Settling::default();
        assert_eq!(settling.next(), None);
        settling.note(quiet.clone(), at(0));
        for tenths in (0..100).step_by(9) {
            settling.note(busy.clone(), at(tenths));
        }
        assert_eq!(settling.next(), Some(at(10)));
        assert!(settling.take_due(at(9)).is_empty());
        assert_eq!(settling.take_due(at(10)), [quiet]);
        assert_eq!(settling.next(), Some(at(100)), "ten seconds after the first, however busy");
        assert!(settling.take_due(at(99)).is_empty());
        assert_eq!(settling.take_due(at(100)), [busy]);
        assert_eq!(settling.next(), None);
    }
}
