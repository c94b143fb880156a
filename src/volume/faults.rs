//! Deliberate mistakes of the volume, to show that the crash tests notice each.

crate::planted::mistakes! {
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
    DamageMadeAnew,
    NotKeptAtClose,
}
