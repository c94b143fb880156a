//! Mounts the in-memory filesystem: what is left of the cost of a file when crypto and backing cost nothing.
//!
//! `ceiling MOUNTPOINT [OPTION…]`, options: allow_other, no-writeback, no-acls, threads=N.

mod memory;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cryptfs::mount::{Options, mount};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(mountpoint) = arguments.next() else {
        eprintln!("usage: ceiling MOUNTPOINT [allow_other] [no-writeback] [no-acls] [threads=N]");
        return ExitCode::from(2);
    };
    let mut options = Options { source: "ceiling".into(), ..Options::default() };
    for argument in arguments {
        match argument.as_str() {
            "allow_other" => options.allow_other = true,
            "no-writeback" => options.writeback = false,
            "no-acls" => options.acls = false,
            other => match other.strip_prefix("threads=").and_then(|number| number.parse().ok()) {
                Some(threads) => options.threads = threads,
                None => {
                    eprintln!("ceiling: unknown option {other}");
                    return ExitCode::from(2);
                }
            },
        }
    }
    let memory = memory::Memory::default();
    if let Ok(metadata) = std::fs::metadata(&mountpoint) {
        use std::os::unix::fs::MetadataExt;
        memory.give_root_to(metadata.uid(), metadata.gid());
    }
    let mounted = match mount(Arc::new(memory), Path::new(&mountpoint), &options) {
        Ok(mounted) => mounted,
        Err(error) => {
            eprintln!("ceiling: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("mounted");
    match mounted.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ceiling: {error}");
            ExitCode::FAILURE
        }
    }
}
