//! What lies in the backing folder: chunk files by inode, and what is none of cryptfs's.

use super::finding::{Finding, What};
use crate::chunk::{ChunkId, InodeId};
use crate::store::{Area, CopyName, FileName, is_temporary, placeholder_for};
use crate::volume::{Reader, Result};
use hashbrown::HashSet;
use std::ops::Range;

/// Digits of a chunk file's name in its folder: enough to know a copy of it by.
const DIGITS: usize = 30;

/// What was listed.
pub struct Folder {
    /// All chunk files that are no journals, in order: those of one inode stand together.
    pub chunks: Vec<ChunkId>,
    others: Vec<PlacedFile>,
}

/// A file that is no chunk file.
#[derive(Clone, Debug)]
pub struct PlacedFile {
    /// Below the backing folder.
    pub path: String,
    /// The name holds that of a chunk file.
    pub is_copy: bool,
    /// That of this volume's chunk.
    pub chunk: Option<ChunkId>,
}

impl Folder {
    /// # Errors
    ///
    /// The store's.
    pub fn list(reader: &Reader) -> Result<Folder> {
        let context = reader.context();
        let mut folder = Folder { chunks: Vec::new(), others: Vec::new() };
        for (area, name) in [(Area::Chunks, "chunks"), (Area::Journals, "journals")] {
            context.store.list(area, &mut |path, is_file| {
                let identified = FileName::parse(area, path).filter(|_| is_file);
                match identified.and_then(|file| context.identify(file)) {
                    Some(id) if area == Area::Chunks => folder.chunks.push(id),
                    Some(id) if id.index.is_first() => {}
                    // What it stands for is told of, where something wants it.
                    _ if is_placeholder(area, path) => {}
                    _ => {
                        let copy = CopyName::parse(path).filter(|_| area == Area::Chunks);
                        let chunk = copy.and_then(|copy| context.identify(copy.of));
                        let path = format!("{name}/{}", String::from_utf8_lossy(path));
                        let is_copy = is_file && holds_a_name(&path);
                        folder.others.push(PlacedFile { path, is_copy, chunk });
                    }
                }
            })?;
        }
        folder.chunks.sort_unstable();
        Ok(folder)
    }

    /// The inodes of which a sync client put a copy of chunk 0 beside it.
    pub fn copied(&self) -> HashSet<InodeId> {
        let chunks = self.others.iter().filter_map(|other| other.chunk);
        chunks.filter(|chunk| chunk.index.is_first()).map(|chunk| chunk.inode).collect()
    }

    pub fn findings(&self, reader: &Reader) -> Vec<Finding> {
        let finding = |other: &PlacedFile| Finding {
            what: if other.is_copy { What::ConflictCopy } else { What::Foreign },
            chunk: other.chunk,
            file: Some(other.path.clone()),
            path: other.chunk.and_then(|chunk| reader.path_of(chunk.inode)),
        };
        self.others.iter().map(finding).collect()
    }

    /// Where the chunks of each inode stand.
    pub fn groups(&self) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (at, chunk) in self.chunks.iter().enumerate() {
            match groups.last_mut() {
                Some(last) if self.chunks[last.start].inode == chunk.inode => last.end = at + 1,
                _ => groups.push(at..at + 1),
            }
        }
        groups
    }
}

/// Whether a client shows it for a chunk file that it has not fetched.
fn is_placeholder(area: Area, path: &[u8]) -> bool {
    placeholder_for(path).is_some_and(|path| FileName::parse(area, path).is_some())
}

/// Whether a run of lower-case hex digits in a name is as long as a chunk file's.
fn holds_a_name(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut runs = name.split(|c: char| !matches!(c, '0'..='9' | 'a'..='f'));
    runs.any(|run| matches!(run.len(), DIGITS | 32)) && !is_temporary(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::holds_a_name;

    #[test]
    fn conflict_copies_are_known_by_the_name_in_them() {
        let digits = "0123456789abcdef0123456789abcd";
        for (name, is_copy) in [
            (format!("chunks/a7/{digits} (Anna's conflicted copy 2026-01-01)"), true),
            (format!("chunks/a7/{digits}.sync-conflict-20260101-010101-ABCDEFG"), true),
            (format!("journals/ab{digits} 2"), true),
            (format!("chunks/a7/.~{}", &digits[1..]), false),
            (format!("chunks/a7/.syncthing.{digits}.tmp"), false),
            ("chunks/desktop.ini".to_owned(), false),
        ] {
            assert_eq!(holds_a_name(&name), is_copy, "{name}");
        }
    }
}
