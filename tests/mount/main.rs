//! The mount, over a filesystem in memory: each transport, as root and as an ordinary user.

#[path = "../../examples/ceiling/memory.rs"]
mod memory;

/// Makes each function a test on each transport.
macro_rules! on_each_transport {
    ($($test:ident)*) => {
        #[cfg(feature = "fuser")]
        mod fuser_transport {
            $(#[test] fn $test() { super::$test(cryptfs::mount::Transport::Fuser) })*
        }
        mod device_transport {
            $(#[test] fn $test() { super::$test(cryptfs::mount::Transport::Device) })*
        }
        mod uring_transport {
            $(#[test] fn $test() { crate::child::over_io_uring(super::$test) })*
        }
    };
}

mod child;
mod files;
mod life;
mod live;
mod programs;
mod requests;
mod serving;
mod users;
