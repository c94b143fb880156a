//! Rows of the attack matrix as the owner meets them: through a real mount (docs/testing-attacks.md).
//!
//! Each attack is made while nothing is mounted, unless it says otherwise; [`Fixture::expect`] then holds the whole mount
//! against what may suffer from it.

mod files;
mod fixture;
mod folder;
mod leaks;
mod live;
mod names;

use fixture::Fixture;

/// Half a minute of the random attacker; `scripts/attack-rounds` plays 10,000 rounds.
#[test]
fn a_random_attacker_on_a_mount() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/attack-rounds");
    let mut command = std::process::Command::new(script);
    command.args(["--seconds", "30", "--binary", crate::sandbox::PROGRAM]);
    if let Ok(seed) = std::env::var("CRYPTFS_SEED") {
        command.args(["--seed", &seed]);
    }
    let outcome = command.output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{said}{}", String::from_utf8_lossy(&outcome.stderr));
}
