//! The plaintext of a root (docs/FORMAT.md section 6.1): encoded and decoded, nothing else.
//!
//! What is decoded here was authenticated before; it is checked all the same, and nonsense is an error.

use super::blocks::ROOT_PLAIN;
use super::entry::{ENTRY, Entry, GROUP, RootTable, position};
use super::{Commit, DeviceId, Version};

/// Bytes of the plaintext.
pub(super) const PLAIN: usize = ROOT_PLAIN.end - ROOT_PLAIN.start;
/// Most entries of a version vector.
pub(super) const DEVICES: usize = 16;
/// Most bytes of a record.
pub(super) const RECORD: usize = 1024;
/// Metadata blocks of a chunk.
pub(super) const METADATA: u16 = 4160;

const VERSION: u8 = 1;
const SETTLED: u8 = 1;
const DATA_MAPPED: u8 = 2;
const METADATA_MAPPED: u8 = 4;
const HEADER: usize = 24;
const DEVICE: usize = 16;
const LISTED: usize = 2 + ENTRY;
/// Far above any clock, and far below where counting on would wrap.
const COMMITS: u64 = 1 << 63;

/// What a root says.
pub(super) struct Root<'a> {
    pub settled: bool,
    pub version: &'a Version,
    pub seals: u64,
    pub record: &'a [u8],
    pub inline: &'a [u8],
    pub data: RootTable,
    pub metadata: RootTable,
}

/// A decoded root, on its own.
pub(super) struct Decoded {
    pub settled: bool,
    pub version: Version,
    pub seals: u64,
    pub record: Vec<u8>,
    pub inline: Vec<u8>,
    pub data: RootTable,
    pub metadata: RootTable,
}

/// Bytes that a root takes up.
pub(super) const fn size(devices: usize, record: usize, inline: usize, listed: usize) -> usize {
    HEADER + DEVICE * devices + record + inline + LISTED * listed
}

impl Root<'_> {
    /// Writes the plaintext. The caller has seen to it that everything fits.
    pub fn encode(&self, out: &mut [u8]) {
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = flag(self.settled, SETTLED)
            | flag(!self.data.maps.is_empty(), DATA_MAPPED)
            | flag(!self.metadata.maps.is_empty(), METADATA_MAPPED);
        let mut out = Writer { out, at: 0 };
        out.put(&[VERSION, flags]);
        let ([data, beside_data], [metadata, beside_metadata]) = (self.data.counts(), self.metadata.counts());
        let lengths = [self.version.0.len(), self.record.len(), self.inline.len()];
        let counts = lengths.into_iter().chain([data, metadata, beside_data, beside_metadata]);
        counts.for_each(|count| out.put(&(count as u16).to_le_bytes()));
        out.put(&self.seals.to_le_bytes());
        for (device, commit) in &self.version.0 {
            out.put(&device.0);
            out.put(&commit.0.to_le_bytes());
        }
        out.put(self.record);
        out.put(self.inline);
        let tables = [&self.data, &self.metadata].into_iter();
        for (number, entry) in tables.flat_map(|table| table.maps.iter().chain(&table.entries)) {
            out.put(&number.to_le_bytes());
            out.put(&entry.encode());
        }
        let end = out.at;
        out.out[end..].fill(0);
    }
}

impl Decoded {
    /// `blocks`: data blocks that the chunk may have.
    pub fn decode(bytes: &[u8], blocks: u16) -> Result<Decoded, &'static str> {
        let mut from = Reader(bytes);
        let [version, flags] = from.take()?;
        if version != VERSION {
            return Err("its root has an unknown version");
        }
        if flags & !(SETTLED | DATA_MAPPED | METADATA_MAPPED) != 0 {
            return Err("its root has unknown flags");
        }
        let [devices, record, inline, data, metadata, beside_data, beside_metadata] = from.counts()?;
        if !(1..=DEVICES).contains(&devices) || record > RECORD {
            return Err("its root has a count out of bounds");
        }
        let root = Decoded {
            settled: flags & SETTLED != 0,
            seals: u64::from_le_bytes(from.take()?),
            version: from.version(devices)?,
            record: from.bytes(record)?.to_vec(),
            inline: from.bytes(inline)?.to_vec(),
            data: from.table([data, beside_data], flags & DATA_MAPPED != 0, blocks)?,
            metadata: from.table([metadata, beside_metadata], flags & METADATA_MAPPED != 0, METADATA)?,
        };
        let tables = [&root.data, &root.metadata].into_iter();
        let listed = tables.flat_map(|table| table.maps.iter().chain(&table.entries));
        let mut slots: Vec<u16> = listed.filter(|(_, entry)| !entry.is_hole()).map(|e| e.1.slot).collect();
        slots.sort_unstable();
        if slots.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("its root names a slot twice");
        }
        Ok(root)
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("the parts of its root do not fit")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        Ok(self.bytes(N)?.try_into().expect("that many bytes were taken"))
    }

    fn counts(&mut self) -> Result<[usize; 7], &'static str> {
        let mut counts = [0; 7];
        for count in &mut counts {
            *count = usize::from(u16::from_le_bytes(self.take()?));
        }
        Ok(counts)
    }

    fn version(&mut self, devices: usize) -> Result<Version, &'static str> {
        let mut version = Version(Vec::with_capacity(devices));
        for _ in 0..devices {
            version.0.push((DeviceId(self.take()?), Commit(u64::from_le_bytes(self.take()?))));
        }
        let others = &version.0[1..];
        let in_order = others.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !in_order || others.iter().any(|other| other.0 == version.0[0].0) {
            return Err("its root names devices twice or out of order");
        }
        if version.0.iter().any(|entry| entry.1.0 >= COMMITS) {
            return Err("its root has a commit number out of bounds");
        }
        Ok(version)
    }

    fn table(&mut self, counts: [usize; 2], mapped: bool, blocks: u16) -> Result<RootTable, &'static str> {
        let maps = usize::from(blocks).div_ceil(GROUP);
        match (mapped, counts) {
            (false, [entries, 0]) => {
                Ok(RootTable { maps: Vec::new(), entries: self.listed(entries, blocks.into(), false)? })
            }
            (true, [count, beside]) => {
                let maps = self.listed(count, maps, false)?;
                let mut entries = self.listed(beside, blocks.into(), true)?;
                let is_mapped = |number: u16| maps.iter().any(|map| usize::from(map.0) == position(number).0);
                entries.retain(|(number, entry)| !entry.is_hole() || is_mapped(*number));
                Ok(RootTable { maps, entries })
            }
            (false, _) => Err("its root lists entries beside map blocks that it has not"),
        }
    }

    /// Entries of numbers below `limit`. Only where `holes` are allowed, slot 0 is.
    fn listed(&mut self, count: usize, limit: usize, holes: bool) -> Result<Vec<(u16, Entry)>, &'static str> {
        let mut entries: Vec<(u16, Entry)> = Vec::new();
        for _ in 0..count {
            let number = u16::from_le_bytes(self.take()?);
            let mut entry = Entry::decode(&self.take()?);
            if usize::from(number) >= limit || entries.last().is_some_and(|last| last.0 >= number) {
                return Err("a table of its root is out of order or out of bounds");
            }
            match entry.slot {
                0 if holes => entry = Entry::HOLE,
                0 | 1 => return Err("its root names a slot of the roots"),
                _ => {}
            }
            entries.push((number, entry));
        }
        Ok(entries)
    }
}
