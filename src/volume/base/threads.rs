//! The end of threads that work beside those who ask.

use std::thread::JoinHandle;

/// Waits for a thread that was told to end. `what` it did, for the log. A panic in it is one of the caller's in debug
/// builds, so that no test passes over a broken order of locks (`locks`).
pub fn join(thread: JoinHandle<()>, what: &str) {
    if let Err(panic) = thread.join() {
        log::error!("{what} ended in a panic");
        if cfg!(debug_assertions) && !std::thread::panicking() {
            std::panic::resume_unwind(panic);
        }
    }
}
