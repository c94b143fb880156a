//! Sizes at which something that is rare otherwise happens: tests lower them.

/// Seals under one key after which a chunk is re-sealed.
#[cfg(not(test))]
pub(super) fn seals() -> u64 {
    1 << 31
}

/// A file of fewer slots is not worth moving its blocks.
const SMALL: usize = 64;

#[cfg(not(test))]
pub(super) fn small() -> usize {
    SMALL
}

#[cfg(test)]
pub(crate) use lowered::{lower, raise};
#[cfg(test)]
pub(super) use lowered::{seals, small};

#[cfg(test)]
mod lowered {
    use std::cell::Cell;

    thread_local!(static LIMITS: Cell<(u64, usize)> = const { Cell::new((5000, super::SMALL)) });

    pub(in super::super) fn seals() -> u64 {
        LIMITS.get().0
    }

    pub(in super::super) fn small() -> usize {
        LIMITS.get().1
    }

    /// The limits of this thread from now on: of seals, and of slots that are few.
    pub(crate) fn lower(seals: u64, small: usize) {
        LIMITS.set((seals, small));
    }

    /// Back to what tests have otherwise.
    pub(crate) fn raise() {
        lower(5000, super::SMALL);
    }
}
