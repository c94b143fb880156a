//! Where whoever asks runs, looked up by a thread of its own.
//!
//! To read /proc/PID/stat is to wait for that process's execve(2) (`exec_update_lock`), and one waits in there for the mount: while files
//! are closed that it does not keep, for what is stored of them. A thread that serves and waited for that would wait for itself. So it
//! says whom it is to follow, goes on, and learns the answer when that asks again.
//!
//! Above: `device`.

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Where somebody runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On that CPU, by its number, when it was looked at last.
    At(usize),
    /// Nowhere that can be seen from here: it has ended, for one.
    Unseen,
    NotKnownYet,
    /// The kernel asks on its own, or somebody whom this process cannot see.
    Nobody,
}

/// What is known of whoever asks.
pub struct Whereabouts {
    state: Mutex<State>,
    changed: Condvar,
    look: fn(u32) -> Option<usize>,
}

struct State {
    /// Whom to look for, 0 for nobody.
    wanted: u32,
    /// Whom was looked for last, and on which CPU it was.
    found: Option<(u32, Option<usize>)>,
    is_over: bool,
}

impl Whereabouts {
    /// `look` tells the CPU of a thread, by its number, and may wait for it.
    pub fn new(look: fn(u32) -> Option<usize>) -> Whereabouts {
        let state = State { wanted: 0, found: None, is_over: false };
        Whereabouts { state: Mutex::new(state), changed: Condvar::new(), look }
    }

    /// Where a thread, by its number, was when it was asked for last. It is looked for again; nothing is waited for.
    pub fn of(&self, asker: u32) -> Place {
        if asker == 0 {
            return Place::Nobody;
        }
        let mut state = self.state.lock();
        state.wanted = asker;
        self.changed.notify_one();
        match state.found {
            Some((found, cpu)) if found == asker => cpu.map_or(Place::Unseen, Place::At),
            _ => Place::NotKnownYet,
        }
    }

    /// Looks for whom [`of`](Self::of) is asked, until [`end`](Self::end). To be run by a thread of its own.
    pub fn run(&self) {
        let mut state = self.state.lock();
        while !state.is_over {
            match std::mem::take(&mut state.wanted) {
                0 => self.changed.wait(&mut state),
                asker => {
                    let cpu = MutexGuard::unlocked(&mut state, || (self.look)(asker));
                    state.found = Some((asker, cpu));
                }
            }
        }
    }

    /// Nobody asks any more.
    pub fn end(&self) {
        self.state.lock().is_over = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::{Duration, Instant};

    static HELD: Mutex<()> = Mutex::new(());

    fn look(asker: u32) -> Option<usize> {
        let _held = HELD.lock();
        (asker < 10).then_some(asker as usize + 100)
    }

    #[test]
    fn who_asks_waits_for_no_look() {
        let whereabouts = Whereabouts::new(look);
        let until = |asker, expected| {
            let deadline = Instant::now() + Duration::from_secs(10);
            while whereabouts.of(asker) != expected {
                assert!(Instant::now() < deadline, "{asker}: {expected:?}");
                thread::sleep(Duration::from_millis(1));
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| whereabouts.run());
            let held = HELD.lock();
            (0..3).for_each(|_| assert_eq!(whereabouts.of(7), Place::NotKnownYet));
            assert_eq!(whereabouts.of(0), Place::Nobody);
            thread::sleep(Duration::from_millis(20));
            assert_eq!(whereabouts.of(7), Place::NotKnownYet, "the look is still under way");
            drop(held);
            until(7, Place::At(107));
            assert_eq!(whereabouts.of(8), Place::NotKnownYet, "another one");
            until(8, Place::At(108));
            until(11, Place::Unseen);
            whereabouts.end();
        });
    }
}
