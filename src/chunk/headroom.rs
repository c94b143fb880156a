//! Space that is held for what was acknowledged and is not stored yet, so that a full disk is told to whoever writes, and
//! not found out later.
//!
//! Whoever is about to acknowledge a change takes a `Hold` for what storing it may need beyond what the files have; the
//! store holds as much physically, for another program may take the rest meanwhile. What is written goes to the free
//! space first. Where there is none, as much of the hold is given back as that write needs (`Headroom::draw`).
//!
//! Where the store cannot hold anything, the volume is *careful* as soon as little is left, or a quota that the filesystem
//! does not tell was met: it writes through.

use super::{BLOCK, Error};
use crate::store::{Space, Store};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Blocks that are held beyond what is promised, when more are: spares calls.
const STEP: u64 = 256;
/// Blocks that only changes which give space back may use up: removing files must go on.
const SPARE: u64 = 64;
/// Blocks beyond what is promised that are given back at once.
const IDLE: u64 = 4 * STEP;
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
}

pub struct Headroom {
    store: Arc<dyn Store>,
    account: Mutex<Account>,
    is_careful: AtomicBool,
}

struct Account {
    /// Blocks of all holds.
    promised: u64,
    /// Blocks that the store holds: at least as many, if it can.
    held: u64,
    is_physical: bool,
    /// Blocks taken since the space that is left was looked at.
    since_look: u64,
    /// There was none for something, whatever the filesystem said.
    lack: Option<Lack>,
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
}

impl Headroom {
    pub fn new(store: Arc<dyn Store>) -> Headroom {
        let account = Account { promised: 0, held: 0, is_physical: true, since_look: LOOK_EVERY, lack: None };
        Headroom { store, account: Mutex::new(account), is_careful: AtomicBool::new(false) }
    }

    /// As if nothing could be held, and little were left.
    #[cfg(test)]
    pub fn be_careful(&self) {
        self.is_careful.store(true, Ordering::Relaxed);
    }

    /// Whether a change has to be stored before it is acknowledged: space runs out, and none can be held.
    pub fn is_careful(&self) -> bool {
        self.is_careful.load(Ordering::Relaxed)
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
        self.is_careful.store(true, Ordering::Relaxed);
    }

    /// Gives back what is held for nothing, and looks at the space that is left.
    pub fn refresh(&self) {
        let mut account = self.account.lock();
        self.shrink(&mut account, STEP);
        self.look(&mut account);
    }

    /// Gives everything back: nothing more will be written.
    pub fn end(&self) {
        let mut account = self.account.lock();
        if account.is_physical && account.held > 0 && self.store.hold(0).is_ok() {
            account.held = 0;
        }
    }

    /// Of a write for which there is no space: gives back `blocks` of what is held for it, or of what is held for nothing.
    /// False if there is none of either.
    pub fn draw(&self, hold: &mut Hold, blocks: u64) -> bool {
        let mut account = self.account.lock();
        let own = hold.blocks.min(blocks);
        let given = if own > 0 { own } else { blocks.min(account.held.saturating_sub(account.promised)) };
        if !account.is_physical || given == 0 {
            return false;
        }
        hold.blocks -= own;
        account.promised -= own;
        let held = account.held - given;
        if self.store.hold(held * BLOCK as u64).is_err() {
            return false;
        }
        account.held = held;
        true
    }

    /// Of a write of something new for which there is no space: gives back what is held for nothing. False if nothing is.
    pub fn draw_idle(&self) -> bool {
        let mut account = self.account.lock();
        let held = account.promised + SPARE;
        if !account.is_physical || account.held <= held || self.store.hold(held * BLOCK as u64).is_err() {
            return false;
        }
        account.held = held;
        true
    }

    fn take(&self, blocks: u64, wish: Wish) -> io::Result<()> {
        let mut account = self.account.lock();
        self.count(&mut account, blocks);
        let wanted = account.promised + blocks + if wish == Wish::Takes { SPARE } else { 0 };
        if account.is_physical && account.held < wanted {
            let mut hold = |held: u64| {
                let is_physical = self.store.hold(held * BLOCK as u64)?;
                (account.held, account.is_physical) = (held, is_physical);
                io::Result::Ok(())
            };
            match hold(wanted + STEP) {
                Err(error) if Error::is_lack(&error) => hold(wanted)?,
                held => held?,
            }
        }
        account.promised += blocks;
        Ok(())
    }

    fn give_back(&self, blocks: u64) {
        let mut account = self.account.lock();
        account.promised -= blocks;
        self.shrink(&mut account, IDLE);
    }

    /// Leaves no more than `most` blocks held for nothing.
    fn shrink(&self, account: &mut Account, most: u64) {
        let held = account.promised + STEP;
        if account.is_physical
            && account.held > account.promised + most
            && self.store.hold(held * BLOCK as u64).is_ok()
        {
            account.held = held;
        }
    }

    fn count(&self, account: &mut Account, blocks: u64) {
        account.since_look += blocks;
        if let Some(lack) = &mut account.lack {
            lack.blocks = lack.blocks.saturating_sub(blocks);
        }
        if account.since_look >= LOOK_EVERY {
            self.look(account);
        }
    }

    fn look(&self, account: &mut Account) {
        account.since_look = 0;
        let Ok(space) = self.store.space() else { return };
        let is_over =
            |lack: &mut Lack| lack.blocks == 0 || available(&space) >= lack.available + little(&space);
        account.lack.take_if(is_over);
        let is_little = available(&space) < little(&space) || account.lack.is_some();
        let few = FEW_INODES.min(space.inodes / LITTLE_PART) + account.promised / 4;
        let runs_out = is_little && !account.is_physical || space.inodes > 0 && space.free_inodes < few;
        self.is_careful.store(runs_out, Ordering::Relaxed);
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
        self.headroom = self.headroom.take().or(other.headroom.take());
    }

    /// A part of it, of so many blocks if it has them.
    pub fn split(&mut self, blocks: u64) -> Hold {
        let blocks = blocks.min(self.blocks);
        self.blocks -= blocks;
        Hold { headroom: self.headroom.clone(), blocks }
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
