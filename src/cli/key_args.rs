//! The flags of `cryptfs key`. Neighbours: `args.rs` has what they share with other commands, `key.rs` does the work.

use super::args::{Enrolment, Place, Unlock};
use super::values::{self, SlotName};
use clap::{ArgGroup, Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    List(List),
    Add(Add),
    Remove(Remove),
    Change(Change),
    Refresh(Refresh),
    Rotate(Rotate),
    Request(Request),
    Sign(Sign),
    Verify(Verify),
}

/// List the key slots and what else lies beside them; needs no secret
#[derive(Args, Debug)]
pub struct List {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Add a key slot; needs an owner's slot
///
/// Who cannot sign as an owner can have the keys sealed for this machine's TPM: such a slot stays on this device.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("kind").required(true).args(["passphrase", "recovery", "tpm2", "recipient"]))]
pub struct Add {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// For a passphrase
    #[arg(long)]
    pub passphrase: bool,
    /// For a new recovery key, which is shown
    #[arg(long)]
    pub recovery: bool,
    /// For this machine's TPM
    #[arg(long)]
    pub tpm2: bool,
    /// For an age recipient or SSH public key
    #[arg(long, value_name = "KEY")]
    pub recipient: Option<String>,
    /// Make it an owner's: who opens the volume with it can add, change and remove slots, and rotate the keys
    #[arg(long)]
    pub owner: bool,
    #[command(flatten)]
    pub new: NewPassphrase,
    #[command(flatten)]
    pub enrolment: Enrolment,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Make a key slot that an owner has to sign; needs a way in
///
/// Writes the slot to a file. It opens nothing until an owner adds it with `cryptfs key sign`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("kind").required(true).args(["passphrase", "recovery", "tpm2", "recipient"]))]
pub struct Request {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Where to write the slot
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// For a passphrase
    #[arg(long)]
    pub passphrase: bool,
    /// For a new recovery key, which is shown
    #[arg(long)]
    pub recovery: bool,
    /// For this machine's TPM
    #[arg(long)]
    pub tpm2: bool,
    /// For an age recipient or SSH public key
    #[arg(long, value_name = "KEY")]
    pub recipient: Option<String>,
    #[command(flatten)]
    pub new: NewPassphrase,
    #[command(flatten)]
    pub enrolment: Enrolment,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Add a key slot that somebody else made with `cryptfs key request`; needs an owner's slot
///
/// It gives nothing to anybody: who made it had the volume's keys. What it is for is shown first.
#[derive(Args, Debug)]
pub struct Sign {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// The file that was requested
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub request: PathBuf,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Where a new passphrase comes from.
#[derive(Args, Clone, Debug)]
pub struct NewPassphrase {
    /// Read the new passphrase from FILE; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub new_passphrase_file: Option<PathBuf>,
}

/// Remove a key slot; needs another one, an owner's
///
/// Opens the volume without that slot first, and without the TPM unless the slot is of one, so that nobody is locked
/// out. The slot is revoked: should its file come back, no device that knows of it uses it. A file that the owner did not
/// make goes without a question.
#[derive(Args, Debug)]
pub struct Remove {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// The slot, as `key list` shows it, or the first digits of that
    #[arg(value_name = "ID", value_parser = values::slot)]
    pub removed: SlotName,
    #[command(flatten)]
    pub unlock: Unlock,
    /// Without another way in, and not revoked for other devices; also the last slot that does not depend on a TPM, or
    /// the last of all
    #[arg(long)]
    pub force: bool,
}

/// Give a slot a new passphrase, recovery key or PIN; needs an owner's slot
#[derive(Args, Debug)]
pub struct Change {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// The slot, as `key list` shows it, or the first digits of that; not needed if there is but one for a passphrase, which then is changed
    #[arg(value_name = "ID", value_parser = values::slot)]
    pub changed: Option<SlotName>,
    #[command(flatten)]
    pub new: NewPassphrase,
    #[command(flatten)]
    pub enrolment: Enrolment,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Seal a TPM slot to the present boot state, as after an update of the firmware; needs another slot, an owner's
#[derive(Args, Debug)]
pub struct Refresh {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// The slot, as `key list` shows it, or the first digits of that; not needed if there is but one
    #[arg(value_name = "ID", value_parser = values::slot)]
    pub refreshed: Option<SlotName>,
    #[command(flatten)]
    pub enrolment: Enrolment,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Give the volume a new key and re-encrypt everything with it
///
/// Use it when somebody who knows a secret must lose access: remove that slot, then rotate. The volume must not
/// be mounted. Every slot that can be opened, or whose public key is given, gets the new key; the others are listed and
/// have to be created again. It may be interrupted at any time and is resumed by running it again. The old key is destroyed
/// when nothing needs it any more. Needs an owner's slot.
#[derive(Args, Debug)]
pub struct Rotate {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    /// Read the passphrase from FILE; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
    /// Read the recovery key from FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub recovery_key_file: Option<PathBuf>,
    /// Use the age identities or the SSH private key in FILE; may be given several times
    #[arg(long = "identity", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub identities: Vec<PathBuf>,
    /// Give the new key to the slots of this age recipient or SSH public key; may be given several times
    #[arg(long = "recipient", value_name = "KEY")]
    pub recipients: Vec<String>,
    /// Read the PIN of the TPM slot from FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pin_file: Option<PathBuf>,
    /// Replace the owner key too: for when somebody who had an owner's slot should not sign any more
    #[arg(long)]
    pub owner: bool,
    #[command(flatten)]
    pub place: Place,
    /// Destroy the old key although something needs it, which is then lost; leave no slot but those of a TPM
    #[arg(long)]
    pub force: bool,
}

/// Open the volume's keys and say which slot did it
#[derive(Args, Debug)]
pub struct Verify {
    /// The folder of the volume
    #[arg(value_name = "BACKING", value_hint = ValueHint::DirPath)]
    pub backing: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
}
