//! What is said about the devices of a volume.

use super::{Exit, Failure, failure, shown};
use std::path::Path;

pub fn no_such_device(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::Failed,
        format!(
            "{at}: there is no journal of that device. `cryptfs device list {at:#}` shows which there are."
        ),
    )
}

pub fn retire_itself() -> Failure {
    failure(Exit::Failed, "That is this device. Retire it on another one.")
}

pub fn retire_incomplete(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::NotArrived,
        format!(
            "{at}: the device was not retired: its journal, or something that it may speak of, is damaged or has not \
             arrived. Let the sync client finish, see `cryptfs check {at:#}`, and try again; --force gives up what is missing."
        ),
    )
}

pub fn no_state_folder() -> String {
    "There is no state folder, so the volume is mounted read-only: set XDG_STATE_HOME to a folder that stays, or give \
     `-o stateless` to write all the same."
        .to_owned()
}
