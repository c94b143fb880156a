//! The plaintext of a root (docs/FORMAT.md section 6.1): encoded and decoded, nothing else.
//!
//! What is decoded here was authenticated before; it is checked all the same, and nonsense is an error.

use super::blocks::ROOT_PLAIN;
use super::entry::{Entry, GROUP, RootTable, Slot, StoredEntry, position};
use super::ids::StoredVersion;
use super::{BlockCount, BlockNumber, Commit, DeviceId, Version, vector};
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the plaintext.
pub(super) const PLAIN: usize = ROOT_PLAIN.end - ROOT_PLAIN.start;
/// Most entries of a version vector in a root: as many as leave room for the largest record and all map blocks.
pub(super) const DEVICES: usize = 63;
/// Most bytes of a record.
pub(super) const RECORD: usize = 1024;
/// Metadata blocks of a chunk, that of its vector included.
pub(super) const METADATA: BlockCount = BlockCount(vector::NUMBER.0 + 1);

const VERSION: u8 = 1;
const SETTLED: u8 = 1;
const DATA_MAPPED: u8 = 2;
const METADATA_MAPPED: u8 = 4;
const MORE_DEVICES: u8 = 8;
/// Far above any clock, and far below where counting on would wrap.
const COMMITS: u64 = 1 << 63;

const UNFIT: &str = "the parts of its root do not fit";

/// The beginning of the plaintext. Lengths are in bytes, the rest counts entries.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
struct Header {
    version: u8,
    flags: u8,
    devices: U16,
    record: U16,
    inline: U16,
    data: U16,
    metadata: U16,
    beside_data: U16,
    beside_metadata: U16,
    seals: U64,
}

/// An entry of a table, with its number.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
struct Listed {
    number: U16,
    entry: StoredEntry,
}

const _: () =
    assert!(size_of::<Header>() == 24 && size_of::<StoredVersion>() == 16 && size_of::<Listed>() == 32);

/// What a root says.
pub(super) struct Root<'a> {
    pub settled: bool,
    pub listed: &'a [(DeviceId, Commit)],
    /// Whether metadata block 4160 holds more of the version vector.
    pub more_devices: bool,
    pub seals: u64,
    pub record: &'a [u8],
    pub inline: &'a [u8],
    pub data: RootTable,
    pub metadata: RootTable,
}

/// A decoded root, on its own.
pub(super) struct Decoded {
    pub settled: bool,
    /// What the root lists of it.
    pub version: Version,
    /// Whether metadata block 4160 holds more of it.
    pub more_devices: bool,
    pub seals: u64,
    pub record: Vec<u8>,
    pub inline: Vec<u8>,
    pub data: RootTable,
    pub metadata: RootTable,
}

/// Bytes that a root takes up.
pub(super) const fn size(devices: usize, record: usize, inline: usize, listed: usize) -> usize {
    size_of::<Header>()
        + size_of::<StoredVersion>() * devices
        + record
        + inline
        + size_of::<Listed>() * listed
}

impl Root<'_> {
    /// Writes the plaintext to `out`, which is zeros. The caller has seen to it that everything fits.
    pub fn encode(&self, out: &mut [u8]) {
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = flag(self.settled, SETTLED)
            | flag(!self.data.maps.is_empty(), DATA_MAPPED)
            | flag(!self.metadata.maps.is_empty(), METADATA_MAPPED)
            | flag(self.more_devices, MORE_DEVICES);
        let ([data, beside_data], [metadata, beside_metadata]) = (self.data.counts(), self.metadata.counts());
        let count = |count: usize| U16::new(count as u16);
        let header = Header {
            version: VERSION,
            flags,
            devices: count(self.listed.len()),
            record: count(self.record.len()),
            inline: count(self.inline.len()),
            data: count(data),
            metadata: count(metadata),
            beside_data: count(beside_data),
            beside_metadata: count(beside_metadata),
            seals: self.seals.into(),
        };
        let mut out = Writer { out, at: 0 };
        out.put(header.as_bytes());
        self.listed.iter().for_each(|entry| out.put(StoredVersion::from(*entry).as_bytes()));
        out.put(self.record);
        out.put(self.inline);
        let tables = [&self.data, &self.metadata].into_iter();
        for (number, entry) in tables.flat_map(|table| table.maps.iter().chain(&table.entries)) {
            out.put(Listed { number: number.0.into(), entry: (*entry).into() }.as_bytes());
        }
    }
}

impl Decoded {
    /// From an authenticated plaintext. `blocks`: data blocks that the chunk may have.
    ///
    /// # Errors
    ///
    /// What is wrong: an unknown version or flag, a count, number or slot out of bounds, parts that do not fit, or
    /// something twice or out of order.
    pub fn decode(bytes: &[u8], blocks: BlockCount) -> Result<Decoded, &'static str> {
        let (header, rest) = Header::read_from_prefix(bytes).map_err(|_| UNFIT)?;
        let (mut from, flags) = (Reader(rest), header.flags);
        if header.version != VERSION {
            return Err("its root has an unknown version");
        }
        if flags & !(SETTLED | DATA_MAPPED | METADATA_MAPPED | MORE_DEVICES) != 0 {
            return Err("its root has unknown flags");
        }
        let [devices, record, inline] = [header.devices, header.record, header.inline].map(usize::from);
        let data = [header.data, header.beside_data].map(usize::from);
        let metadata = [header.metadata, header.beside_metadata].map(usize::from);
        if !(1..=DEVICES).contains(&devices) || record > RECORD {
            return Err("its root has a count out of bounds");
        }
        let root = Decoded {
            settled: flags & SETTLED != 0,
            more_devices: flags & MORE_DEVICES != 0,
            seals: header.seals.get(),
            version: from.version(devices)?,
            record: from.bytes(record)?.to_vec(),
            inline: from.bytes(inline)?.to_vec(),
            data: from.table(data, flags & DATA_MAPPED != 0, blocks)?,
            metadata: from.table(metadata, flags & METADATA_MAPPED != 0, METADATA)?,
        };
        let tables = [&root.data, &root.metadata].into_iter();
        let listed = tables.flat_map(|table| table.maps.iter().chain(&table.entries));
        let mut slots: Vec<Slot> = listed.filter(|(_, entry)| !entry.is_hole()).map(|e| e.1.slot).collect();
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
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(UNFIT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn list<T>(&mut self, count: usize) -> Result<&'a [T], &'static str>
    where
        T: FromBytes + Immutable + Unaligned,
        [T]: KnownLayout<PointerMetadata = usize>,
    {
        let (list, rest) = <[T]>::ref_from_prefix_with_elems(self.0, count).map_err(|_| UNFIT)?;
        self.0 = rest;
        Ok(list)
    }

    fn version(&mut self, devices: usize) -> Result<Version, &'static str> {
        let entries = self.list::<StoredVersion>(devices)?;
        let version = Version(entries.iter().copied().map(<(DeviceId, Commit)>::from).collect());
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

    fn table(
        &mut self,
        counts: [usize; 2],
        mapped: bool,
        blocks: BlockCount,
    ) -> Result<RootTable, &'static str> {
        let maps = usize::from(blocks.0).div_ceil(GROUP);
        match (mapped, counts) {
            (false, [entries, 0]) => {
                Ok(RootTable { maps: Vec::new(), entries: self.listed(entries, blocks.0.into(), false)? })
            }
            (true, [count, beside]) => {
                let maps = self.listed(count, maps, false)?;
                let mut entries = self.listed(beside, blocks.0.into(), true)?;
                let is_mapped =
                    |number: BlockNumber| maps.iter().any(|map| map.0.index() == position(number).0);
                entries.retain(|(number, entry)| !entry.is_hole() || is_mapped(*number));
                Ok(RootTable { maps, entries })
            }
            (false, _) => Err("its root lists entries beside map blocks that it has not"),
        }
    }

    /// Entries of numbers below `limit`. Only where `holes` are allowed, slot 0 is.
    fn listed(
        &mut self,
        count: usize,
        limit: usize,
        holes: bool,
    ) -> Result<Vec<(BlockNumber, Entry)>, &'static str> {
        let mut entries: Vec<(BlockNumber, Entry)> = Vec::new();
        for listed in self.list::<Listed>(count)? {
            let number = BlockNumber(listed.number.get());
            let mut entry = Entry::from(&listed.entry);
            if number.index() >= limit || entries.last().is_some_and(|last| last.0 >= number) {
                return Err("a table of its root is out of order or out of bounds");
            }
            match entry.slot {
                Slot::NONE if holes => entry = Entry::HOLE,
                Slot::NONE | Slot::SECOND_ROOT => return Err("its root names a slot of the roots"),
                _ => {}
            }
            entries.push((number, entry));
        }
        Ok(entries)
    }
}
