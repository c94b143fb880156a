//! `cryptfs stat`.

use super::shown;
use super::target::Opened;
use crate::cli::advice::{self, Failure};
use crate::cli::look_args::Stat;
use crate::cli::report;
use crate::volume::Kind;

/// Prints the attributes of an inode.
///
/// # Errors
///
/// As for [`Opened::open`] and [`Opened::node`].
pub fn run(arguments: &Stat) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    let node = opened.node()?;
    let record = &node.record;
    if arguments.json {
        return report::print(&format!("{:#}\n", shown::json_record(&opened.path, record)));
    }
    let mut lines = vec![
        ("Path", advice::escape(&opened.path)),
        ("Kind", shown::kind(record.kind).to_owned()),
        ("Size", shown::size(record)),
        ("Mode", format!("{:04o} ({})", record.mode, shown::mode(record))),
        ("Owner", format!("{} : {}", record.uid, record.gid)),
        ("Links", record.links_count.to_string()),
        ("Accessed", shown::time(record.accessed)),
        ("Modified", shown::time(record.modified)),
        ("Changed", shown::time(record.changed)),
        ("Born", shown::time(record.born)),
    ];
    if record.kind == Kind::Symlink {
        lines.push(("Target", advice::escape(&record.extension.target)));
    }
    for (name, value) in &record.extension.xattrs {
        lines.push(("Xattr", format!("{} ({} bytes)", advice::escape(name), value.len())));
    }
    if let Some(head) = node.head() {
        lines.push(("Chunk file", opened.reader.context().file_name(head.id()).path()));
    }
    let text: String = lines.iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect();
    report::print(&text)
}
