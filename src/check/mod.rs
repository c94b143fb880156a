//! Checking a volume: every chunk file, inode, name and journal in its backing folder, and whether they agree.
//!
//! Reads only, through [`Reader`], so a volume whose root directory or journal is damaged is checked like any other.
//! One check to a file: `folder` (what lies there), `inodes` (what authenticates), `names` (whether directories and
//! inodes say the same; `underway`: or only do not yet), `journals`. Each emits [`Finding`]s; what is done about them is `repair`'s affair.
//!
//! Memory: some 100 bytes for each chunk file, whatever its size, and what is found.

mod finding;
mod folder;
mod inodes;
mod journals;
mod names;
mod underway;

pub use finding::{Class, Finding, Trouble, What};

use crate::chunk::InodeId;
use crate::volume::{Error, Reader, Result};
use folder::Folder;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a volume is checked.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Authenticate every block, too, not only roots and tables.
    pub data: bool,
    pub threads: usize,
}

/// How far a check has come; may be read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Chunk files there are; 0 until they are listed.
    pub files: AtomicU64,
    pub done: AtomicU64,
    /// Bytes of content that were authenticated.
    pub bytes: AtomicU64,
}

/// What a check saw.
#[derive(Debug, Default)]
pub struct Checked {
    pub findings: Vec<Finding>,
    pub chunk_files: u64,
    pub inodes: u64,
    pub directories: Vec<InodeId>,
    pub bytes: u64,
}

/// Checks all of a volume. `journals`: what of its journals cannot be read, as `Reader::with_journals` says.
///
/// # Errors
///
/// The store's, when the folder cannot be listed. Everything else is a finding.
pub fn run(reader: &Reader, journals: &[Error], options: Options, progress: &Progress) -> Result<Checked> {
    let folder = Folder::list(reader)?;
    progress.files.store(folder.chunks.len() as u64, Ordering::Relaxed);
    let mut findings = folder.findings(reader);
    findings.extend(journals::check(reader, journals));
    let (facts, found) = inodes::check(reader, &folder, options, progress)?;
    findings.extend(found);
    findings.extend(names::check(reader, &facts, &folder.copied()));
    let has_placeholder = |chunk| reader.context().has_placeholder(chunk);
    findings.iter_mut().for_each(|finding| finding.look_for_placeholder(has_placeholder));
    findings.sort_by(|a, b| (a.class(), &a.path, a.chunk).cmp(&(b.class(), &b.path, b.chunk)));
    Ok(Checked {
        findings,
        chunk_files: folder.chunks.len() as u64,
        inodes: facts.readable(),
        directories: facts.directories(),
        bytes: progress.bytes.load(Ordering::Relaxed),
    })
}
