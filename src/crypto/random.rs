//! Random bytes straight from the kernel: no buffer that a snapshot of the machine could repeat.

/// Fills `out` with random bytes. Panics if the kernel has none to give (no entropy source): nothing safe can follow.
pub fn fill_random(out: &mut [u8]) {
    getrandom::fill(out).expect("the kernel gives random bytes");
}

/// `N` random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill_random(&mut out);
    out
}
