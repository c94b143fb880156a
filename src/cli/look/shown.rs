//! How an inode is printed, for people and as JSON.

use crate::cli::{advice, report};
use crate::volume::{Kind, Record, Timestamp};
use serde_json::{Value, json};

/// The word for a kind in JSON.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::CharDevice => "char device",
        Kind::BlockDevice => "block device",
    }
}

/// Ten characters, as ls(1) has them.
pub fn mode(record: &Record) -> String {
    let first = match record.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::CharDevice => 'c',
        Kind::BlockDevice => 'b',
    };
    let mut shown = vec![first];
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = record.mode >> shift;
        shown.push(if bits & 4 != 0 { 'r' } else { '-' });
        shown.push(if bits & 2 != 0 { 'w' } else { '-' });
        shown.push(match (bits & 1 != 0, record.mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    shown.into_iter().collect()
}

/// To the minute, UTC; a time before 1970 as its number of seconds.
pub fn time(time: Timestamp) -> String {
    u64::try_from(time.seconds).map_or_else(|_| format!("{} s", time.seconds), report::time)
}

/// Major and minor number of a device, from Linux's 32-bit encoding.
pub fn device(record: &Record) -> (u32, u32) {
    (record.device >> 8 & 0xfff, record.device & 0xff | record.device >> 12 & 0xfff00)
}

/// Size, or the numbers of a device.
pub fn size(record: &Record) -> String {
    match record.kind {
        Kind::CharDevice | Kind::BlockDevice => {
            let (major, minor) = device(record);
            format!("{major}, {minor}")
        }
        _ => record.size.to_string(),
    }
}

/// A text and, if it is not UTF-8, the exact bytes in hex.
pub fn put(object: &mut Value, member: &str, bytes: &[u8]) {
    object[member] = String::from_utf8_lossy(bytes).into();
    if str::from_utf8(bytes).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        object[format!("{member}_hex")] = hex.into();
    }
}

/// Path and kind, of something that cannot be read too.
pub fn json_entry(path: &[u8], of: Kind) -> Value {
    let mut object = json!({ "kind": kind(of) });
    put(&mut object, "path", path);
    object
}

/// Everything of a record but the values of xattrs.
pub fn json_record(path: &[u8], record: &Record) -> Value {
    let moment = |time: Timestamp| json!({ "seconds": time.seconds, "nanoseconds": time.nanoseconds });
    let mut object = json_entry(path, record.kind);
    object["mode"] = format!("{:04o}", record.mode).into();
    object["links"] = record.links_count.into();
    object["uid"] = record.uid.into();
    object["gid"] = record.gid.into();
    object["size"] = record.size.into();
    object["accessed"] = moment(record.accessed);
    object["modified"] = moment(record.modified);
    object["changed"] = moment(record.changed);
    object["born"] = moment(record.born);
    if matches!(record.kind, Kind::CharDevice | Kind::BlockDevice) {
        let (major, minor) = device(record);
        object["device"] = json!({ "major": major, "minor": minor });
    }
    if record.kind == Kind::Symlink {
        put(&mut object, "target", &record.extension.target);
    }
    let xattrs: Vec<_> =
        record.extension.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    object["xattrs"] = xattrs.into();
    object
}

/// One line as of `ls -l`. `None`: it cannot be read.
pub fn long_line(name: &[u8], record: Option<&Record>) -> String {
    let name = advice::escape(name);
    let Some(record) = record else {
        return format!("?????????? {:>3} {:>5} {:>5} {:>10} {:>20} {name}\n", "?", "?", "?", "?", "?");
    };
    let target = match record.kind {
        Kind::Symlink => format!(" -> {}", advice::escape(&record.extension.target)),
        _ => String::new(),
    };
    format!(
        "{} {:>3} {:>5} {:>5} {:>10} {:>20} {name}{target}\n",
        mode(record),
        record.links_count,
        record.uid,
        record.gid,
        size(record),
        time(record.modified),
    )
}
