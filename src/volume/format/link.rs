//! One name of an inode with the dot of its entry, as records and batches have it (docs/FORMAT.md sections 7 and 9).

use crate::chunk::{Commit, DeviceId, InodeId};
use crate::volume::format::wire::{Malformed, Reader, TooLarge, checked_name, is_name};

/// A dot as every device has it, in the order of dots: counter and device.
pub type EntryDot = (u64, DeviceId);

/// One name of an inode.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Link {
    pub parent: InodeId,
    pub name: Box<[u8]>,
    /// Of the entry that it stands for, where it is known.
    pub dot: Option<EntryDot>,
}

const NUMBER: usize = 8;
const DOT: usize = 16;

impl Link {
    /// Whether both are the same name, of whatever entry.
    pub fn is_same_name(&self, other: &Link) -> bool {
        self.parent == other.parent && self.name == other.name
    }

    /// Appends it as a batch has it.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if it has no valid name.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        if !is_name(&self.name) {
            return Err(TooLarge);
        }
        out.extend_from_slice(&self.parent.0);
        encode_dot(self.dot, out);
        out.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.name);
        Ok(())
    }

    /// From a batch. `has_dot`: its record is of the type in which names have dots.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it ends too early, or has no valid name.
    pub(super) fn decode(value: &mut Reader<'_>, has_dot: bool) -> Result<Link, Malformed> {
        let parent = value.inode()?;
        let dot = if has_dot { decode_dot(value)? } else { None };
        Ok(Link { parent, name: checked_name(value.prefixed()?)?.into(), dot })
    }
}

/// Of two names of a directory, whether the other one was given later, as the dots of their entries tell; none if they do not.
/// A batch tells a directory's name, too, when only its entries changed, so its number says nothing of that.
pub fn was_given_later(ours: &[Link], others: &[Link]) -> Option<bool> {
    let dot = |links: &[Link]| links.first().and_then(|link| link.dot);
    Some(dot(others)? > dot(ours)?)
}

/// Bytes of what a record says of the dots of these links; 0 if none is known.
pub(super) fn dots_length(links: &[Link]) -> usize {
    if links.iter().any(|link| link.dot.is_some()) { NUMBER + DOT * links.len() } else { 0 }
}

/// Appends what a record says of the dots of its links. `namespace`: the record's namespace commit.
pub(super) fn encode_dots(links: &[Link], namespace: Commit, out: &mut Vec<u8>) {
    out.extend_from_slice(&namespace.0.to_le_bytes());
    links.iter().for_each(|link| encode_dot(link.dot, out));
}

/// Gives links the dots that a record has of them, unless the links were changed since by who did not know of dots.
///
/// # Errors
///
/// [`Malformed`] if these are no dots.
pub(super) fn decode_dots(value: &[u8], namespace: Commit, links: &mut [Link]) -> Result<(), Malformed> {
    let mut value = Reader(value);
    let number = Commit(value.u64()?);
    let mut dots = Vec::with_capacity(links.len());
    while !value.is_empty() {
        dots.push(decode_dot(&mut value)?);
    }
    if number == namespace && dots.len() == links.len() {
        links.iter_mut().zip(dots).for_each(|(link, dot)| link.dot = dot);
    }
    Ok(())
}

fn encode_dot(dot: Option<EntryDot>, out: &mut Vec<u8>) {
    let (counter, device) = dot.unwrap_or((0, DeviceId([0; 8])));
    out.extend_from_slice(&device.0);
    out.extend_from_slice(&counter.to_le_bytes());
}

/// A counter of 0 is none.
fn decode_dot(value: &mut Reader<'_>) -> Result<Option<EntryDot>, Malformed> {
    let (device, counter) = (value.device()?, value.u64()?);
    Ok((counter > 0).then_some((counter, device)))
}
