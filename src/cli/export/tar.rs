//! An export as a tar stream: pax headers for what ustar has no room for (long names, xattrs, times to the nanosecond),
//! GNU's sparse format 1.0 for files with holes. GNU tar, bsdtar and Python read it.

use super::{Destination, Opened, Source};
use crate::cli::advice::{self, Failure};
use crate::cli::look::device;
use crate::volume::{Kind, Node, Record, Timestamp};
use std::io::{self, BufWriter, IsTerminal, Read, Stdout, Write};
use tar::{Builder, EntryType, Header};

const RECORD: usize = 512;
/// The largest number in 11 octal digits.
const USTAR_NUMBER: u64 = 0o77_777_777_777;
const USTAR_ID: u32 = 0o7_777_777;

pub struct Tar {
    builder: Builder<BufWriter<Stdout>>,
    /// The name of what is exported.
    top: Vec<u8>,
}

/// Extended headers of one entry.
type Pax = Vec<(Vec<u8>, Vec<u8>)>;

impl Tar {
    /// A stream to standard output.
    ///
    /// # Errors
    ///
    /// `Exit::Usage` where that is a terminal.
    pub fn to_stdout(opened: &Opened) -> Result<Tar, Failure> {
        if io::stdout().is_terminal() {
            return Err(advice::tar_to_terminal());
        }
        let top = opened.path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty());
        let top = top.unwrap_or(b".").to_vec();
        Ok(Tar { builder: Builder::new(BufWriter::with_capacity(1 << 20, io::stdout())), top })
    }

    fn name(&self, path: &[u8]) -> Vec<u8> {
        if path.is_empty() { self.top.clone() } else { [&self.top, path].join(&b'/') }
    }

    /// Writes the headers of an entry. `stored`: the bytes that follow.
    fn head(
        &mut self,
        name: &[u8],
        record: &Record,
        kind: EntryType,
        target: &[u8],
        mut pax: Pax,
        stored: u64,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(record.mode);
        let seconds = u64::try_from(record.modified.seconds).unwrap_or(0);
        header.set_mtime(seconds.min(USTAR_NUMBER));
        header.set_uid(record.uid.min(USTAR_ID).into());
        header.set_gid(record.gid.min(USTAR_ID).into());
        header.set_size(stored.min(USTAR_NUMBER));
        pax.push((b"mtime".into(), decimal(record.modified)));
        pax.push((b"atime".into(), decimal(record.accessed)));
        pax.push((b"ctime".into(), decimal(record.changed)));
        let mut number = |key: &str, value: u64, most: u64| {
            if value > most {
                pax.push((key.into(), value.to_string().into_bytes()));
            }
        };
        number("uid", record.uid.into(), USTAR_ID.into());
        number("gid", record.gid.into(), USTAR_ID.into());
        number("size", stored, USTAR_NUMBER);
        if matches!(record.kind, Kind::CharDevice | Kind::BlockDevice) {
            let (major, minor) = device(record);
            header.set_device_major(major & 0o7_777_777)?;
            header.set_device_minor(minor & 0o7_777_777)?;
        }
        for (xattr, value) in &record.extension.xattrs {
            // What `tar --acls` reads: it leaves the attribute itself alone.
            let list = xattr.strip_prefix(b"system.posix_acl_").zip(acl_text(value));
            pax.extend(list.map(|(which, text)| ([b"SCHILY.acl.", which].concat(), text.into_bytes())));
            pax.push(([b"SCHILY.xattr.", &encoded(xattr)[..]].concat(), value.clone()));
        }
        let fields = header.as_ustar_mut().expect("it was made as one");
        put(&mut fields.name, name, "path", &mut pax);
        put(&mut fields.linkname, target, "linkpath", &mut pax);
        header.set_cksum();
        self.extend(&pax)?;
        self.builder.get_mut().write_all(header.as_bytes())
    }

    /// Writes the extended headers of the entry that follows.
    fn extend(&mut self, pax: &Pax) -> io::Result<()> {
        let bytes: Vec<u8> = pax.iter().flat_map(|(key, value)| line(key, value)).collect();
        if bytes.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.builder.append(&header, &bytes[..])
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let over = length as usize % RECORD;
        let zeros = [0; RECORD];
        self.builder.get_mut().write_all(&zeros[..if over == 0 { 0 } else { RECORD - over }])
    }
}

/// Puts a name into a header's field; one that does not fit, or is no ASCII, into the extended header.
fn put(field: &mut [u8; 100], name: &[u8], key: &str, pax: &mut Pax) {
    let is_short = name.len() <= field.len() && name.is_ascii();
    let shown = &name[..name.len().min(field.len())];
    field[..shown.len()].copy_from_slice(shown);
    let is_told = pax.iter().any(|(told, _)| told == b"GNU.sparse.name" && key == "path");
    if !is_short && !is_told {
        pax.push((key.into(), name.to_vec()));
    }
}

/// One line of an extended header, which begins with its own length.
fn line(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = |length: usize| length.to_string().len();
    let mut length = rest + digits(rest);
    length = rest + digits(length);
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// An xattr's name as GNU tar has it in a key, which ends before a "=".
fn encoded(name: &[u8]) -> Vec<u8> {
    name.iter()
        .flat_map(|byte| match byte {
            b'%' => b"%25".to_vec(),
            b'=' => b"%3D".to_vec(),
            byte => vec![*byte],
        })
        .collect()
}

/// An access control list in words, as in acl(5), of an attribute's value (linux/posix_acl_xattr.h).
fn acl_text(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    if entries.is_empty() || entries.len() % 8 != 0 {
        return None;
    }
    let word = |entry: &[u8]| {
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let (tag, allowed) = (number(0), number(2));
        let id = (u32::from(number(6)) << 16 | u32::from(number(4))).to_string();
        let (who, id) = match tag {
            0x01 => ("user", ""),
            0x02 => ("user", &*id),
            0x04 => ("group", ""),
            0x08 => ("group", &*id),
            0x10 => ("mask", ""),
            0x20 => ("other", ""),
            _ => return None,
        };
        let allows = |bit: u16, letter: char| if allowed & bit == 0 { '-' } else { letter };
        Some(format!("{who}:{id}:{}{}{}", allows(4, 'r'), allows(2, 'w'), allows(1, 'x')))
    };
    entries.chunks_exact(8).map(word).collect::<Option<Vec<_>>>().map(|words| words.join(","))
}

/// A time in pax's notation.
fn decimal(time: Timestamp) -> Vec<u8> {
    // Nanoseconds count upward, before 1970 too.
    let (sign, seconds, nanoseconds) = match (time.seconds, time.nanoseconds) {
        (seconds @ ..0, 1..) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - time.nanoseconds),
        (seconds @ ..0, 0) => ("-", seconds.unsigned_abs(), 0),
        (seconds, nanoseconds) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    format!("{sign}{seconds}.{nanoseconds:09}").into_bytes()
}

impl Destination for Tar {
    fn folder(&mut self, path: &[u8], record: &Record) -> io::Result<()> {
        let name = [&self.name(path)[..], b"/"].concat();
        self.head(&name, record, EntryType::Directory, b"", Pax::new(), 0)
    }

    fn finish_folder(&mut self, _: &[u8], _: &Record) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, path: &[u8], node: &Node, source: &mut Source<'_>) -> io::Result<()> {
        let (name, record) = (self.name(path), &node.record);
        let data: u64 = source.data.iter().map(|range| range.end - range.start).sum();
        let is_whole = data == source.size;
        let (mut pax, mut map) = (Pax::new(), Vec::new());
        if !is_whole {
            // A hole at the end is said by a range of no length there.
            let end =
                (source.data.last().map(|range| range.end) != Some(source.size)).then_some((source.size, 0));
            let ranges = source.data.iter().map(|range| (range.start, range.end - range.start)).chain(end);
            let ranges: Vec<_> = ranges.collect();
            map = format!("{}\n", ranges.len()).into_bytes();
            ranges.iter().for_each(|(at, length)| map.extend(format!("{at}\n{length}\n").bytes()));
            map.resize(map.len().next_multiple_of(RECORD), 0);
            for (key, value) in [("major", "1".to_owned()), ("minor", "0".to_owned())] {
                pax.push((format!("GNU.sparse.{key}").into_bytes(), value.into_bytes()));
            }
            pax.push((b"GNU.sparse.name".into(), name.clone()));
            pax.push((b"GNU.sparse.realsize".into(), source.size.to_string().into_bytes()));
        }
        let stored = map.len() as u64 + data;
        self.head(&name, record, EntryType::Regular, b"", pax, stored)?;
        self.builder.get_mut().write_all(&map)?;
        let out = self.builder.get_mut();
        source.copy(&mut |_, bytes| out.write_all(bytes))?;
        self.pad(stored)
    }

    fn link(&mut self, path: &[u8], to: &[u8]) -> io::Result<()> {
        let (name, target) = (self.name(path), self.name(to));
        let mut pax = Pax::new();
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Link);
        header.set_size(0);
        let fields = header.as_ustar_mut().expect("it was made as one");
        put(&mut fields.name, &name, "path", &mut pax);
        put(&mut fields.linkname, &target, "linkpath", &mut pax);
        header.set_cksum();
        self.extend(&pax)?;
        self.builder.append(&header, io::empty().take(0))
    }

    fn special(&mut self, path: &[u8], node: &Node) -> io::Result<()> {
        let record = &node.record;
        let (kind, target) = match record.kind {
            Kind::Symlink => (EntryType::Symlink, &record.extension.target[..]),
            Kind::Fifo => (EntryType::Fifo, &[][..]),
            Kind::CharDevice => (EntryType::Char, &[][..]),
            Kind::BlockDevice => (EntryType::Block, &[][..]),
            Kind::Socket | Kind::File | Kind::Directory => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "tar has no sockets"));
            }
        };
        self.head(&self.name(path), record, kind, target, Pax::new(), 0)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.builder.finish()?;
        self.builder.get_mut().flush()
    }

    fn goes_on_after(&self, _: &io::Error) -> bool {
        false
    }

    fn not_kept(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::acl_text;

    #[test]
    fn a_list_of_access_in_words() {
        let list = |entries: &[(u16, u16, u32)]| {
            let mut bytes = 2u32.to_le_bytes().to_vec();
            for (tag, allowed, id) in entries {
                bytes.extend(tag.to_le_bytes().iter().chain(&allowed.to_le_bytes()).chain(&id.to_le_bytes()));
            }
            acl_text(&bytes)
        };
        let none = u32::MAX;
        let all = [(1, 7, none), (2, 4, 100_000), (4, 5, none), (8, 2, 33), (0x10, 7, none), (0x20, 0, none)];
        let text = "user::rwx,user:100000:r--,group::r-x,group:33:-w-,mask::rwx,other::---";
        assert_eq!(list(&all).as_deref(), Some(text));
        assert_eq!(
            [list(&[]), list(&[(3, 7, 0)]), acl_text(b""), acl_text(&[2, 0, 0, 0, 1])],
            [const { None }; 4]
        );
    }
}
