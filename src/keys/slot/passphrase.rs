//! The type `passphrase`, and the stretching that a TPM's PIN shares with it.

use super::{Defect, Field, Members};
use crate::crypto::{self, Cost, CostError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Salt and cost of one Argon2id evaluation.
pub struct Stretch {
    salt: [u8; 32],
    cost: Cost,
}

impl Stretch {
    pub(super) fn new(cost: Cost) -> Stretch {
        Stretch { salt: crypto::random(), cost }
    }

    pub fn cost(&self) -> Cost {
        self.cost
    }

    pub(super) fn parse(members: &mut Members) -> Result<Stretch, Defect> {
        let salt = members.array("salt")?;
        let mut part = |name| members.number(name, 0..=u64::MAX);
        let cost = Cost::new(part("memory")?, part("passes")?, part("lanes")?);
        Ok(Stretch { salt, cost: cost.map_err(|CostError| Defect::Invalid("memory, passes, lanes"))? })
    }

    pub(super) fn fields(&self) -> [(&'static str, Field<'_>); 4] {
        let (memory, passes, lanes) = self.cost.parts();
        [
            ("salt", Field::Bytes(&self.salt)),
            ("memory", Field::Number(memory.into())),
            ("passes", Field::Number(passes.into())),
            ("lanes", Field::Number(lanes.into())),
        ]
    }

    /// Takes the time and the memory that the cost asks for; fails when the memory cannot be had.
    pub(super) fn run<const N: usize>(&self, secret: &[u8]) -> Result<Box<Zeroizing<[u8; N]>>, CostError> {
        crypto::stretch(secret, &self.salt, self.cost)
    }
}

/// The cost that takes about `target` on this machine: memory first, up to 1 GiB and a quarter of what is free, then
/// passes.
///
/// # Errors
///
/// [`CostError`] where there is no memory for [`Cost::LEAST`], with which it measures.
pub fn measured_cost(target: Duration) -> Result<Cost, CostError> {
    let start = Instant::now();
    Stretch::new(Cost::LEAST).run::<32>(b"")?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    scaled_cost(target.as_secs_f64() / start.elapsed().as_secs_f64(), free_memory(&meminfo))
}

/// The least cost times `times`, for a machine with this much free memory (KiB).
fn scaled_cost(times: f64, free: u64) -> Result<Cost, CostError> {
    let (least, passes, lanes) = Cost::LEAST.parts();
    let most = (free / 4).clamp(least.into(), 1 << 20);
    let wanted = f64::from(least) * times;
    let memory = (wanted as u64).clamp(least.into(), most) & !1023;
    let passes = (f64::from(passes) * wanted / memory as f64) as u64;
    Cost::new(memory, passes.clamp(3, 64), lanes.into())
}

/// In KiB, from the text of /proc/meminfo; zero if it does not say.
fn free_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_grow_in_memory_first_and_stay_in_bounds() {
        let parts = |times, free| scaled_cost(times, free).unwrap().parts();
        const GIB: u64 = 1 << 20;
        assert_eq!(parts(0.01, 64 * GIB), Cost::LEAST.parts());
        assert_eq!(parts(2.0, 64 * GIB), (2 << 16, 3, 1));
        assert_eq!(parts(16.0, GIB), (1 << 18, 12, 1));
        assert_eq!(parts(16.0, 0), (1 << 16, 48, 1));
        assert_eq!(parts(1e9, 64 * GIB), (1 << 20, 64, 1));
    }

    #[test]
    fn free_memory_is_read_from_meminfo() {
        assert_eq!(free_memory("MemTotal:  9 kB\nMemAvailable:   12345 kB\n"), 12345);
        assert_eq!(free_memory("MemTotal: 9 kB\n"), 0);
    }
}
