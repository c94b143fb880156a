//! Real work on a real mount, in its short form; `scripts/prove` has the long one.

use std::process::Command;

/// Runs steps of `scripts/prove` with the program under test.
fn prove(steps: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prove");
    let outcome = Command::new(script)
        .args(steps)
        .env("CRYPTFS", env!("CARGO_BIN_EXE_cryptfs"))
        .env("FSX_OPERATIONS", "10000")
        .output()
        .unwrap();
    let (said, complaints) =
        (String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr));
    assert!(outcome.status.success(), "{said}{complaints}");
}

#[test]
fn random_operations_agree_with_a_model() {
    prove(&["fsx"]);
}

#[test]
fn suspects() {
    prove(&["suspects"]);
}

#[test]
fn damaged_entries() {
    prove(&["damage"]);
}

#[test]
fn a_full_disk() {
    prove(&["full"]);
}
