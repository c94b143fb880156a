//! `cryptfs locate`: which chunk files a path has, and which path a chunk file belongs to.

use super::shown;
use super::target::Opened;
use crate::chunk::{ChunkId, ChunkIndex};
use crate::cli::advice::{self, Failure};
use crate::cli::look_args::Locate;
use crate::cli::report;
use crate::keys::hex;
use crate::store::{Area, CopyName, FileName};
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Prints the chunk files of a path, or the path of a chunk file.
///
/// # Errors
///
/// As for [`Opened::open`] and [`Opened::found`]; `Exit::NoSuchPath` for a file that is not of this volume, or that
/// nothing leads to.
pub fn run(arguments: &Locate) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    match &arguments.chunk {
        Some(file) => owner(&opened, file, arguments.json),
        None => files(&opened, arguments.json),
    }
}

/// Prints the chunk files of a path, also where they cannot be read.
fn files(opened: &Opened, json: bool) -> Result<(), Failure> {
    let (inode, _) = opened.found()?;
    let context = opened.reader.context();
    let print =
        |index: ChunkIndex| print_line(&context.file_name(ChunkId { inode, index }).path(), index, json);
    print(ChunkIndex::FIRST)?;
    let further = opened.reader.node(inode).and_then(|node| node.further());
    let further = further.map_err(|error| opened.failure(&error))?;
    further.into_iter().try_for_each(|(index, _)| print(index))
}

fn print_line(file: &str, index: ChunkIndex, json: bool) -> Result<(), Failure> {
    let line = if json { json!({ "file": file, "index": index.0 }).to_string() } else { file.to_owned() };
    report::print(&format!("{line}\n"))
}

/// Prints the path that a chunk file, or a copy of one, belongs to.
fn owner(opened: &Opened, file: &Path, json: bool) -> Result<(), Failure> {
    let id = named(file).and_then(|name| opened.reader.context().identify(name));
    let id = id.ok_or_else(|| advice::no_chunk_file(file))?;
    if let Some(device) = id.inode.journal_of() {
        let device = hex::encode(&device.0);
        return report::print(&match json {
            true => format!("{}\n", json!({ "journal_of": device })),
            false => format!("the journal of the device {device}\n"),
        });
    }
    let path = opened.reader.path_of(id.inode).ok_or_else(|| advice::nothing_leads_to(file))?;
    if !json {
        return report::print(&format!(
            "{}\n",
            if path.is_empty() { "/".into() } else { advice::escape(&path) }
        ));
    }
    let mut object = json!({ "index": id.index.0 });
    shown::put(&mut object, "path", &path);
    report::print(&format!("{object}\n"))
}

/// The name that the end of a path gives.
fn named(file: &Path) -> Option<FileName> {
    let bytes = file.as_os_str().as_bytes();
    let mut parts = bytes.rsplit(|byte| *byte == b'/');
    let last = parts.next()?;
    let folder = parts.next().unwrap_or_default();
    let below = [folder, b"/", last].concat();
    let chunk = FileName::parse(Area::Chunks, &below).or_else(|| CopyName::parse(&below).map(|copy| copy.of));
    chunk.or_else(|| FileName::parse(Area::Journals, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_names_a_chunk_file_a_copy_of_one_or_a_journal() {
        let digits = "0123456789abcdef0123456789abcd";
        let name = |path: &str| named(Path::new(path)).map(|name| name.path());
        let chunk = Some(format!("chunks/a7/{digits}"));
        assert_eq!(name(&format!("a7/{digits}")), chunk);
        assert_eq!(name(&format!("/some/where/chunks/a7/{digits}")), chunk);
        assert_eq!(name(&format!("chunks/a7/{digits} (conflict).x")), chunk);
        assert_eq!(name(&format!("journals/a7{digits}")), Some(format!("journals/a7{digits}")));
        assert_eq!(name(digits), None);
        assert_eq!(name("a7/0123"), None);
    }
}
