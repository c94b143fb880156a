//! Argon2id: the cost of guessing a passphrase or a PIN.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

/// The cost of one Argon2id evaluation, within the bounds of docs/FORMAT.md section 4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// A cost outside of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outside of the bounds of a passphrase's cost")]
pub struct CostError;

impl Cost {
    /// The least that is accepted: 64 MiB, 3 passes, 1 lane.
    pub const LEAST: Cost = Cost { memory: 1 << 16, passes: 3, lanes: 1 };

    /// `memory` in KiB.
    ///
    /// # Errors
    ///
    /// `CostError` outside of 64 MiB to 4 GiB, 3 to 64 passes, 1 to 16 lanes (docs/FORMAT.md section 4).
    pub fn new(memory: u64, passes: u64, lanes: u64) -> Result<Cost, CostError> {
        let bounded =
            (1 << 16..=1 << 22).contains(&memory) && (3..=64).contains(&passes) && (1..=16).contains(&lanes);
        if !bounded {
            return Err(CostError);
        }
        Ok(Cost { memory: memory as u32, passes: passes as u32, lanes: lanes as u32 })
    }

    /// KiB, passes, lanes.
    pub fn parts(self) -> (u32, u32, u32) {
        (self.memory, self.passes, self.lanes)
    }
}

/// Argon2id of `secret` into `N` bytes.
///
/// # Errors
///
/// [`CostError`] where the memory cannot be had.
pub fn stretch<const N: usize>(
    secret: &[u8],
    salt: &[u8; 32],
    cost: Cost,
) -> Result<Box<Zeroizing<[u8; N]>>, CostError> {
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(N)).map_err(|_| CostError)?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(params.block_count()).map_err(|_| CostError)?;
    memory.resize(params.block_count(), Block::default());
    let mut out = Box::new(Zeroizing::new([0; N]));
    let stretched = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        secret,
        salt,
        &mut out[..],
        &mut memory,
    );
    // The output can be computed from what is left there.
    memory.iter_mut().for_each(Block::zeroize);
    stretched.map_err(|_| CostError)?;
    Ok(out)
}
