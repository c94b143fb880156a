//! `cryptfs du`.

use super::shown;
use super::target::{Opened, Unread, below};
use crate::chunk::InodeId;
use crate::cli::advice::{self, Failure};
use crate::cli::look_args::Du;
use crate::cli::{report, visible};
use crate::volume::{Kind, Node};
use hashbrown::HashSet;
use serde_json::json;
use std::vec;

/// Prints how many bytes of content there are in and below what the path stands for.
///
/// # Errors
///
/// As for [`Opened::open`] and [`Opened::node`]; `Exit::Unreadable` where part of it could not be read: the rest is
/// counted.
pub fn run(arguments: &Du) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    let node = opened.node()?;
    let mut sums = Sums { arguments, opened: &opened, counted: HashSet::new(), unread: Unread::default() };
    let path = opened.path.clone();
    let total = sums.add_up(&node, path.clone())?;
    if node.record.kind != Kind::Directory || arguments.summarize {
        sums.print(total, &path)?;
    }
    sums.unread.tell()
}

struct Sums<'a> {
    arguments: &'a Du,
    opened: &'a Opened,
    counted: HashSet<InodeId>,
    unread: Unread,
}

/// A folder of which not everything is counted yet.
struct OpenFolder {
    /// How long its path is.
    length: usize,
    sum: u64,
    rest: vec::IntoIter<(Vec<u8>, InodeId, Kind)>,
}

impl Sums<'_> {
    /// Bytes of content in and below an inode. No recursion: folders may lie deeper in one another than a stack is.
    fn add_up(&mut self, node: &Node, mut path: Vec<u8>) -> Result<u64, Failure> {
        let mut open = Vec::new();
        let mut sum = self.count(node, &path, &mut open);
        while let Some(folder) = open.last_mut() {
            path.truncate(folder.length);
            if let Some((name, id, _)) = folder.rest.next() {
                path = below(&path, &name);
                match self.opened.reader.node(id) {
                    Ok(node) => {
                        // Nothing yet, if it is a folder.
                        let size = self.count(&node, &path, &mut open);
                        *open.last_mut().map_or(&mut sum, |folder| &mut folder.sum) += size;
                    }
                    Err(error) => self.unread.add(self.opened, &path, &error),
                }
                continue;
            }
            let all = folder.sum;
            open.pop();
            if !self.arguments.summarize {
                self.print(all, &path)?;
            }
            *open.last_mut().map_or(&mut sum, |above| &mut above.sum) += all;
        }
        Ok(sum)
    }

    /// Bytes of a file that was not counted yet; a folder is opened.
    fn count(&mut self, node: &Node, path: &[u8], open: &mut Vec<OpenFolder>) -> u64 {
        if !self.counted.insert(node.id) {
            return 0;
        }
        match node.record.kind {
            Kind::File => return node.record.size,
            Kind::Directory => {}
            _ => return 0,
        }
        match self.opened.children(node) {
            Err(error) => self.unread.add(self.opened, path, &error),
            Ok(children) => {
                open.push(OpenFolder { length: path.len(), sum: 0, rest: children.into_iter() });
            }
        }
        0
    }

    fn print(&self, sum: u64, path: &[u8]) -> Result<(), Failure> {
        let line = match self.arguments.json {
            true => {
                let mut object = json!({ "bytes": sum });
                shown::put(&mut object, "path", path);
                object.to_string()
            }
            // What du(1) puts between, which `print` would escape.
            false => {
                return report::print_as_it_is(
                    format!("{sum}\t{}\n", visible::line(&advice::escape(path))).as_bytes(),
                );
            }
        };
        report::print(&format!("{line}\n"))
    }
}
