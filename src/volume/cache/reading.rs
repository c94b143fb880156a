//! Guesses which files somebody will read next who reads them in the order of a listing: tar, cp -r, grep -r.
//!
//! Attributes that are kept show a file without opening it, so whoever reads it is the first to open its chunk file. Who
//! came upon two such files in order has the next ones opened ahead.

use crate::chunk::InodeId;
use std::collections::VecDeque;

/// Files of listings remembered.
const LISTED: usize = 4096;
/// So many places behind the one expected are in order still: others are open already, or of no interest.
const NEAR: u64 = 16;
/// Files opened ahead, when somebody has just shown to read in order and later.
const WINDOW: std::ops::RangeInclusive<u64> = 16..=256;

/// Somebody's way through the files that were listed; a second one at the same time only makes both look like none.
#[derive(Default)]
pub struct Reading {
    /// In the order of the listings, and how many were dropped before the first.
    listed: VecDeque<InodeId>,
    dropped: u64,
    /// The place behind the last file that was read, and behind the last one that is opened ahead.
    next: u64,
    ahead: u64,
    window: u64,
}

impl Reading {
    /// Files of a listing, in its order.
    pub fn listed(&mut self, files: impl IntoIterator<Item = InodeId>) {
        self.listed.extend(files);
        let surplus = self.listed.len().saturating_sub(LISTED);
        self.listed.drain(..surplus);
        self.dropped += surplus as u64;
    }

    /// Somebody reads a file that is not open yet; returns those to be opened ahead.
    pub fn missed(&mut self, file: InodeId) -> Vec<InodeId> {
        let Some(place) = self.place(file) else { return Vec::new() };
        let is_in_order = self.next > 0 && (self.next..=self.ahead + NEAR).contains(&place);
        self.window = match is_in_order {
            true => (2 * self.window).clamp(*WINDOW.start(), *WINDOW.end()),
            false => 0,
        };
        self.next = place + 1;
        let begin = if is_in_order { self.ahead.max(self.next) } else { self.next };
        self.ahead = begin.max(self.next + self.window);
        let at = |place: u64| self.listed.get((place - self.dropped) as usize);
        (begin..self.ahead).filter_map(at).copied().collect()
    }

    /// The nearest one behind where somebody is, or any.
    fn place(&self, file: InodeId) -> Option<u64> {
        let skipped = (self.next.saturating_sub(self.dropped) as usize).min(self.listed.len());
        let behind = self.listed.range(skipped..).position(|id| *id == file).map(|at| at + skipped);
        let place = behind.or_else(|| self.listed.iter().rposition(|id| *id == file))?;
        Some(place as u64 + self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> InodeId {
        let mut id = [0; 12];
        id[..2].copy_from_slice(&number.to_be_bytes());
        InodeId(id)
    }

    fn listed(files: std::ops::Range<u16>) -> Reading {
        let mut reading = Reading::default();
        reading.listed(files.map(id));
        reading
    }

    fn numbers(ids: Vec<InodeId>) -> Vec<u16> {
        ids.into_iter().map(|InodeId(id)| u16::from_be_bytes([id[0], id[1]])).collect()
    }

    #[test]
    fn who_reads_in_order_has_the_next_files_opened() {
        let mut reading = listed(0..4000);
        assert!(reading.missed(id(3)).is_empty(), "one file is no order");
        assert_eq!(numbers(reading.missed(id(4))), Vec::from_iter(5..21));
        assert_eq!(numbers(reading.missed(id(21))), Vec::from_iter(22..54));
        assert_eq!(numbers(reading.missed(id(30))), Vec::from_iter(54..95), "they are not open yet");
        for _ in 0..10 {
            assert!(reading.missed(id(reading.ahead as u16)).len() <= 256);
        }
    }

    #[test]
    fn who_does_not_read_in_order_has_none() {
        let mut reading = listed(0..200);
        for file in [100, 50, 150, 149, 10, 120] {
            assert!(reading.missed(id(file)).is_empty(), "{file}");
        }
        assert!(reading.missed(id(900)).is_empty(), "it was not listed");
    }

    #[test]
    fn what_was_listed_long_ago_is_forgotten() {
        let mut reading = listed(0..10_000);
        assert_eq!(reading.listed.len(), LISTED);
        assert!(reading.missed(id(100)).is_empty() && reading.missed(id(101)).is_empty());
        reading.missed(id(9_000));
        assert_eq!(numbers(reading.missed(id(9_001))), Vec::from_iter(9_002..9_018));
        assert!(reading.missed(id(9_998)).is_empty());
        assert_eq!(numbers(reading.missed(id(9_999))), [0; 0], "the end of the listing");
    }
}
