//! Space that is held for what was acknowledged and is not stored yet, so that a full disk is told to whoever writes, and
//! not found out later.
//!
//! Whoever is about to acknowledge a change takes a `Hold` for what storing it may need beyond what the files have; the
//! store holds as much physically, for another program may take the rest meanwhile. What is written goes to the free
//! space first. Where there is none, as much of the hold is given back as that write needs (`Headroom::draw`).
//!
//! While changes come one after the other a thread holds ahead of them, for the store may have to clear each block. The
//! account is locked for a look at it only: who finds enough held waits for nobody.
//!
//! Where the store cannot hold anything, the volume is *careful* as soon as little is left, or a quota that the filesystem
//! does not tell was met: it writes through, and before that stores what it accepted until then. Some space is kept back
//! there for what storing content takes beside it, and a part of that for changes which give space back: nothing could be
//! deleted any more on a disk that is full to the last block and writes nothing in place.

use super::{BLOCK, Error};
use crate::store::{Space, Store};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Blocks that are held beyond what is promised, when more are: spares calls.
const STEP: u64 = 256;
/// Blocks that only changes which give space back may use up: removing files must go on.
const SPARE: u64 = 64;
/// Blocks beyond what is promised up to which the thread holds ahead, in steps; and so few that it begins: at first, for a
/// single change is no reason, and while it is at it.
const AHEAD: u64 = 4 * STEP;
const FEW_AT_FIRST: u64 = STEP / 2;
const FEW: u64 = AHEAD / 2;
/// Blocks beyond what is promised that are given back at once.
const IDLE: u64 = 2 * AHEAD;
/// Blocks that are kept back where nothing is held; how many of them are given back at a time; and how many only for
/// changes which give space back.
const KEPT_BACK: u64 = 256;
const PIECE: u64 = 32;
const FOR_REMOVALS: u64 = KEPT_BACK / 2;
/// Bytes left below which a filesystem that holds nothing is as good as full, and the part of it all that is no more.
const LITTLE: u64 = 64 << 20;
const LITTLE_PART: u64 = 8;
/// Inodes left that are as good as none.
const FEW_INODES: u64 = 256;
/// Blocks after which the space that is left is looked at again.
const LOOK_EVERY: u64 = 4 * STEP;

/// What a change does to the space that is free.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Takes,
    /// It gives space back in the end, so that it may use the last there is.
    Frees,
    /// It goes on whether or not there is space for it.
    Regardless,
}

pub struct Headroom {
    store: Arc<dyn Store>,
    account: Mutex<Account>,
    /// The store holds as much as it was asked for last.
    moved: Condvar,
    /// Something is wanted of the thread that holds ahead.
    asked: Condvar,
    is_careful: AtomicBool,
    /// It became careful, and what was accepted before that is perhaps not stored.
    is_unsettled: AtomicBool,
}

struct Account {
    /// Blocks of all holds.
    promised: u64,
    /// Blocks that the store holds: at least as many, if it can.
    held: u64,
    is_physical: bool,
    /// Blocks that are kept back where it cannot.
    kept_back: u64,
    /// Somebody has the store hold more or less just now, without the lock.
    is_moving: bool,
    /// Blocks taken since the space that is left was looked at.
    since_look: u64,
    ahead: Ahead,
    /// Blocks beyond what is promised below which the thread is asked for more; 0 where space is short: it would take what
    /// somebody else needs.
    few: u64,
    /// There was none for something, whatever the filesystem said.
    lack: Option<Lack>,
}

/// What the thread that holds ahead does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// There is none.
    Nobody,
    Waits,
    Works,
    /// It is to end.
    Ended,
}

/// What shows that it is over: much was freed, or stored.
struct Lack {
    /// Bytes that the filesystem said to be left.
    available: u64,
    /// Blocks to be taken until then.
    blocks: u64,
}

/// Blocks that are held for something; given back when it is dropped.
#[derive(Default)]
pub struct Hold {
    headroom: Option<Arc<Headroom>>,
    blocks: u64,
    /// It is for something that gives space back, too.
    frees: bool,
}

impl Headroom {
    pub fn new(store: Arc<dyn Store>) -> Headroom {
        let account = Account {
            promised: 0,
            held: 0,
            is_physical: true,
            kept_back: 0,
            is_moving: false,
            since_look: LOOK_EVERY,
            ahead: Ahead::Nobody,
            few: FEW_AT_FIRST,
            lack: None,
        };
        Headroom {
            store,
            account: Mutex::new(account),
            moved: Condvar::new(),
            asked: Condvar::new(),
            is_careful: AtomicBool::new(false),
            is_unsettled: AtomicBool::new(false),
        }
    }

    /// As if nothing could be held, and little were left.
    #[cfg(test)]
    pub fn be_careful(&self) {
        self.set_careful(true);
    }

    /// Whether a change has to be stored before it is acknowledged: space runs out, and none can be held.
    pub fn is_careful(&self) -> bool {
        self.is_careful.load(Ordering::Relaxed)
    }

    /// Whether what was accepted has to be stored first, since the volume became careful. Whoever asks does that, and says so
    /// where it could not be done ([`Headroom::unsettle`]).
    pub fn settle(&self) -> bool {
        self.is_unsettled.load(Ordering::Relaxed) && self.is_unsettled.swap(false, Ordering::Relaxed)
    }

    pub fn unsettle(&self) {
        self.is_unsettled.store(true, Ordering::Relaxed);
    }

    fn set_careful(&self, is_careful: bool) {
        if !self.is_careful.swap(is_careful, Ordering::Relaxed) && is_careful {
            self.unsettle();
        }
    }

    /// Whether the store holds space, as far as that was tried.
    pub fn is_physical(&self) -> bool {
        self.account.lock().is_physical
    }

    /// Takes note of content that was written.
    pub fn wrote(&self, bytes: usize) {
        self.count(&mut self.account.lock(), bytes.div_ceil(BLOCK) as u64);
    }

    /// Takes note that there was no space for something that is to be stored.
    pub fn lacked(&self) {
        let mut account = self.account.lock();
        let Some(space) = (!account.is_physical).then(|| self.store.space().ok()).flatten() else { return };
        account.lack = Some(Lack { available: available(&space), blocks: little(&space) / BLOCK as u64 });
        self.set_careful(true);
    }

    /// Gives back what is held for nothing, and looks at the space that is left.
    pub fn refresh(&self) {
        let mut account = self.at_rest();
        account.few = FEW_AT_FIRST;
        self.shrink(&mut account, STEP);
        self.look(&mut account);
    }

    /// Of a write for which there is no space: gives back `blocks` of what is held for it, or of what is held for nothing;
    /// where nothing is held, a piece of what is kept back. False if there is none of these.
    pub fn draw(&self, hold: &mut Hold, blocks: u64) -> bool {
        let mut account = self.at_rest();
        account.few = 0;
        if !account.is_physical {
            let least = if hold.frees { 0 } else { FOR_REMOVALS };
            let left = account.kept_back.saturating_sub(PIECE).max(least);
            return left < account.kept_back && self.keep_back(&mut account, left).is_ok();
        }
        let own = hold.blocks.min(blocks);
        let given = if own > 0 { own } else { blocks.min(account.held.saturating_sub(account.promised)) };
        if given == 0 {
            return false;
        }
        let held = account.held - given;
        account.promised -= own;
        if self.hold(&mut account, held).is_err() {
            account.promised += own;
            return false;
        }
        hold.blocks -= own;
        true
    }

    /// Of a write of something new for which there is no space: gives back what is held for nothing. False if nothing is.
    pub fn draw_idle(&self) -> bool {
        let mut account = self.at_rest();
        account.few = 0;
        let held = account.promised + SPARE;
        account.is_physical && account.held > held && self.hold(&mut account, held).is_ok()
    }

    /// Holds ahead of those who take, until [`Headroom::end`]: for a thread of its own.
    pub fn hold_ahead(&self) {
        let mut account = self.account.lock();
        loop {
            match account.ahead {
                Ahead::Ended => return,
                Ahead::Nobody => account.ahead = Ahead::Waits,
                Ahead::Waits => self.asked.wait(&mut account),
                Ahead::Works if account.is_moving => self.moved.wait(&mut account),
                Ahead::Works => {
                    let wanted = account.promised + AHEAD;
                    let is_wanted = account.is_physical && account.few > 0 && account.held < wanted;
                    if !is_wanted {
                        account.ahead = Ahead::Waits;
                        continue;
                    }
                    let next = wanted.min(account.held + STEP);
                    // Whoever needs what is not there is told.
                    let is_held = self.hold(&mut account, next).is_ok();
                    account.few = if is_held && account.few > 0 { FEW } else { 0 };
                }
            }
        }
    }

    /// Ends the thread that holds ahead. What is held stays so.
    pub fn end(&self) {
        self.account.lock().ahead = Ahead::Ended;
        self.asked.notify_one();
    }

    fn take(&self, blocks: u64, wish: Wish) -> io::Result<()> {
        let mut account = self.account.lock();
        self.count(&mut account, blocks);
        let more = blocks + if wish == Wish::Takes { SPARE } else { 0 };
        // Others take of it while the store is asked for more.
        while account.is_physical && account.held < account.promised + more {
            if account.is_moving {
                self.moved.wait(&mut account);
                continue;
            }
            let wanted = account.promised + more;
            match self.hold(&mut account, wanted + STEP) {
                Err(error) if Error::is_lack(&error) => {
                    account.few = 0;
                    let wanted = account.promised + more;
                    self.hold(&mut account, wanted)?;
                }
                held => held?,
            }
        }
        account.promised += blocks;
        if account.ahead == Ahead::Waits
            && account.is_physical
            && account.held < account.promised + account.few
        {
            account.ahead = Ahead::Works;
            self.asked.notify_one();
        }
        Ok(())
    }

    fn give_back(&self, blocks: u64) {
        let mut account = self.account.lock();
        account.promised -= blocks;
        if account.held > account.promised + IDLE && !account.is_moving {
            self.shrink(&mut account, AHEAD);
        }
    }

    /// The account while nobody changes what the store holds.
    fn at_rest(&self) -> MutexGuard<'_, Account> {
        let mut account = self.account.lock();
        while account.is_moving {
            self.moved.wait(&mut account);
        }
        account
    }

    /// Has the store hold so many blocks in all. It is asked without the lock: until then the lesser of the two counts. After
    /// an error as much is held as before.
    fn hold(&self, account: &mut MutexGuard<'_, Account>, blocks: u64) -> io::Result<()> {
        let before = account.held;
        (account.is_moving, account.held) = (true, blocks.min(before));
        let held = MutexGuard::unlocked(account, || self.store.hold(blocks * BLOCK as u64));
        account.is_moving = false;
        self.moved.notify_all();
        match held {
            Ok(is_physical) => (account.held, account.is_physical) = (blocks, is_physical),
            Err(error) => {
                account.held = before;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Leaves no more than `most` blocks held for nothing.
    fn shrink(&self, account: &mut MutexGuard<'_, Account>, most: u64) {
        let held = account.promised + most;
        if account.is_physical && account.held > held {
            // It stays held.
            let _ = self.hold(account, held);
        }
    }

    fn count(&self, account: &mut MutexGuard<'_, Account>, blocks: u64) {
        account.since_look += blocks;
        if let Some(lack) = &mut account.lack {
            lack.blocks = lack.blocks.saturating_sub(blocks);
        }
        if account.since_look >= LOOK_EVERY {
            self.look(account);
        }
    }

    /// Looks at the space that is left, without the lock.
    fn look(&self, account: &mut MutexGuard<'_, Account>) {
        account.since_look = 0;
        let Ok(space) = MutexGuard::unlocked(account, || self.store.space()) else { return };
        let is_over =
            |lack: &mut Lack| lack.blocks == 0 || available(&space) >= lack.available + little(&space);
        account.lack.take_if(is_over);
        let is_little = available(&space) < little(&space) || account.lack.is_some();
        let few = FEW_INODES.min(space.inodes / LITTLE_PART) + account.promised / 4;
        let runs_out = is_little && !account.is_physical || space.inodes > 0 && space.free_inodes < few;
        self.set_careful(runs_out);
        let is_wanted = !account.is_physical && account.kept_back < KEPT_BACK && !account.is_moving;
        if is_wanted && available(&space) > 2 * KEPT_BACK * BLOCK as u64 {
            // Less is better than nothing.
            let _ = self.keep_back(account, KEPT_BACK);
        }
    }

    /// Has the store keep so many blocks back, asked without the lock.
    fn keep_back(&self, account: &mut MutexGuard<'_, Account>, blocks: u64) -> io::Result<()> {
        account.is_moving = true;
        let kept = MutexGuard::unlocked(account, || self.store.keep_back(blocks * BLOCK as u64));
        account.is_moving = false;
        self.moved.notify_all();
        account.kept_back = kept? / BLOCK as u64;
        Ok(())
    }
}

fn available(space: &Space) -> u64 {
    space.available.saturating_mul(space.block_size)
}

/// Bytes that are as good as none on a filesystem that holds nothing.
fn little(space: &Space) -> u64 {
    LITTLE.min(space.blocks.saturating_mul(space.block_size) / LITTLE_PART)
}

impl Hold {
    /// Has it hold at least so many blocks.
    ///
    /// # Errors
    ///
    /// The store's, if there is no space for them; as much is held as before.
    pub fn grow_to(&mut self, headroom: &Arc<Headroom>, blocks: u64, wish: Wish) -> io::Result<()> {
        self.frees |= wish == Wish::Frees;
        if blocks > self.blocks {
            headroom.take(blocks - self.blocks, wish)?;
            self.headroom.get_or_insert_with(|| headroom.clone());
            self.blocks = blocks;
        }
        Ok(())
    }

    /// Takes over all of another one.
    pub fn absorb(&mut self, mut other: Hold) {
        self.blocks += std::mem::take(&mut other.blocks);
        self.frees |= other.frees;
        self.headroom = self.headroom.take().or(other.headroom.take());
    }

    /// A part of it, of so many blocks if it has them.
    pub fn split(&mut self, blocks: u64) -> Hold {
        let blocks = blocks.min(self.blocks);
        self.blocks -= blocks;
        Hold { headroom: self.headroom.clone(), blocks, frees: self.frees }
    }

    pub fn blocks(&self) -> u64 {
        self.blocks
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(headroom) = self.headroom.take().filter(|_| self.blocks > 0) {
            headroom.give_back(self.blocks);
        }
    }
}

#[cfg(test)]
mod tests;
