//! `cryptfs trust`: what this device expects of a volume.

use super::advice::{self, Failure};
use super::args::{Accept, Place, TrustCommand, Unlock};
use super::mount::LOCK;
use super::{assemble, report, secret_input, unlock};
use crate::chunk::{Recall, Relation, Version};
use crate::keys::{Contact, Expected, Found, List, Locked, Opened, OwnerKey};
use crate::store::folder::Folder;
use crate::trust::{Trust, Versions};
use crate::volume::{self, Sight};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Objects that are listed one by one before the rest is counted.
const LISTED: usize = 100;

/// Shows what this device expects, or has it expect what there is.
///
/// # Errors
///
/// Those of opening the volume (`unlock.rs`). Of accepting it: `Exit::InUse` where it is mounted,
/// `Exit::NothingToAskOn` without a terminal, `Exit::Failed` after a no.
pub fn run(command: &TrustCommand) -> Result<(), Failure> {
    match command {
        TrustCommand::Status { backing, place } => status(backing, place),
        TrustCommand::Accept(arguments) => accept(arguments),
    }
}

fn status(backing: &Path, place: &Place) -> Result<(), Failure> {
    let locked = unlock::peek(backing, place)?;
    let state = |error| advice::state(&error);
    let Some(owner) = Trust::pinned_of(locked.uuid()).map_err(state)? else {
        return report::print(
            "This device has not opened the volume yet; it will pin the owner key that it finds first.\n",
        );
    };
    let trust = Trust::open(locked.uuid()).map_err(state)?;
    let known = trust.known_slots().map_err(state)?;
    let mut text = format!("Fingerprint expected: {}\n", owner.fingerprint());
    if locked.contact != Contact::Known {
        text += &format!("Fingerprint found:    {}\n", locked.owner.fingerprint());
    }
    for slot in locked.listing.slots.iter().filter(|slot| !known.contains(&slot.id)) {
        text += &format!("Key slot {} is new to this device.\n", slot.id);
    }
    for (slot, why) in &locked.listing.spent {
        text += &format!("Key slot {} is {why}; it is not used.\n", slot.id);
    }
    let junk = locked.listing.junk.len() + locked.listing.more_junk;
    if junk > 0 {
        text += &format!("Files beside the key slots that the owner did not make: {junk}\n");
    }
    let findings = trust.findings();
    findings.damage.iter().for_each(|error| report::complain(&advice::list_of_findings(error)));
    text += &format!("Findings: {}\n", findings.list.len());
    for found in &findings.list {
        text +=
            &format!("{}  {:<11}  {}  {}\n", report::time(found.when), found.kind, found.file, found.what);
    }
    if !findings.list.is_empty() {
        text += &advice::what_helps_against_findings(backing);
    }
    report::print(&text)
}

fn accept(arguments: &Accept) -> Result<(), Failure> {
    let (backing, how) = (arguments.backing.as_path(), &arguments.unlock);
    let found = unlock::find(backing, &how.place)?;
    let folder = Folder::open(backing).map_err(|_| advice::no_folder(backing))?;
    let _unmounted = folder.lock(LOCK).map_err(|error| advice::locking(backing, &error))?;
    let state = |error| advice::state(&error);
    let before = Trust::expected_of(found.uuid()).map_err(state)?;
    let locked = as_it_is(backing, found, &before, how)?;
    let place = unlock::canonical(backing)?;
    let trust = Trust::open(locked.uuid()).map_err(state)?;
    confirm_owner(arguments, &before, &locked, trust.knows_another_at(&place).map_err(state)?)?;
    let opened = unlock::open_keys(backing, &locked, how)?;
    let versions = trust.versions().map_err(|error| advice::versions(&error))?;
    let older = match &versions {
        Some(versions) => older(arguments, &opened, &trust, versions)?,
        None => Vec::new(),
    };
    confirm(arguments, &older)?;
    let present: Vec<_> = locked.listing.slots.iter().map(|slot| slot.id).collect();
    let noted = trust.pin(locked.owner, &locked.list).and_then(|()| trust.forget_removed_slots(&present));
    noted.and_then(|()| trust.note_place(&place)).map_err(state)?;
    let print = |owner: OwnerKey| owner.fingerprint().to_string();
    let before = before.pinned.map_or_else(|| "nothing".to_owned(), print);
    let mut text = format!("Expected before: {before}\nExpected now:    {}\n", print(locked.owner));
    if let Some(versions) = &versions {
        for (sight, _) in &older {
            match &sight.version {
                Some(version) => versions.durable(sight.chunk, version),
                None => versions.gone(sight.chunk),
            }
        }
        versions.keep();
        text += &format!("Accepted as they are: {}\n", older.len());
    }
    let accepted: Vec<String> = older.iter().map(|(sight, _)| sight.file.path()).collect();
    let concerns = |file: &String| arguments.path.is_none() || accepted.contains(file);
    trust.change_findings(|found| concerns(&found.file), Vec::new()).map_err(state)?;
    report::print(&text)
}

/// The volume's key folder by itself, whatever this device believed of it.
fn as_it_is(backing: &Path, found: Found, before: &Expected, how: &Unlock) -> Result<Locked, Failure> {
    let failed = |error| advice::opening(backing, &error);
    let successions = before.list.successions.clone();
    let list = List { successions, ..List::default() };
    let blank = Expected { pinned: before.pinned, confirmed: how.fingerprint, list, ..Expected::default() };
    let locked = found.look(&blank).map_err(failed)?;
    match locked.contact {
        Contact::NotConfirmed { .. } | Contact::Unclear(_) => {
            unlock::identify(backing, &locked, &Trust::ephemeral())?;
            Ok(locked)
        }
        Contact::Known | Contact::Confirmed => Ok(locked),
        Contact::First | Contact::Succeeded { .. } | Contact::Other { .. } => {
            let confirmed = Some(locked.owner.fingerprint());
            locked.look_again(&Expected { confirmed, ..blank }).map_err(failed)
        }
    }
}

/// Says whose volume it is, if that is not what this device expects, and asks whether that is right: before any secret
/// is tried.
fn confirm_owner(
    arguments: &Accept,
    before: &Expected,
    locked: &Locked,
    exchanged: bool,
) -> Result<(), Failure> {
    let found = locked.owner.fingerprint();
    let mut text = String::new();
    if let Some(pinned) = before.pinned.filter(|pinned| *pinned != locked.owner) {
        text += &format!("The owner key was {}, and is {found}.\n", pinned.fingerprint());
    }
    if exchanged {
        text += &format!("In this folder there was another volume; this one has the fingerprint {found}.\n");
    }
    let mut merged = locked.list.clone();
    merged.merge(&before.list);
    if before.pinned == Some(locked.owner) && merged != locked.list {
        text += "The list of key slots is older than this device has seen it: slots that were revoked since count again.\n";
    }
    if text.is_empty() {
        return Ok(());
    }
    report::print(&text)?;
    if arguments.yes || arguments.unlock.fingerprint == Some(found) {
        return Ok(());
    }
    match secret_input::confirm("Accept that from now on? Type yes: ")? {
        true => Ok(()),
        false => Err(advice::not_accepted()),
    }
}

/// The chunks that are older than this device has seen them, or gone, and how it has seen them.
fn older(
    arguments: &Accept,
    opened: &Opened,
    trust: &Trust,
    versions: &Versions,
) -> Result<Vec<(Sight, Version)>, Failure> {
    let backing = arguments.backing.as_path();
    let volume = assemble::unquestioned(backing, opened, trust)?;
    let mut older = Vec::new();
    let mut compare = |sight: Sight| {
        let Some(known) = versions.known(sight.chunk) else { return };
        if sight.version.as_ref().is_none_or(|version| version.compare(&known) == Relation::Older) {
            older.push((sight, known));
        }
    };
    let path = arguments.path.as_deref();
    let relative = path.map(|path| path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes());
    volume.survey(relative, &versions.journals(), &mut compare).map_err(|error| match (error, path) {
        (volume::Error::NotFound | volume::Error::NotDirectory, Some(path)) => advice::no_such_path(path),
        (error, _) => advice::volume(backing, &error),
    })?;
    Ok(older)
}

/// Lists what is older and by how much, and asks for confirmation.
fn confirm(arguments: &Accept, older: &[(Sight, Version)]) -> Result<(), Failure> {
    if older.is_empty() {
        return report::print("Nothing is older than the version that this device has seen.\n");
    }
    let mut text = String::new();
    for (sight, known) in older.iter().take(LISTED) {
        let object = match &sight.path {
            Some(path) => advice::escape(path),
            None => advice::nameless(sight.chunk),
        };
        let how = match &sight.version {
            Some(version) => format!("older: {}", advice::ages(version.commit(), known.commit())),
            None => "gone".to_owned(),
        };
        text += &format!("{object}: {how} ({})\n", sight.file.path());
    }
    if older.len() > LISTED {
        text += &format!("and {} more\n", older.len() - LISTED);
    }
    report::print(&text)?;
    if arguments.yes || secret_input::confirm("Accept that from now on? Type yes: ")? {
        return Ok(());
    }
    Err(advice::not_accepted())
}
