//! Guesses which names somebody will look up next who looks them up one by one in the order in which they were made, or in that
//! of a listing, which is the reverse: `stat *`, rsync, make.
//!
//! Who waited for a disk at two neighbours has the inodes of the next ones loaded ahead.

use crate::chunk::InodeId;
use std::collections::VecDeque;
use std::ops::Range;

/// Directories in which somebody looks names up at the same time.
const DIRECTORIES: usize = 8;
/// So many positions from where one is are near: what lies between is in memory already, or came with what the disk gave.
const NEAR: usize = 64;
/// Inodes loaded ahead, when somebody has just shown to go in order and later.
const WINDOW: std::ops::RangeInclusive<usize> = 16..=256;

/// The ways through directories, the newest at the end.
#[derive(Default)]
pub struct Looking(VecDeque<Way>);

/// Somebody's way through the entries of a directory, by their positions in the order in which they were made.
struct Way {
    directory: InodeId,
    last: usize,
    /// Those up to here, in the direction of the way, are being loaded.
    ahead: usize,
    window: usize,
    is_up: bool,
}

impl Looking {
    /// Somebody looks up the entry at a position, and waits for its inode. Returns the positions of those to be loaded ahead.
    pub fn missed(&mut self, directory: InodeId, position: usize) -> Range<usize> {
        let known = self.0.iter().position(|way| way.directory == directory);
        let way = known.and_then(|at| self.0.remove(at));
        let (way, next) = match way {
            Some(way) => way.go_on(position),
            None => (Way::new(directory, position), 0..0),
        };
        self.0.push_back(way);
        if self.0.len() > DIRECTORIES {
            self.0.pop_front();
        }
        next
    }

    /// Somebody looks up the entry at a position, and its inode is there. As [`missed`](Looking::missed), for whoever comes near the
    /// last of those that are being loaded; `None` if this is on nobody's way.
    pub fn passed(&mut self, directory: InodeId, position: usize) -> Option<Range<usize>> {
        let way = self.0.iter_mut().find(|way| way.directory == directory)?;
        let left =
            if way.is_up { way.ahead.checked_sub(position)? } else { position.checked_sub(way.ahead)? };
        if way.window == 0 || left > way.window {
            return None;
        }
        if left > way.window / 2 {
            return Some(0..0);
        }
        Some(self.missed(directory, position))
    }
}

impl Way {
    fn new(directory: InodeId, position: usize) -> Way {
        Way { directory, last: position, ahead: position, window: 0, is_up: true }
    }

    fn go_on(self, position: usize) -> (Way, Range<usize>) {
        if position == self.last {
            return (self, 0..0);
        }
        let is_up = position > self.last;
        let (near, far) = match (self.window > 0, is_up) {
            (true, true) => (self.last, self.ahead + NEAR),
            (true, false) => (self.ahead.saturating_sub(NEAR), self.last),
            (false, _) => (self.last.saturating_sub(NEAR), self.last + NEAR),
        };
        if !(near..=far).contains(&position) || (self.window > 0 && is_up != self.is_up) {
            return (Way::new(self.directory, position), 0..0);
        }
        let window = (2 * self.window).clamp(*WINDOW.start(), *WINDOW.end());
        let begin = if self.window > 0 { self.ahead } else { position };
        let (ahead, next) = if is_up {
            let (begin, end) = (begin.max(position), position + window);
            (end, begin + 1..end + 1)
        } else {
            let (begin, end) = (begin.min(position), position.saturating_sub(window));
            (end, end..begin)
        };
        (Way { directory: self.directory, last: position, ahead, window, is_up }, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: InodeId = InodeId([1; 12]);

    #[test]
    fn neighbours_have_the_next_ones_loaded_in_their_direction() {
        let mut looking = Looking::default();
        assert!(looking.missed(ONE, 100).is_empty(), "one is no way");
        assert_eq!(looking.missed(ONE, 101), 102..118);
        assert_eq!(looking.missed(ONE, 118), 119..151, "the window has doubled");
        assert_eq!(looking.missed(ONE, 120), 151..185, "the next ones are being loaded");
        let mut looking = Looking::default();
        looking.missed(ONE, 100);
        assert_eq!(looking.missed(ONE, 99), 83..99);
        assert_eq!(looking.missed(ONE, 82), 50..82);
        assert_eq!(looking.missed(ONE, 40), 0..40, "there are no more");
    }

    #[test]
    fn who_comes_near_the_last_that_are_loaded_has_more_loaded() {
        for is_up in [true, false] {
            let mut looking = Looking::default();
            let (at, places) = (|step: usize| if is_up { 100 + step } else { 100 - step }, 16);
            assert_eq!(looking.passed(ONE, at(0)), None, "nobody's way");
            looking.missed(ONE, at(0));
            assert_eq!(looking.passed(ONE, at(0)), None, "one is no way");
            assert_eq!(looking.missed(ONE, at(1)).len(), places);
            for step in 2..9 {
                assert_eq!(looking.passed(ONE, at(step)), Some(0..0), "{step}");
            }
            let next = looking.passed(ONE, at(9)).unwrap();
            assert_eq!(next, if is_up { 118..142 } else { 59..83 });
            assert_eq!(looking.passed(ONE, at(10)), Some(0..0), "they are being loaded");
            assert_eq!(looking.passed(ONE, at(60)), None, "far away");
            assert_eq!(looking.passed(InodeId([2; 12]), at(10)), None, "another directory");
        }
    }

    #[test]
    fn who_looks_here_and_there_has_nothing_loaded() {
        let mut looking = Looking::default();
        for position in [100, 300, 150, 400, 5, 90] {
            assert!(looking.missed(ONE, position).is_empty(), "{position}");
        }
        looking.missed(ONE, 91);
        assert!(looking.missed(ONE, 85).is_empty(), "back is another way");
        assert!(looking.missed(ONE, 85).is_empty(), "once more is none");
    }

    #[test]
    fn several_directories_have_a_way_each() {
        let directory = |number: usize| InodeId([number as u8; 12]);
        let mut looking = Looking::default();
        for step in 0..2 {
            for number in 0..DIRECTORIES {
                assert_eq!(looking.missed(directory(number), step).is_empty(), step == 0);
            }
        }
        looking.missed(directory(DIRECTORIES), 0);
        assert!(looking.missed(directory(0), 2).is_empty(), "the oldest is forgotten");
        assert!(!looking.missed(directory(2), 2).is_empty());
    }
}
