//! Mounts the in-memory filesystem: what is left of the cost of a file when crypto and backing cost nothing.
//!
//! `ceiling MOUNTPOINT [OPTION…]`, options: allow_other, writeback, no-acls, transport=NAME, threads=N, poll=MICROSECONDS.

// Parts of it are for the tests of the mount only.
#[allow(dead_code)]
mod memory;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cryptfs::mount::{Options, Transport, mount};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(mountpoint) = arguments.next() else {
        eprintln!(
            "usage: ceiling MOUNTPOINT [allow_other] [writeback] [no-acls] [transport=NAME] [threads=N] [poll=MICROSECONDS]"
        );
        return ExitCode::from(2);
    };
    let mut options = Options { source: "ceiling".into(), ..Options::default() };
    for argument in arguments {
        let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
        match (name, value.parse()) {
            ("allow_other", _) => options.allow_other = true,
            ("writeback", _) => options.writeback = true,
            ("no-acls", _) => options.acls = false,
            ("transport", _) => {
                let found = Transport::ALL.into_iter().find(|transport| transport.name() == value);
                let Some(transport) = found else {
                    eprintln!("ceiling: unknown transport {value}");
                    return ExitCode::from(2);
                };
                options.transport = transport;
            }
            ("threads", Ok(number)) => options.threads = number,
            ("poll", Ok(number)) => options.poll_for = Duration::from_micros(number as u64),
            _ => {
                eprintln!("ceiling: unknown option {argument}");
                return ExitCode::from(2);
            }
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
