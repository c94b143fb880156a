//! Guesses which directories somebody will list next who walks through a tree: find, tar, du, rm -r.
//!
//! Such programs go depth first, in the order of the listings. Whether somebody does is known from the first listing on of a
//! directory that was expected; each further one lets more be read ahead of them.

use crate::chunk::InodeId;
use std::collections::VecDeque;

/// Inodes read ahead of the walker at most, but for those of one directory, when the walk has just shown itself and later.
const WINDOW: std::ops::RangeInclusive<usize> = 32..=512;

/// One walk; a second at the same time only makes both look like none.
#[derive(Default)]
pub(in crate::volume) struct Walk {
    /// Expected, the next at the end.
    to_come: Vec<InodeId>,
    /// Read ahead and not listed yet, with the number of inodes, in the order in which they should be.
    read: VecDeque<(InodeId, usize)>,
    /// Being read ahead.
    reading: Option<InodeId>,
    window: usize,
}

impl Walk {
    /// Somebody begins to list a directory, which has these directories.
    pub fn listed(&mut self, directory: InodeId, directories: &[InodeId]) {
        if let Some(at) = self.read.iter().position(|(id, _)| *id == directory) {
            self.read.drain(..=at);
        } else {
            let was_expected = self.to_come.iter().rposition(|id| *id == directory);
            match was_expected {
                Some(at) => {
                    // Everything that was to come before it was passed over.
                    self.to_come.truncate(at);
                    self.read.clear();
                    self.reading = None;
                }
                None => *self = Walk::default(),
            }
            self.to_come.extend(directories.iter().rev());
            if was_expected.is_none() {
                return;
            }
        }
        self.window = (2 * self.window).clamp(*WINDOW.start(), *WINDOW.end());
    }

    /// Whether there is a directory to be read ahead now; one at a time.
    pub fn is_due(&self) -> bool {
        let lead: usize = self.read.iter().map(|(_, inodes)| inodes).sum();
        self.reading.is_none() && lead < self.window && !self.to_come.is_empty()
    }

    /// That directory, if there is one. [`Walk::read`] is to follow.
    pub fn next(&mut self) -> Option<InodeId> {
        if !self.is_due() {
            return None;
        }
        self.reading = self.to_come.pop();
        self.read.extend(self.reading.map(|id| (id, 0)));
        self.reading
    }

    /// It was read, or cannot be: it has these directories, and so many entries in all. Those that were in memory count
    /// too, or an attacker's circle of directories would be walked for ever.
    pub fn read(&mut self, directory: InodeId, directories: &[InodeId], entries: usize) {
        if self.reading.take_if(|reading| *reading == directory).is_none() {
            return;
        }
        self.to_come.extend(directories.iter().rev());
        if let Some(read) = self.read.back_mut().filter(|(id, _)| *id == directory) {
            read.1 = 1 + entries;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> InodeId {
        InodeId([number; 12])
    }

    fn ids(numbers: &[u8]) -> Vec<InodeId> {
        numbers.iter().map(|number| id(*number)).collect()
    }

    /// 1 holds 2 and 5, 2 holds 3 and 4, 5 holds 6.
    fn holds(directory: u8) -> Vec<InodeId> {
        ids(match directory {
            1 => &[2, 5],
            2 => &[3, 4],
            5 => &[6],
            _ => &[],
        })
    }

    fn listed(walk: &mut Walk, directory: u8) {
        walk.listed(id(directory), &holds(directory));
    }

    /// What is read ahead now, each with so many inodes.
    fn read_ahead(walk: &mut Walk, inodes: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(InodeId([number, ..])) = walk.next() {
            walk.read(id(number), &holds(number), inodes - 1);
            read.push(number);
        }
        read
    }

    #[test]
    fn a_walk_is_read_ahead_in_its_order() {
        let mut walk = Walk::default();
        listed(&mut walk, 1);
        assert_eq!(read_ahead(&mut walk, 1), [0; 0], "one listing is no walk");
        listed(&mut walk, 2);
        assert_eq!(read_ahead(&mut walk, 1), [3, 4, 5, 6]);
        for directory in 3..=6 {
            listed(&mut walk, directory);
            assert_eq!(read_ahead(&mut walk, 1), [0; 0]);
        }
    }

    #[test]
    fn no_more_is_read_than_the_window_takes() {
        let mut walk = Walk::default();
        listed(&mut walk, 1);
        listed(&mut walk, 2);
        assert_eq!(read_ahead(&mut walk, 32), [3]);
        listed(&mut walk, 3);
        assert_eq!(read_ahead(&mut walk, 32), [4, 5], "the window has doubled, and 3 has been used");
    }

    #[test]
    fn what_is_passed_over_is_forgotten() {
        let mut walk = Walk::default();
        listed(&mut walk, 1);
        listed(&mut walk, 2);
        assert_eq!(read_ahead(&mut walk, 32), [3]);
        listed(&mut walk, 5);
        assert_eq!(read_ahead(&mut walk, 32), [6]);
        listed(&mut walk, 9);
        assert_eq!(read_ahead(&mut walk, 1), [0; 0], "somewhere else is another walk");
    }

    #[test]
    fn a_circle_of_directories_ends() {
        let mut walk = Walk::default();
        walk.listed(id(1), &ids(&[2]));
        walk.listed(id(2), &ids(&[2]));
        let mut steps = 0;
        while let Some(next) = walk.next() {
            walk.read(next, &[next], 0);
            steps += 1;
        }
        assert_eq!(steps, 32);
    }

    #[test]
    fn a_directory_that_is_listed_while_it_is_read_goes_on_from_there() {
        let mut walk = Walk::default();
        listed(&mut walk, 9);
        walk.to_come.push(id(1));
        listed(&mut walk, 1);
        assert_eq!(walk.next(), Some(id(2)));
        listed(&mut walk, 2);
        walk.read(id(2), &holds(2), 0);
        assert_eq!(read_ahead(&mut walk, 1), [3, 4, 5, 6]);
    }
}
