//! Mutexes and read-write locks with a rank. A thread that holds a lock takes only locks of a higher rank, so that no
//! two threads can wait for each other. Several locks of one rank are taken in the order of their numbers, or while a
//! lock is held that only one thread can hold ([`Rank::several_under`]).
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
    /// `volume`: threads that work beside those who ask; nothing is held while one is begun or ended.
    Threads,
    /// `volume`: who makes a file of a version that lost its place.
    Saving,
    /// `volume`: versions of files that lost their place; held while it is looked whether they are still there.
    Saved,
    /// `volume`: one checkpoint at a time.
    Checkpoint,
    /// `volume`: who commits and syncs an inode's chunks; several at once in the order of the inodes' ids.
    InodeSerial,
    /// `volume`: the journal file.
    Journal,
    /// `volume`: changes of names that no batch has yet.
    Names,
    /// `volume`: the inodes in memory.
    Inodes,
    /// `volume`: an inode's state.
    InodeState,
    /// `volume`: which chunk files are open.
    OpenFiles,
    /// `volume`: what the next checkpoint has to look at.
    Queue,
    /// `volume`: inodes whose chunk files are to be removed.
    Deletes,
    /// `volume`: chunk files whose removal is not durable yet.
    UnsyncedUnlinks,
    /// `volume`: inodes of which a crash may have left chunk files.
    Leftovers,
    /// `volume`: directories that were joined within a checkpoint.
    Joined,
    /// `volume`: content that gave way to another device's and is not saved yet.
    Displaced,
    /// `volume`: chunk files that were open and written to at the last look for what rests.
    Resting,
    /// `volume`: what this device's batches say of inodes that cannot be read now.
    Withheld,
    /// `volume`: which batches stand in for a chunk 0.
    StandIns,
    /// `volume`: why not everything could be stored.
    Delayed,
    /// `volume`: why nothing is written any more.
    Stopped,
    /// `volume`: what nobody was told of yet.
    Events,
    /// `volume`: inodes of which whoever shows them is to be told.
    Untold,
    /// `volume`: files that may have fewer names than they say.
    Doubted,
    /// `volume`: names of files that only another version of them has.
    OtherNames,
    /// `trust`: one writer of the versions at a time.
    VersionsWriter,
    /// `trust`: the table of versions.
    VersionsTable,
    /// `trust`: versions that are not written yet.
    VersionsNotes,
    /// `chunk`: decrypted blocks.
    BlockCache,
    /// `store`: the lock of a volume that was taken anew.
    FolderLock,
    /// `store`: folders whose own name is durable.
    LinkedFolders,
}

#[cfg(debug_assertions)]
impl Rank {
    /// The lock that a thread holds if it holds several of this rank, in any order: no other thread can do so meanwhile.
    fn several_under(self) -> Option<Rank> {
        (self == Rank::InodeState).then_some(Rank::Names)
    }
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
        let _held = Held::in_order($self.place, (&raw const $self.inner).addr());
        Guard {
            inner: $self.inner.$lock(),
            #[cfg(debug_assertions)]
            _held,
        }
    }};
}

/// Takes a lock if it is free: that waits for nobody, so that any order will do.
macro_rules! try_take {
    ($self:ident, $lock:ident) => {
        $self.inner.$lock().map(|inner| Guard {
            inner,
            #[cfg(debug_assertions)]
            _held: Held::out_of_order($self.place, (&raw const $self.inner).addr()),
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

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        try_take!(self, try_lock)
    }

    /// For tests that hold a lock in the place of another thread: not checked, and not counted as this thread's.
    #[cfg(test)]
    pub fn lock_for_another_thread(&self) -> parking_lot::MutexGuard<'_, T> {
        self.inner.lock()
    }

    #[cfg(test)]
    pub fn is_locked(&self) -> bool {
        self.inner.is_locked()
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

    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }

    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        try_take!(self, try_read)
    }

    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        try_take!(self, try_write)
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

    #[derive(Clone, Copy)]
    struct Taken {
        place: Place,
        /// Where the lock lies in memory: which one it is.
        address: usize,
        at: &'static Location<'static>,
    }

    thread_local!(static TAKEN: RefCell<Vec<Taken>> = const { RefCell::new(Vec::new()) });

    /// Says that this thread holds a lock. Guards do not leave their thread.
    pub struct Held(usize);

    impl Held {
        #[track_caller]
        pub fn in_order(place: Place, address: usize) -> Held {
            let wrong = TAKEN.with_borrow(|taken| {
                let holds = |rank| taken.iter().any(|lock| lock.place.0 == rank);
                let several = place.0.several_under().is_some_and(holds);
                let is_before = |lock: &&Taken| {
                    lock.place < place || several && lock.place == place && lock.address != address
                };
                taken.iter().find(|lock| !is_before(lock)).copied()
            });
            if let Some(Taken { place: held, at, .. }) = wrong {
                panic!("the lock {place:?} is taken while {held:?} is held, taken at {at}");
            }
            Held::out_of_order(place, address)
        }

        #[track_caller]
        pub fn out_of_order(place: Place, address: usize) -> Held {
            let at = Location::caller();
            TAKEN.with_borrow_mut(|taken| taken.push(Taken { place, address, at }));
            Held(address)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            TAKEN.with_borrow_mut(|taken| {
                let at = taken.iter().rposition(|lock| lock.address == self.0);
                taken.remove(at.expect("`Held` was made by this thread"));
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
        let [first, second] = [1, 2].map(|number| Mutex::numbered(Rank::InodeSerial, number, ()));
        {
            let _first = first.lock();
            assert!(!panics(|| drop(second.lock())));
        }
        let _second = second.lock();
        assert!(panics(|| drop(first.lock())));
    }

    #[test]
    fn several_states_are_locked_under_the_lock_of_the_names_only() {
        let names = Mutex::new(Rank::Names, ());
        let [one, two] = [(); 2].map(|()| RwLock::new(Rank::InodeState, ()));
        {
            let (_names, _one) = (names.lock(), one.write());
            assert!(!panics(|| drop(two.write())));
            assert!(panics(|| drop(one.read())), "the same lock");
        }
        let _one = one.write();
        assert!(panics(|| drop(two.write())));
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
