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
    let total = sums.add_up(&node, &path)?;
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

impl Sums<'_> {
    /// Bytes of content in and below an inode that were not counted yet.
    fn add_up(&mut self, node: &Node, path: &[u8]) -> Result<u64, Failure> {
        if !self.counted.insert(node.id) {
            return Ok(0);
        }
        match node.record.kind {
            Kind::File => return Ok(node.record.size),
            Kind::Directory => {}
            _ => return Ok(0),
        }
        let mut sum = 0;
        match self.opened.children(node) {
            Err(error) => self.unread.add(self.opened, path, &error),
            Ok(children) => {
                for (name, id, _) in children {
                    let path = below(path, &name);
                    match self.opened.reader.node(id) {
                        Ok(node) => sum += self.add_up(&node, &path)?,
                        Err(error) => self.unread.add(self.opened, &path, &error),
                    }
                }
            }
        }
        if !self.arguments.summarize {
            self.print(sum, path)?;
        }
        Ok(sum)
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
