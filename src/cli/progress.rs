//! How far a check is, for those who wait for it.

use super::report;
use crate::check::Progress;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After so long without a terminal, and then as often, a line says how far a check is.
const PLAIN: Duration = Duration::from_secs(10);

/// Shows how far a check is until it is done: a bar on a terminal, now and then a line elsewhere.
pub fn show(bar: &ProgressBar, progress: &Progress, is_done: &AtomicBool) {
    let (begun, mut told) = (Instant::now(), Duration::ZERO);
    // Once at least, however short it was.
    loop {
        let bytes = progress.bytes.load(Ordering::Relaxed) >> 20;
        bar.set_message(format!("{bytes} MiB"));
        bar.set_length(progress.files.load(Ordering::Relaxed));
        bar.set_position(progress.done.load(Ordering::Relaxed));
        if bar.is_hidden() && begun.elapsed() - told >= PLAIN {
            told = begun.elapsed();
            let (done, of) = (progress.done.load(Ordering::Relaxed), progress.files.load(Ordering::Relaxed));
            report::complain(&how_far(done, of, told));
        }
        if is_done.load(Ordering::Acquire) {
            break;
        }
        thread::park_timeout(Duration::from_millis(200));
    }
    bar.finish_and_clear();
}

fn how_far(done: u64, of: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64();
    let left =
        if done == 0 { "?".to_owned() } else { format!("{:.0}", of.saturating_sub(done) as f64 / rate) };
    format!("checked {done} of {of} files, {rate:.0} a second, {left} s left")
}

/// What the bar of a check looks like. `data`: with content.
pub fn style(data: bool) -> ProgressStyle {
    let template = match data {
        true => "Checking {bar:32} {human_pos} of {human_len} files, {msg}, {rate} a second, {eta} left",
        false => "Checking {bar:32} {human_pos} of {human_len} files, {rate} a second, {eta} left",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:.0}", state.per_sec());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_tells_rate_and_time_left() {
        let told = how_far(200, 1000, Duration::from_secs(10));
        assert_eq!(told, "checked 200 of 1000 files, 20 a second, 40 s left");
        assert!(how_far(0, 0, PLAIN).ends_with("? s left"));
    }
}
