//! What programs find that use more of POSIX than Rust's library does. `scripts/prove` runs them on a volume.

use crate::live::*;
use cryptfs::mount::{Options, Transport};
use std::process::Command;

on_each_transport! {
    positions_in_a_directory_that_changes
    small_positions_in_a_directory_that_changes
    locks_between_processes
}

fn runs(name: &str, options: &Options) {
    let live = Live::with(options);
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let mut program = Command::new("/usr/bin/python3");
    program.args(["-B", "-m", &format!("cryptfs_testing.workloads.{name}")]).env("PYTHONPATH", scripts);
    run(program.arg(live.directory.path()));
    live.finish();
}

fn positions_in_a_directory_that_changes(transport: Transport) {
    runs("positions", &Options { transport, ..Options::default() });
}

fn small_positions_in_a_directory_that_changes(transport: Transport) {
    runs("positions", &Options { transport, small_positions: true, ..Options::default() });
}

fn locks_between_processes(transport: Transport) {
    runs("locks", &Options { transport, ..Options::default() });
}
