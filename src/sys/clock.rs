//! The clock that the kernel stamps files with.

use rustix::time::{ClockId, clock_gettime};

/// Seconds and nanoseconds since 1970, as of the last tick: CLOCK_REALTIME_COARSE.
pub fn coarse() -> (i64, u32) {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn it_is_not_ahead_of_the_finer_one_and_not_far_behind() {
        let (seconds, nanoseconds) = super::coarse();
        let coarse = std::time::Duration::new(seconds as u64, nanoseconds);
        let fine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(coarse <= fine && fine - coarse < std::time::Duration::from_secs(1), "{coarse:?}, {fine:?}");
    }
}
