//! The clock that commit numbers are taken from: right, unless a test has it jump.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local!(static JUMPS: Cell<Option<u64>> = const { Cell::new(None) });

const DECADE: u64 = 10 * 365 * 86_400 * 1_000_000;

/// µs since 1970.
pub(super) fn now() -> u64 {
    let right = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros() as u64;
    let Some(asked) = JUMPS.get() else { return right };
    JUMPS.set(Some(asked + 1));
    match asked % 5 {
        0 => right,
        1 => right + DECADE,
        2 => 0,
        3 => right - DECADE,
        _ => right + 2 * DECADE + asked,
    }
}

/// From now on this thread's clock is set back and forth between any two looks at it, or is right again.
pub(super) fn jump(jumps: bool) {
    JUMPS.set(jumps.then_some(0));
}
