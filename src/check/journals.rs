//! The journals: damaged ones, and those that this device knows and that are gone.

use super::finding::{Finding, Trouble, What};
use crate::volume::{Error, Reader};

pub fn check(reader: &Reader, problems: &[Error]) -> Vec<Finding> {
    let finding = |error: &Error| {
        let chunk = match error {
            Error::Damaged(chunk, _) | Error::NotArrived(chunk) => Some(*chunk),
            _ => None,
        };
        let file = chunk.map(|chunk| reader.context().file_name(chunk).path());
        Finding { what: What::Journal(Trouble::of(error)), chunk, file, path: None }
    };
    problems.iter().map(finding).collect()
}
