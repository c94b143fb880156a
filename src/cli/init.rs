//! `cryptfs init`: makes a folder a volume.

use super::advice::{self, Failure};
use super::args::Init;
use super::mount::LOCK;
use super::secret_input::{self, Given};
use super::{assemble, enrol, report};
use crate::crypto::Cost;
use crate::keys::{self, CreateError, Enrol, Label, List, Opened, RecoveryKey, SlotError, Slots};
use crate::store::folder::Folder;
use crate::trust::Trust;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What will open the volume.
struct Ways {
    passphrase: Option<(Given, Cost)>,
    recovery: Option<RecoveryKey>,
    tpm: Option<enrol::NewTpm>,
    /// Why there is no slot for the TPM, unless none was wanted.
    no_tpm: Option<Failure>,
}

/// That of the slots, which is made with the first of them.
const SLOTS: &str = "keys";

/// Makes a volume. Where that fails, folders that it made go again.
///
/// # Errors
///
/// `Exit::NotEmpty`; what asking for the secrets, or sealing to the TPM, says; `Exit::BadVolume` or `Exit::Failed`
/// where something cannot be written.
pub fn run(arguments: &Init) -> Result<(), Failure> {
    let mut made = prepare(arguments)?;
    let slots = arguments.backing.join(SLOTS);
    if !slots.exists() {
        made.push(slots);
    }
    let initialized = initialize(arguments);
    if initialized.is_err() {
        // The innermost first; what holds something stays.
        made.iter().rev().for_each(|folder| _ = fs::remove_dir(folder));
    }
    initialized
}

fn initialize(arguments: &Init) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let mut ways = ways(arguments)?;
    let written = arguments.enrolment.recovery_file.as_deref();
    // Before there is a slot for it: one whose key nobody has seen is worth nothing.
    match (&ways.recovery, written) {
        (Some(key), Some(out)) => enrol::write_recovery_key(key, out)?,
        (Some(key), None) => enrol::show_recovery_key(key)?,
        (None, _) => {}
    }
    let mut unfilled = None;
    let mut created = create(arguments, &ways, &mut unfilled);
    // It answered, but does not seal.
    if let Err(CreateError::Slot(SlotError::Tpm(error))) = &created
        && !arguments.tpm2
        && !ways.is_nothing_but_tpm(arguments)
    {
        (ways.tpm, ways.no_tpm) = (None, Some(advice::tpm(error)));
        created = create(arguments, &ways, &mut unfilled);
    }
    let opened = created.map_err(|error| unfilled.unwrap_or_else(|| advice::creating(backing, &error)));
    let opened = opened.inspect_err(|_| {
        if let Some(out) = written {
            enrol::discard(out);
        }
    })?;
    tell(backing, &ways, &arguments.recipients, &opened)
}

/// `unfilled`: why the root directory could not be made, if that was it.
fn create(arguments: &Init, ways: &Ways, unfilled: &mut Option<Failure>) -> Result<Opened, CreateError> {
    let backing = arguments.backing.as_path();
    let fill = |opened: &Opened| {
        let trust = remember(backing, opened);
        assemble::format(backing, opened, &trust).map_err(|failure| {
            *unfilled = Some(failure);
            CreateError::Unfilled
        })
    };
    let kind = (arguments.cipher, arguments.chunk_size);
    keys::create(backing, arguments.place.keys.as_deref(), kind, &slots(arguments, ways), fill)
}

/// Makes the folders, and refuses one that holds something already. Returns those that were made, the outermost first.
fn prepare(arguments: &Init) -> Result<Vec<PathBuf>, Failure> {
    let backing = arguments.backing.as_path();
    let mut made = Vec::new();
    let whole = std::path::absolute(backing).map_err(|error| advice::system(backing.display(), &error))?;
    if let Some(other) = whole.ancestors().skip(1).find(|above| above.join(LOCK).exists())
        && !arguments.force
    {
        return Err(advice::in_another_volume(backing, other));
    }
    for folder in [Some(backing), arguments.place.keys.as_deref()].into_iter().flatten() {
        let missing = folder.ancestors().filter(|path| !path.as_os_str().is_empty() && !path.exists());
        made.extend(missing.map(Path::to_owned).collect::<Vec<_>>().into_iter().rev());
        fs::create_dir_all(folder).map_err(|error| advice::making_folder(folder, &error))?;
    }
    // Empty: its init was killed while it was written.
    let is_volume = fs::metadata(backing.join(LOCK)).is_ok_and(|header| header.len() > 0);
    if is_volume {
        // Before anything is asked for it.
        return Err(advice::creating(backing, &CreateError::Exists));
    }
    let failed = |error| advice::system(backing.display(), &error);
    if is_empty(backing).map_err(failed)? {
        return Ok(made);
    }
    let begun = begun(backing).map_err(failed)?;
    match (arguments.force, begun) {
        (true, true) => clear(backing).map(|()| made),
        (true, false) => Ok(made),
        (false, true) => Err(advice::begun(backing)),
        (false, false) => Err(advice::not_empty(backing)),
    }
}

/// Whether there is nothing in the folder, or just the folder of the slots, as an init that failed leaves it.
fn is_empty(backing: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(backing)? {
        let entry = entry?;
        if entry.file_name() != "keys"
            || !entry.file_type()?.is_dir()
            || entry.path().read_dir()?.next().is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether an init was interrupted here: there are key slots, nothing says what they are for, and there is no chunk file
/// but a root directory's at most. Each file of a volume has one of its own, so nothing can be lost with these.
fn begun(backing: &Path) -> io::Result<bool> {
    let folder = Folder::open(backing)?;
    let mut chunks = folder.count("journals")?;
    for fan_out in fs::read_dir(backing.join("chunks")).into_iter().flatten() {
        let name = fan_out?.file_name();
        chunks += folder.count(&format!("chunks/{}", name.to_string_lossy()))?;
    }
    Ok(chunks <= 1 && folder.count("keys")? > 0)
}

/// Removes the slots and the empty header that such an init left. Its root directory has a name that means nothing any more.
fn clear(backing: &Path) -> Result<(), Failure> {
    let slots = Slots::open(backing, None).and_then(|slots| slots.clear());
    slots.map_err(|error| advice::system(backing.display(), &error))?;
    let folder = Folder::open(backing).and_then(|folder| folder.remove_durably(LOCK));
    folder.map_err(|error| advice::system(backing.display(), &error))
}

fn ways(arguments: &Init) -> Result<Ways, Failure> {
    let how = &arguments.enrolment;
    let given = match &arguments.passphrase_file {
        Some(file) => Some(secret_input::from_file(file)?),
        None if arguments.no_passphrase => None,
        None => Some(secret_input::ask_new("New passphrase: ", "--passphrase-file")?),
    };
    let asked = given.is_some() && arguments.passphrase_file.is_none();
    let wants_recovery = how.recovery_file.is_some() || (asked && !arguments.no_recovery);
    let passphrase = given.map(|given| Ok((given, enrol::cost(how)?))).transpose()?;
    let probed = (!arguments.no_tpm2).then(|| enrol::probe_tpm(&arguments.place));
    let (tpm, no_tpm) = match probed.transpose() {
        Ok(tpm) => (tpm.map(|tpm| enrol::new_tpm(tpm, how, None)).transpose()?, None),
        Err(failure) if arguments.tpm2 => return Err(failure),
        Err(failure) => (None, Some(failure)),
    };
    let ways = Ways { passphrase, recovery: wants_recovery.then(RecoveryKey::generate), tpm, no_tpm };
    if ways.is_nothing_but_tpm(arguments) && !arguments.no_recovery {
        return Err(advice::nothing_but_the_tpm());
    }
    Ok(ways)
}

impl Ways {
    fn is_nothing_but_tpm(&self, arguments: &Init) -> bool {
        let others = self.passphrase.is_some() || self.recovery.is_some() || !arguments.recipients.is_empty();
        self.tpm.is_some() && !others
    }
}

fn slots<'a>(arguments: &'a Init, ways: &'a Ways) -> Vec<(Label, Enrol<'a>)> {
    let passphrase =
        ways.passphrase.iter().map(|(passphrase, cost)| Enrol::Passphrase { passphrase, cost: *cost });
    let recovery = ways.recovery.iter().map(Enrol::Recovery);
    let recipients = arguments.recipients.iter().map(|key| Enrol::Recipient(key));
    let all = passphrase.chain(recovery).chain(ways.tpm.iter().map(enrol::NewTpm::enrol)).chain(recipients);
    all.map(|slot| (arguments.enrolment.label.clone(), slot)).collect()
}

/// From now on this device expects these keys.
fn remember(backing: &Path, opened: &Opened) -> Trust {
    let pinned = Trust::open(opened.header.uuid).and_then(|trust| {
        trust.pin(opened.header.owner, &List::default())?;
        // A folder that was just written to has a path.
        fs::canonicalize(backing).map_or(Ok(()), |place| trust.note_place(&place))?;
        Ok(trust)
    });
    pinned.unwrap_or_else(|error| {
        log::warn!("{}", advice::state(&error));
        Trust::ephemeral()
    })
}

fn tell(backing: &Path, ways: &Ways, recipients: &[String], opened: &Opened) -> Result<(), Failure> {
    let yes = [
        (ways.passphrase.is_some(), "the passphrase"),
        (ways.tpm.is_some(), "this machine's TPM"),
        (ways.recovery.is_some(), "the recovery key"),
        (!recipients.is_empty(), "the recipients' keys"),
    ];
    let has_tpm = ways.tpm.is_some();
    let no_tpm = ways.no_tpm.as_ref();
    let ways: Vec<_> = yes.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    let made = advice::Made { ways: &ways, has_tpm, no_tpm };
    report::print(&advice::is_a_volume(backing, &made, opened.header.owner.fingerprint()))
}
