//! `cryptfs ls` and `cryptfs tree`.

use super::shown;
use super::target::{Opened, Unread, below};
use crate::chunk::InodeId;
use crate::cli::advice::{self, Failure};
use crate::cli::look_args::{Ls, Tree};
use crate::cli::report;
use crate::volume::{Kind, Node};
use hashbrown::HashSet;
use std::vec;

/// Lists what the path stands for.
///
/// # Errors
///
/// As for [`Opened::open`] and [`Opened::node`]; `Exit::Unreadable` where part of it could not be read: the rest is
/// listed.
pub fn ls(arguments: &Ls) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    let node = opened.node()?;
    let mut unread = Unread::default();
    if node.record.kind != Kind::Directory {
        show(arguments, &opened.path, opened.path.rsplit(|byte| *byte == b'/').next(), Ok(&node))?;
        return Ok(());
    }
    let mut waiting = vec![(opened.path.clone(), node.id)];
    let mut passed = HashSet::new();
    while let Some((path, id)) = waiting.pop() {
        if !passed.insert(id) {
            continue;
        }
        let folders = list(arguments, &opened, &path, id, &mut unread)?;
        if arguments.recursive {
            waiting.extend(folders.into_iter().rev());
        }
    }
    unread.tell()
}

/// Lists one folder; answers the folders in it.
fn list(
    arguments: &Ls,
    opened: &Opened,
    path: &[u8],
    id: InodeId,
    unread: &mut Unread,
) -> Result<Vec<(Vec<u8>, InodeId)>, Failure> {
    let children = match opened.reader.node(id).and_then(|node| opened.children(&node)) {
        Ok(children) => children,
        Err(error) => {
            unread.add(opened, path, &error);
            return Ok(Vec::new());
        }
    };
    if arguments.recursive && !arguments.json {
        report::print(&format!("{}:\n", advice::escape(path)))?;
    }
    let mut folders = Vec::new();
    for (name, id, kind) in children {
        let at = below(path, &name);
        // Names alone need no look at what they stand for.
        let node = (arguments.long || arguments.json).then(|| opened.reader.node(id)).transpose();
        match &node {
            Ok(node) => show(arguments, &at, Some(&name), node.as_ref().ok_or(kind))?,
            Err(error) => {
                // A folder that is listed too is told of there.
                if !(arguments.recursive && kind == Kind::Directory) {
                    unread.add(opened, &at, error);
                }
                show(arguments, &at, Some(&name), Err(kind))?;
            }
        }
        folders.extend((kind == Kind::Directory).then_some((at, id)));
    }
    if arguments.recursive && !arguments.json {
        report::print("\n")?;
    }
    Ok(folders)
}

/// Prints one entry; `node` or else its kind.
fn show(arguments: &Ls, path: &[u8], name: Option<&[u8]>, node: Result<&Node, Kind>) -> Result<(), Failure> {
    let name = name.unwrap_or_default();
    let record = node.as_ref().ok().map(|node| &node.record);
    if arguments.json {
        let object = record.map_or_else(
            || {
                let mut object = shown::json_entry(path, node.as_ref().err().copied().unwrap_or(Kind::File));
                object["unreadable"] = true.into();
                object
            },
            |record| shown::json_record(path, record),
        );
        return report::print(&format!("{object}\n"));
    }
    match arguments.long {
        true => report::print(&shown::long_line(name, record)),
        false => report::print(&format!("{}\n", advice::escape(name))),
    }
}

/// Lists all that is below the path.
///
/// # Errors
///
/// As for [`ls`].
pub fn tree(arguments: &Tree) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    let node = opened.node()?;
    let mut branches = Branches { opened: &opened, open: Vec::new(), unread: Unread::default() };
    if !arguments.json {
        report::print(&format!("{}\n", advice::escape(&opened.path)))?;
    }
    let (mut path, mut indent, mut passed) = (opened.path.clone(), String::new(), HashSet::new());
    if node.record.kind == Kind::Directory {
        branches.enter(&node, &path, &indent, &mut passed);
    }
    while let Some(folder) = branches.open.last_mut() {
        path.truncate(folder.path);
        indent.truncate(folder.indent);
        let Some((name, id, kind)) = folder.rest.next() else {
            branches.open.pop();
            continue;
        };
        let is_last = folder.rest.len() == 0;
        let (branch, more) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        path = below(&path, &name);
        report::print(&match arguments.json {
            true => format!("{}\n", shown::json_entry(&path, kind)),
            false => format!("{indent}{branch}{}\n", advice::escape(&name)),
        })?;
        if kind == Kind::Directory {
            indent += more;
            match opened.reader.node(id) {
                Ok(node) => branches.enter(&node, &path, &indent, &mut passed),
                Err(error) => branches.unread.add(&opened, &path, &error),
            }
        }
    }
    branches.unread.tell()
}

/// No recursion: folders may lie deeper in one another than a stack is.
struct Branches<'a> {
    opened: &'a Opened,
    /// Each in the one before it.
    open: Vec<Branch>,
    unread: Unread,
}

/// A folder of which not everything is listed yet.
struct Branch {
    /// How long its path is, and what stands before the names in it.
    path: usize,
    indent: usize,
    rest: vec::IntoIter<(Vec<u8>, InodeId, Kind)>,
}

impl Branches<'_> {
    fn enter(&mut self, directory: &Node, path: &[u8], indent: &str, passed: &mut HashSet<InodeId>) {
        if !passed.insert(directory.id) {
            return;
        }
        match self.opened.children(directory) {
            Ok(children) => {
                let (path, indent) = (path.len(), indent.len());
                self.open.push(Branch { path, indent, rest: children.into_iter() });
            }
            Err(error) => self.unread.add(self.opened, path, &error),
        }
    }
}
