//! `cryptfs export`: a part of a volume copied into a folder, or as a tar stream to standard output.
//!
//! The walk is here: each name in turn, folders before what is in them, an inode's further names as links to the first. What
//! the destination cannot hold is told, and the rest goes there. `folder.rs` and `tar.rs` are where it goes.

mod folder;
mod tar;

use super::advice::{self, Failure};
use super::look::{Opened, Unread, below, is_within, split};
use super::look_args::Export;
use super::report;
use crate::chunk::InodeId;
use crate::volume::{Content, Kind, Lost, Node, Record};
use folder::Folder;
use hashbrown::{HashMap, HashSet};
use indicatif::{ProgressBar, ProgressStyle};
use std::io;
use std::ops::Range;
use std::time::Duration;
use std::vec;

/// Bytes read at a time: whole blocks.
const PIECE: u64 = 1 << 20;

/// Where an export goes. Paths are relative to it; the empty one is what is exported itself.
trait Destination {
    /// A folder, which is there when this returns. What goes into it follows; `finish_folder` comes last.
    fn folder(&mut self, path: &[u8], record: &Record) -> io::Result<()>;
    fn finish_folder(&mut self, path: &[u8], record: &Record) -> io::Result<()>;
    /// A file, whether it has to be copied, and its content.
    fn file(&mut self, path: &[u8], node: &Node, source: &mut Source<'_>) -> io::Result<()>;
    /// A further name of something that was exported under another path.
    fn link(&mut self, path: &[u8], to: &[u8]) -> io::Result<()>;
    /// A symlink, FIFO, socket or device. What the destination has no such things for is `Unsupported`.
    fn special(&mut self, path: &[u8], node: &Node) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
    /// Whether others can still be exported after this error of one.
    fn goes_on_after(&self, error: &io::Error) -> bool;
    /// Attributes that could not be kept.
    fn not_kept(&self) -> usize;
}

/// The content of a file that is exported.
struct Source<'a> {
    content: Content<'a>,
    size: u64,
    /// Where there is data; the rest is holes.
    data: Vec<Range<u64>>,
    lost: Vec<Lost>,
    bar: &'a ProgressBar,
}

impl<'a> Source<'a> {
    fn new(opened: &'a Opened, node: &'a Node, bar: &'a ProgressBar) -> Source<'a> {
        let mut content = Content::new(&opened.reader, node);
        let layout = content.layout();
        Source { content, size: node.record.size, data: layout.data, lost: layout.lost, bar }
    }

    /// Hands over all data in order, each piece with its offset; what cannot be read as zeros.
    fn copy(&mut self, take: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = vec![0; PIECE as usize];
        for range in &self.data {
            // Data begins at a block's start, and ends at one's end or the file's.
            for offset in (range.start..range.end).step_by(PIECE as usize) {
                let length = (range.end - offset).min(PIECE);
                let whole = length.next_multiple_of(crate::chunk::BLOCK as u64) as usize;
                self.content.read_rest(offset, &mut buffer[..whole], &mut self.lost);
                take(offset, &buffer[..length as usize])?;
                self.bar.inc(length);
            }
        }
        Ok(())
    }
}

/// Exports what the path stands for.
///
/// # Errors
///
/// As for [`Opened::open`] and [`Opened::node`]; `Exit::Unreadable` where part of it could not be read: the rest is
/// there. Of the destination: `Exit::NotEmpty`, `Exit::Usage` for a terminal or the backing folder itself, `Exit::Failed`
/// where it fails.
pub fn run(arguments: &Export) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    let node = opened.node()?;
    let unread = match arguments.destination.as_os_str() == "-" {
        true => {
            let mut tar = tar::Tar::to_stdout(&opened)?;
            Walk::new(&opened, &mut tar, "standard output".to_owned()).run(&node)
        }
        false => {
            let at = &arguments.destination;
            if is_within(at, &split(&arguments.at.target).0) {
                return Err(advice::export_into_itself(at));
            }
            let entries = opened.reader.entries(&node).ok();
            let is_taken = |name: &[u8]| entries.as_ref().is_some_and(|entries| entries.get(name).is_some());
            let mut folder = Folder::open(at, node.record.kind, arguments.resume, &is_taken)?;
            Walk::new(&opened, &mut folder, at.display().to_string()).run(&node)
        }
    };
    unread?.tell()
}

struct Walk<'a, D> {
    opened: &'a Opened,
    destination: &'a mut D,
    /// What to call it.
    name: String,
    unread: Unread,
    /// Where inodes with several names went first.
    first: HashMap<InodeId, Vec<u8>>,
    /// Further names that could not be links, and became copies.
    copies: usize,
    passed: HashSet<InodeId>,
    /// Folders that are being exported, each in the one before it: no recursion, for they may lie deeper than a stack is.
    open: Vec<OpenFolder>,
    bar: ProgressBar,
}

/// A folder of which not everything is exported yet.
struct OpenFolder {
    record: Record,
    /// How long its path is.
    length: usize,
    rest: vec::IntoIter<(Vec<u8>, InodeId, Kind)>,
}

impl<'a, D: Destination> Walk<'a, D> {
    fn new(opened: &'a Opened, destination: &'a mut D, name: String) -> Walk<'a, D> {
        // Hidden by itself where stderr is no terminal.
        let bar = ProgressBar::new_spinner().with_style(style());
        bar.enable_steady_tick(Duration::from_millis(200));
        let (unread, first, passed) = (Unread::default(), HashMap::new(), HashSet::new());
        Walk { opened, destination, name, unread, first, copies: 0, passed, open: Vec::new(), bar }
    }

    fn run(mut self, node: &Node) -> Result<Unread, Failure> {
        let walked = self.all(node).and_then(|()| self.destination.finish());
        self.bar.finish_and_clear();
        if let Err(error) = walked {
            // What could not be read until then is told all the same.
            let _ = self.unread.tell();
            return Err(match error.kind() {
                io::ErrorKind::BrokenPipe => advice::stream_closed(),
                _ => advice::system(self.name, &error),
            });
        }
        let not_kept = self.destination.not_kept();
        if not_kept > 0 {
            log::warn!(
                "{not_kept} attributes could not be kept: the destination or this user's rights lack them"
            );
        }
        if self.copies > 0 {
            log::warn!("{} further names of files became copies: they could not be links", self.copies);
        }
        Ok(self.unread)
    }

    fn all(&mut self, node: &Node) -> io::Result<()> {
        let mut path = Vec::new();
        self.put(node, &path)?;
        while let Some(folder) = self.open.last_mut() {
            path.truncate(folder.length);
            let Some((name, id, _)) = folder.rest.next() else {
                let folder = self.open.pop();
                folder.map_or(Ok(()), |folder| self.destination.finish_folder(&path, &folder.record))?;
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            let done = match self.opened.reader.node(id) {
                Ok(child) => self.put(&child, &path),
                Err(error) => {
                    self.unread.add(self.opened, &below(&self.opened.path, &path), &error);
                    continue;
                }
            };
            match done {
                Err(error) if self.destination.goes_on_after(&error) => {
                    let what = format!("not exported: {}", advice::plain(&error));
                    self.unread.remark(&below(&self.opened.path, &path), &what);
                }
                done => done?,
            }
        }
        Ok(())
    }

    fn put(&mut self, node: &Node, path: &[u8]) -> io::Result<()> {
        if node.record.kind == Kind::Directory {
            return self.put_folder(node, path);
        }
        if let Some(first) = self.first.get(&node.id) {
            match self.destination.link(path, first) {
                // The destination has no links, or not so many of one file.
                Err(error) if self.destination.goes_on_after(&error) => self.copies += 1,
                linked => return linked,
            }
        }
        self.bar.set_message(advice::escape(path));
        let is_there = match node.record.kind {
            Kind::File => self.put_file(node, path).map(|()| true),
            _ => self.put_special(node, path),
        }?;
        if is_there && node.record.links_count > 1 {
            self.first.insert(node.id, path.to_vec());
        }
        Ok(())
    }

    /// Answers whether it is there then.
    fn put_special(&mut self, node: &Node, path: &[u8]) -> io::Result<bool> {
        match self.destination.special(path, node) {
            // As tar(1) itself has it: said, and no failure.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let what = advice::escape(&below(&self.opened.path, path));
                report::complain(&format!("{what}: not exported: {}", advice::plain(&error)));
                Ok(false)
            }
            made => made.map(|()| true),
        }
    }

    fn put_file(&mut self, node: &Node, path: &[u8]) -> io::Result<()> {
        let mut source = Source::new(self.opened, node, &self.bar);
        self.destination.file(path, node, &mut source)?;
        for Lost { range, error } in source.lost {
            let what = advice::reading(self.opened.reader.context(), &error);
            let what = format!("bytes {} to {} are lost: {what}", range.start, range.end);
            self.unread.remark(&below(&self.opened.path, path), &what);
        }
        Ok(())
    }

    fn put_folder(&mut self, node: &Node, path: &[u8]) -> io::Result<()> {
        let whole = below(&self.opened.path, path);
        if !self.passed.insert(node.id) {
            self.unread.remark(&whole, "this folder lies in several places; it is exported once");
            return Ok(());
        }
        self.destination.folder(path, &node.record)?;
        let rest = self.opened.children(node).unwrap_or_else(|error| {
            self.unread.add(self.opened, &whole, &error);
            Vec::new()
        });
        let (record, length) = (node.record.clone(), path.len());
        self.open.push(OpenFolder { record, length, rest: rest.into_iter() });
        Ok(())
    }
}

fn style() -> ProgressStyle {
    let template = "{spinner} {bytes} in {elapsed}, {binary_bytes_per_sec}  {wide_msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
