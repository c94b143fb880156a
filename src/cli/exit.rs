//! The exit codes of every command: the one list, which the manual prints too.
//!
//! Scripts depend on these numbers: one is never given a second meaning. `advice` chooses among them.

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
    Repaired = 3 "check: something was wrong, and all of it was repaired."
    Damaged = 4 "check: something is damaged, or does not agree."
    NotArrived = 5 "check: nothing is damaged, but something has not arrived yet."
    NotAVolume = 10 "The folder is not a cryptfs volume."
    NewerFormat = 11 "The volume's format is not one that this program reads."
    DamagedHeader = 12 "The volume's header or key slots are damaged or were altered."
    WrongSecret = 13 "The passphrase, recovery key or identity opens no slot of the volume."
    NothingToAskOn = 14 "A secret or an answer is needed, and there is nobody to ask, or no answer came."
    InUse = 15 "The volume is mounted already on this machine."
    NotEmpty = 16 "init, export: the folder is not empty."
    OtherVolume = 17 "The volume's fingerprint is not the one that is expected on this device."
    NoSuchSlot = 18 "The volume has no such key slot."
    BadVolume = 19 "The volume's keys are right, but it cannot be opened: damaged, or not arrived yet."
    NoFuse = 20 "/dev/fuse is missing, or this user may not open it."
    NoFusermount = 21 "fusermount3 is not installed."
    BadMountpoint = 22 "The mountpoint does not exist, is not a directory, or is not this user's."
    StaleMountpoint = 23 "The mountpoint holds a mount whose daemon is gone."
    MountRefused = 24 "The kernel or fusermount3 refused to mount."
    NotMounted = 25 "There is no cryptfs mount at that path."
    Busy = 26 "umount: the mount is in use."
    LastSlot = 27 "The slot is the last one that does not depend on this machine's TPM."
    OldKeyNeeded = 28 "key rotate: something still needs the old key, which is kept."
    RolledBack = 29 "The volume is older than it was on this device."
    NotStored = 30 "umount, and mount --foreground: changes that were accepted are not stored, for want of space, in time, or after an error."
    NotOwner = 31 "What opened the volume does not hold its owner key, which has to sign this."
    Unreadable = 32 "ls, tree, cat, stat, du, locate, export, import: something could not be read or copied; the rest is there."
    NoSuchPath = 33 "There is no such path in the volume."
    StillInUse = 34 "umount: unmounted there, but the volume is still in use."
    NeedsAPerson = 36 "status: something needs a person."
    Waiting = 37 "status: nothing needs a person, but something has not arrived, or cannot be asked, yet."
    NoTpm = 40 "There is no TPM 2.0."
    TpmForbidden = 41 "This user may not use the TPM."
    TpmBusy = 42 "Another program holds the TPM exclusively."
    OtherTpm = 43 "The slot belongs to another TPM, or the TPM was cleared, or its bus is being tampered with."
    TpmOwnerPassword = 44 "The TPM's owner hierarchy has a password."
    BootStateChanged = 45 "The boot state that the TPM slot depends on has changed."
    PcrsKeepChanging = 46 "The TPM's PCRs keep changing."
    NoPcrBank = 47 "The TPM has no SHA-256 bank of PCRs."
    WrongPin = 48 "Wrong PIN."
    TpmLocked = 49 "The TPM refuses every PIN for now."
    TpmSlotDamaged = 50 "The TPM slot is damaged or altered."
    TpmFull = 51 "The TPM is out of memory for keys and sessions."
    TpmGone = 52 "The TPM stopped answering."
    TpmFailed = 53 "The TPM or its helper program failed for another reason."
    NoTpmHelper = 54 "The helper program cryptfs-tpm or its libraries are not installed."
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
