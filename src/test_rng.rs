//! What random tests throw, and the seed that they print and can be given again.

use std::str::FromStr;

/// A sequence of numbers that its seed decides (splitmix64).
pub struct TestRng(pub u64);

impl TestRng {
    /// 0 up to but not including `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}

/// A decimal number from the environment.
pub fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a decimal number: {text}")))
}

/// CRYPTFS_SEED, or a new one; printed.
pub fn seed() -> u64 {
    let seed = variable("CRYPTFS_SEED").unwrap_or_else(|| u64::from_le_bytes(crate::crypto::random()));
    println!("CRYPTFS_SEED={seed}");
    seed
}
