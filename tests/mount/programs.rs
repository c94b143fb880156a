//! What programs find that use more of POSIX than Rust's library does. `scripts/prove` runs them on a volume.

use crate::live::*;
use cryptfs::mount::Transport;
use std::process::Command;

on_each_transport! {
    positions_in_a_directory_that_changes
    locks_between_processes
}

fn runs(name: &str, transport: Transport) {
    let live = Live::new(transport);
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let mut program = Command::new("/usr/bin/python3");
    program.args(["-B", "-m", &format!("cryptfs_testing.workloads.{name}")]).env("PYTHONPATH", scripts);
    run(program.arg(live.directory.path()));
    live.finish();
}

fn positions_in_a_directory_that_changes(transport: Transport) {
    runs("positions", transport);
}

fn locks_between_processes(transport: Transport) {
    runs("locks", transport);
}
