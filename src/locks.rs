//! Mutexes and read-write locks with a rank. A thread that holds a lock takes only locks of a higher rank, so that no
//! two threads can wait for each other. Locks of one rank are told apart by a number, and taken in its order likewise.
//!
//! Builds with debug assertions, the tests' among them, check each lock as it is taken and panic where the order is
//! broken, whether or not another thread is in the way. Release builds check nothing and store nothing: a lock is
//! parking_lot's. Locks that are taken with nothing else taken under them, by a few lines of one file, need no rank.

use std::ops::{Deref, DerefMut};

#[cfg(debug_assertions)]
use held::Held;

/// Every rank, in the order in which the locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// `fs`: node numbers.
    Nodes,
    /// `fs`: ranges whose content was lost.
    LostRanges,
    /// `trust`: one writer of the versions at a time.
    VersionsWriter,
    /// `trust`: the table of versions.
    VersionsTable,
    /// `trust`: versions that are not written yet.
    VersionsNotes,
    /// `chunk`: decrypted blocks.
    BlockCache,
    /// `store`: folders whose own name is durable.
    LinkedFolders,
}

pub struct Mutex<T> {
    #[cfg(debug_assertions)]
    place: Place,
    inner: parking_lot::Mutex<T>,
}

pub struct RwLock<T> {
    #[cfg(debug_assertions)]
    place: Place,
    inner: parking_lot::RwLock<T>,
}

/// A rank, and the number among the locks of that rank.
#[cfg(debug_assertions)]
type Place = (Rank, u128);

/// A lock that is held: until it is dropped.
pub struct Guard<G> {
    inner: G,
    #[cfg(debug_assertions)]
    _held: Held,
}

pub type MutexGuard<'a, T> = Guard<parking_lot::MutexGuard<'a, T>>;
pub type ReadGuard<'a, T> = Guard<parking_lot::RwLockReadGuard<'a, T>>;
pub type WriteGuard<'a, T> = Guard<parking_lot::RwLockWriteGuard<'a, T>>;

/// Takes a lock, checked first: `lock` waits. Debug builds only know the rank, hence no function.
macro_rules! take {
    ($self:ident, $lock:ident) => {{
        #[cfg(debug_assertions)]
        let _held = Held::in_order($self.place);
        Guard {
            inner: $self.inner.$lock(),
            #[cfg(debug_assertions)]
            _held,
        }
    }};
}

/// Takes a lock if it is free: that waits for nobody, so that any order will do.
#[cfg(test)]
macro_rules! try_take {
    ($self:ident, $lock:ident) => {
        $self.inner.$lock().map(|inner| Guard {
            inner,
            #[cfg(debug_assertions)]
            _held: Held::out_of_order($self.place),
        })
    };
}

impl<T> Mutex<T> {
    pub const fn new(rank: Rank, value: T) -> Mutex<T> {
        Mutex::numbered(rank, 0, value)
    }

    /// One of several that a thread may hold at once, if it takes them in the order of their numbers.
    #[cfg_attr(not(debug_assertions), expect(unused_variables))]
    pub const fn numbered(rank: Rank, number: u128, value: T) -> Mutex<T> {
        Mutex {
            #[cfg(debug_assertions)]
            place: (rank, number),
            inner: parking_lot::Mutex::new(value),
        }
    }

    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        take!(self, lock)
    }

    #[cfg(test)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        try_take!(self, try_lock)
    }
}

impl<T> RwLock<T> {
    #[cfg_attr(not(debug_assertions), expect(unused_variables))]
    pub const fn new(rank: Rank, value: T) -> RwLock<T> {
        RwLock {
            #[cfg(debug_assertions)]
            place: (rank, 0),
            inner: parking_lot::RwLock::new(value),
        }
    }

    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T> {
        take!(self, read)
    }

    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T> {
        take!(self, write)
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.inner
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.inner
    }
}

#[cfg(debug_assertions)]
mod held {
    use super::Place;
    use std::cell::RefCell;
    use std::panic::Location;

    thread_local!(static PLACES: RefCell<Vec<(Place, &'static Location<'static>)>> = const { RefCell::new(Vec::new()) });

    /// Says that this thread holds a lock of a rank. Guards do not leave their thread.
    pub struct Held(Place);

    impl Held {
        #[track_caller]
        pub fn in_order(place: Place) -> Held {
            let before = PLACES.with_borrow(|places| places.iter().copied().max_by_key(|(place, _)| *place));
            if let Some((highest, taken_at)) = before
                && highest >= place
            {
                panic!("the lock {place:?} is taken while {highest:?} is held, taken at {taken_at}");
            }
            Held::out_of_order(place)
        }

        #[track_caller]
        pub fn out_of_order(place: Place) -> Held {
            PLACES.with_borrow_mut(|places| places.push((place, Location::caller())));
            Held(place)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            PLACES.with_borrow_mut(|places| {
                let at = places.iter().rposition(|(place, _)| *place == self.0);
                places.remove(at.expect("`Held` was made by this thread"));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn panics(act: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(act)).is_err()
    }

    #[test]
    fn a_thread_takes_locks_in_the_order_of_their_places_only() {
        let outer = Mutex::new(Rank::Nodes, 1);
        let inner = RwLock::new(Rank::BlockCache, 2);
        let also_inner = RwLock::new(Rank::BlockCache, 3);
        {
            let first = outer.lock();
            let mut second = inner.write();
            *second += *first;
        }
        assert_eq!(*inner.read(), 3);
        {
            let _second = inner.read();
            assert!(panics(|| drop(outer.lock())), "a lower rank");
            assert!(panics(|| drop(also_inner.read())), "the same rank");
            assert!(panics(|| drop(inner.write())), "the same lock");
            assert!(outer.try_lock().is_some(), "waits for nobody");
        }
        let _first = outer.lock();
        assert!(!panics(|| drop(inner.read())), "what was refused is not held");
        let other_thread = std::thread::scope(|scope| scope.spawn(|| *inner.read()).join().unwrap());
        assert_eq!(other_thread, 3, "other threads hold nothing");
    }

    #[test]
    fn locks_of_one_rank_are_taken_in_the_order_of_their_numbers() {
        let [first, second] = [1, 2].map(|number| Mutex::numbered(Rank::Nodes, number, ()));
        {
            let _first = first.lock();
            assert!(!panics(|| drop(second.lock())));
        }
        let _second = second.lock();
        assert!(panics(|| drop(first.lock())));
    }

    #[test]
    fn a_lock_taken_out_of_order_counts() {
        let outer = Mutex::new(Rank::Nodes, ());
        let inner = Mutex::new(Rank::BlockCache, ());
        let second = inner.lock();
        let first = outer.try_lock();
        drop(second);
        assert!(!panics(|| drop(inner.lock())));
        drop(first);
        let _second = inner.lock();
        assert!(panics(|| drop(outer.lock())));
    }
}
