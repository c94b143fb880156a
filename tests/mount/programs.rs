//! What programs find that use more of POSIX than Rust's library does. `scripts/prove` runs them on a volume.

use crate::live::*;
use cryptfs::mount::Transport;
use std::process::Command;

on_each_transport! {
    positions_in_a_directory_that_changes
    locks_between_processes
}

fn runs(script: &str, transport: Transport) {
    let live = Live::new(transport);
    let script = format!("{}/tests/work/{script}", env!("CARGO_MANIFEST_DIR"));
    run(Command::new(script).arg(live.directory.path()));
    live.finish();
}

fn positions_in_a_directory_that_changes(transport: Transport) {
    runs("positions.py", transport);
}

fn locks_between_processes(transport: Transport) {
    runs("locks.py", transport);
}
