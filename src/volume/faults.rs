//! Deliberate mistakes, to show that the crash tests notice each. Outside of tests there are none.

/// A mistake that the code can be told to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    ChunkZeroFirst,
    DataNotSynced,
    NamesNotSynced,
    DeletedBeforeBatch,
    LinksBeforeBatch,
    VectorTooFar,
    BatchDroppedEarly,
    ReplacedBeforeData,
    ReserveNotRecorded,
    OrphanNotRecorded,
    AnchorRepeatsNothing,
    BatchInTwo,
    NameWithoutInode,
    NoSyncAtOpen,
    TrimmedEarly,
    RemovalNotSynced,
    ReplayedOverNewer,
    NoSweep,
}

#[cfg(not(test))]
#[inline(always)]
pub(super) fn makes(_: Fault) -> bool {
    false
}

#[cfg(test)]
pub(super) use planted::{makes, plant};

#[cfg(test)]
mod planted {
    use super::Fault;
    use std::cell::Cell;

    thread_local!(static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) });

    pub(in super::super) fn makes(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// The mistake that this thread makes from now on.
    pub(in super::super) fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }
}
