//! The exit codes of every command: the one list, which the manual prints too.
//!
//! Scripts depend on these numbers: one is never given a second meaning. Neighbours: `advice.rs` chooses among them.

use std::process::ExitCode;

macro_rules! exit_codes {
    ($($name:ident = $code:literal $meaning:literal)*) => {
        /// How a command ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Exit {
            $(#[doc = $meaning] $name = $code,)*
        }

        impl Exit {
            /// Every code with its meaning, in increasing order.
            pub const ALL: &[(Exit, &str)] = &[$((Exit::$name, $meaning),)*];
        }
    };
}

exit_codes! {
    Success = 0 "Success."
    Failed = 1 "Any failure that has no code of its own."
    Usage = 2 "Wrong options or arguments."
    NotAVolume = 10 "The folder is not a cryptfs volume."
    NewerFormat = 11 "The volume's format is newer than this program."
    DamagedHeader = 12 "The volume's header or key slots are damaged or were altered."
    WrongSecret = 13 "The passphrase, recovery key or identity opens no slot of the volume."
    NothingToAskOn = 14 "A secret is needed, none was given, and there is no terminal to ask on."
    InUse = 15 "The volume is mounted already on this machine."
    NotEmpty = 16 "init: the folder is not empty."
    OtherVolume = 17 "The volume's fingerprint is not the one that is expected on this device."
    NoSuchSlot = 18 "The volume has no such key slot."
    LastSlot = 19 "The slot is the last one that does not depend on this machine's TPM."
    NoFuse = 20 "/dev/fuse is missing, or this user may not open it."
    NoFusermount = 21 "fusermount3 is not installed."
    BadMountpoint = 22 "The mountpoint does not exist, is not a directory, or is not this user's."
    StaleMountpoint = 23 "The mountpoint holds a mount whose daemon is gone."
    MountRefused = 24 "The kernel or fusermount3 refused to mount."
    NotMounted = 25 "There is no cryptfs mount at that path."
    Busy = 26 "umount: the mount is in use."
    Interrupted = 130 "Interrupted at a prompt."
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_increase() {
        assert!(Exit::ALL.windows(2).all(|pair| (pair[0].0 as u8) < pair[1].0 as u8));
    }
}
