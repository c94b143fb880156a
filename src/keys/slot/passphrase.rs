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

/// The cost that takes about `target` on this machine: memory first, up to 1 GiB, then passes.
pub fn measured_cost(target: Duration) -> Result<Cost, CostError> {
    const LARGEST: u64 = 1 << 20;
    let (least, passes, lanes) = Cost::LEAST.parts();
    let start = Instant::now();
    Stretch::new(Cost::LEAST).run::<32>(b"")?;
    let times = target.as_secs_f64() / start.elapsed().as_secs_f64();
    let memory = ((f64::from(least) * times) as u64).clamp(least.into(), LARGEST) & !1023;
    let left = f64::from(least) * times / memory as f64;
    let passes = ((f64::from(passes) * left) as u64).clamp(passes.into(), 64);
    Cost::new(memory, passes, lanes.into())
}
