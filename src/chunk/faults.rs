//! Deliberate mistakes of a chunk, to show that the exhaustive test notices each.

crate::planted::mistakes! {
    NoSyncAfterOpen,
    FreeAtCommit,
    FreeAtSyncStart,
    ReuseLiveSlot,
    RootOverDurable,
    RootDuringSync,
    SettleBeforeDurable,
    FallBackOnReadError,
    FallBackFromSettled,
    FallBackFromKnown,
    ReuseRejectedNumber,
    NoBlockCheck,
    NoMapCheck,
    NoFallback,
    TakeOlderRoot,
    DurableBeforeSync,
    DurableAfterFailedSync,
    MaybeWrittenRootForgotten,
    NotCurrentIgnored,
}
