//! Real work on a real mount, in its short form; `scripts/prove` has the long one.

use std::process::Command;

/// Runs steps of `scripts/prove` with the program under test.
fn prove(steps: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prove");
    run(Command::new(script)
        .args(steps)
        .env("CRYPTFS", env!("CARGO_BIN_EXE_cryptfs"))
        .env("FSX_OPERATIONS", "10000"));
}

fn run(command: &mut Command) {
    let outcome = command.output().unwrap();
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

#[test]
fn a_backing_folder_that_vanishes() {
    prove(&["vanish"]);
}

#[test]
fn a_read_only_backing_folder() {
    prove(&["read-only"]);
}

#[test]
fn sixty_four_descriptors() {
    prove(&["descriptors"]);
}

#[test]
fn times_out_of_the_page_cache() {
    prove(&["times"]);
}

#[test]
fn positions_in_a_directory_that_changes() {
    prove(&["positions"]);
}

#[test]
fn locks_between_processes() {
    prove(&["locks"]);
}

#[test]
fn what_was_said_on_a_full_disk_is_true() {
    torture("tmpfs");
}

#[test]
fn what_was_said_over_a_connection_that_breaks_is_true() {
    torture("sshfs");
}

fn torture(place: &str) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/torture");
    let binary = env!("CARGO_BIN_EXE_cryptfs");
    run(Command::new(program).args(["--place", place, "--seconds", "10", "--binary", binary]));
}

#[test]
fn sixteen_workers_agree_with_their_models() {
    run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/soak")).args([
        "--minutes",
        "0.25",
        "--rounds",
        "2",
        "--binary",
        env!("CARGO_BIN_EXE_cryptfs"),
    ]));
}
