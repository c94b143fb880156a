//! What can be asked of a store, and how often it was.

/// What can be asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Open,
    Create,
    Remove,
    SyncNames,
    SyncAll,
    List,
    Space,
    Hold,
    KeepBack,
    Read,
    Write,
    Length,
    SetLength,
    Allocate,
    Sync,
    IsCurrent,
}

/// How often each call was made, failed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub opens: u64,
    pub creates: u64,
    pub removes: u64,
    pub name_syncs: u64,
    pub sync_alls: u64,
    pub lists: u64,
    pub spaces: u64,
    pub holds: u64,
    pub keeps_back: u64,
    pub reads: u64,
    pub writes: u64,
    pub lengths: u64,
    pub set_lengths: u64,
    pub allocates: u64,
    pub syncs: u64,
    pub current_checks: u64,
}

impl Counts {
    pub(super) fn of(&mut self, call: Call) -> &mut u64 {
        match call {
            Call::Open => &mut self.opens,
            Call::Create => &mut self.creates,
            Call::Remove => &mut self.removes,
            Call::SyncNames => &mut self.name_syncs,
            Call::SyncAll => &mut self.sync_alls,
            Call::List => &mut self.lists,
            Call::Space => &mut self.spaces,
            Call::Hold => &mut self.holds,
            Call::KeepBack => &mut self.keeps_back,
            Call::Read => &mut self.reads,
            Call::Write => &mut self.writes,
            Call::Length => &mut self.lengths,
            Call::SetLength => &mut self.set_lengths,
            Call::Allocate => &mut self.allocates,
            Call::Sync => &mut self.syncs,
            Call::IsCurrent => &mut self.current_checks,
        }
    }
}
