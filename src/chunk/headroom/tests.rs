//! Space held ahead by a thread: who takes waits for nobody, and what is promised is held at every moment.

use super::*;
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::Memory;
use crate::test_rng::{TestRng, seed};
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

/// Ends the thread, where a test fails too: the scope waits for it.
struct Ends<'a>(&'a Headroom);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Holds ahead in a thread while `act` runs.
fn with_thread(headroom: &Arc<Headroom>, act: impl FnOnce()) {
    thread::scope(|scope| {
        scope.spawn(|| headroom.hold_ahead());
        let _ends = Ends(headroom);
        act();
    });
}

fn eventually(headroom: &Headroom, is_so: impl Fn(&Account) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so(&headroom.account.lock()) {
        assert!(Instant::now() < deadline, "promised {}", headroom.account.lock().promised);
        thread::yield_now();
    }
}

#[test]
fn whoever_takes_step_by_step_finds_it_held() {
    let (store, by_us) = (Arc::new(Faulty::new(Arc::new(Memory::new()))), Arc::new(AtomicU64::new(0)));
    let (us, count) = (thread::current().id(), by_us.clone());
    store.fail_when(move |event| {
        let is_ours = event.call == Call::Hold && thread::current().id() == us;
        count.fetch_add(u64::from(is_ours), Ordering::Relaxed);
        None
    });
    let headroom = Arc::new(Headroom::new(store.clone()));
    let mut hold = Hold::default();
    with_thread(&headroom, || {
        eventually(&headroom, |account| account.ahead == Ahead::Waits);
        hold.grow_to(&headroom, 10, Wish::Takes).unwrap();
        assert_eq!(by_us.load(Ordering::Relaxed), 1);
        for blocks in (20..10_000).step_by(10) {
            hold.grow_to(&headroom, blocks, Wish::Takes).unwrap();
            // As long as a single change is made nothing is held ahead.
            eventually(&headroom, |account| account.ahead == Ahead::Waits && !account.is_moving);
            assert_eq!(by_us.load(Ordering::Relaxed), 1, "at {blocks}");
        }
        headroom.refresh();
        let account = headroom.account.lock();
        assert_eq!((account.held, account.few), (account.promised + STEP, FEW_AT_FIRST), "at rest little is");
    });
}

/// A disk that another program fills now and then: what the store was asked to hold is never less than what is promised, and
/// what it refuses is refused.
#[test]
fn what_is_promised_is_held_at_every_moment() {
    const BLOCKS: u64 = 6000;
    let (store, free) = (Arc::new(Faulty::new(Arc::new(Memory::new()))), Arc::new(AtomicU64::new(BLOCKS)));
    let headroom = Arc::new(Headroom::new(store.clone()));
    let (account, at_most, too_few) = (Arc::downgrade(&headroom), free.clone(), Arc::new(AtomicU64::new(0)));
    let wrong = too_few.clone();
    store.fail_when(move |event| {
        if event.call != Call::Hold {
            return None;
        }
        let blocks = event.offset / BLOCK as u64;
        if blocks > at_most.load(Ordering::Relaxed) {
            return Some(Fault::Error(libc::ENOSPC));
        }
        // Others take meanwhile, as while a disk works.
        thread::sleep(Duration::from_micros(20));
        let promised = account.upgrade()?.account.lock().promised;
        wrong.fetch_max(promised.saturating_sub(blocks), Ordering::Relaxed);
        None
    });
    let seed = seed();
    let take_and_drop = |number: u64| {
        let (mut rng, mut holds) = (TestRng(seed + number), Vec::new());
        for _ in 0..3000 {
            match rng.below(10) {
                0..=5 => {
                    let mut hold = Hold::default();
                    let wish = if rng.below(4) == 0 { Wish::Frees } else { Wish::Takes };
                    match hold.grow_to(&headroom, 1 + rng.below(60) as u64, wish) {
                        Ok(()) => holds.push(hold),
                        Err(error) => {
                            assert!(Error::is_lack(&error));
                            holds.truncate(holds.len() / 2);
                        }
                    }
                }
                6 => holds.truncate(holds.len() * 9 / 10),
                7 => drop((rng.below(holds.len() + 1) < holds.len()).then(|| holds.swap_remove(0))),
                8 => {
                    if let Some(hold) = holds.last_mut() {
                        headroom.draw(hold, 3);
                    }
                }
                _ => match rng.below(20) {
                    0 => headroom.refresh(),
                    1 => {
                        headroom.draw_idle();
                    }
                    2 => free.store(BLOCKS - rng.below(3000) as u64, Ordering::Relaxed),
                    _ => {}
                },
            }
        }
    };
    with_thread(&headroom, || {
        thread::scope(|scope| (0..3).for_each(|number| drop(scope.spawn(move || take_and_drop(number)))));
        eventually(&headroom, |account| account.ahead == Ahead::Waits);
    });
    let account = headroom.account.lock();
    assert_eq!(too_few.load(Ordering::Relaxed), 0, "blocks that were promised and not held");
    assert_eq!(account.promised, 0, "all holds are dropped");
    assert!(account.is_physical && !account.is_moving);
}

#[test]
fn what_is_kept_back_goes_to_what_is_accepted_and_the_last_of_it_to_what_frees() {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    store.fail_when(|event| (event.call == Call::Hold).then_some(Fault::Error(libc::EOPNOTSUPP)));
    let headroom = Arc::new(Headroom::new(store));
    let (mut takes, mut frees) = (Hold::default(), Hold::default());
    takes.grow_to(&headroom, 1, Wish::Takes).unwrap();
    frees.grow_to(&headroom, 1, Wish::Frees).unwrap();
    let kept_back = || headroom.account.lock().kept_back;
    for _ in 0..2 {
        headroom.refresh();
        assert_eq!(kept_back(), KEPT_BACK);
        while headroom.draw(&mut takes, 1) {}
        assert_eq!(kept_back(), FOR_REMOVALS);
        while headroom.draw(&mut frees, 1) {}
        assert_eq!(kept_back(), 0);
    }
    assert!(!headroom.draw_idle(), "new content gets nothing of it");
}
