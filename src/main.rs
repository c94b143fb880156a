//! The program `cryptfs`, which is also the mount helper `mount.cryptfs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cryptfs::cli::main()
}
