//! `cryptfs init`: makes a folder a volume.

use super::advice::{self, Failure};
use super::args::Init;
use super::secret_input::{self, Given};
use super::{assemble, enrol};
use crate::crypto::Cost;
use crate::keys::{self, Enrol, Header, Label, Opened, RecoveryKey};
use crate::trust::{Trust, TrustUnavailable};
use std::fs;
use std::io;
use std::path::Path;

/// What will open the volume.
struct Ways {
    passphrase: Option<(Given, Cost)>,
    recovery: Option<RecoveryKey>,
    tpm: Option<enrol::NewTpm>,
}

pub fn run(arguments: &Init) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    prepare(arguments)?;
    let ways = ways(arguments)?;
    let written = arguments.enrolment.recovery_file.as_deref().zip(ways.recovery.as_ref());
    if let Some((out, key)) = written {
        enrol::write_recovery_key(key, out)?;
    }
    let header = Header::new(arguments.cipher, arguments.chunk_size);
    let created = keys::create(backing, arguments.place.keys.as_deref(), header, &slots(arguments, &ways))
        .map_err(|error| advice::creating(backing, &error));
    let opened = created.inspect_err(|_| {
        if let Some((out, _)) = written {
            enrol::discard(out);
        }
    })?;
    let trust = remember(&opened).unwrap_or_else(|error| {
        log::warn!("{}", advice::state(&error));
        Trust::ephemeral()
    });
    assemble::format(backing, &opened, trust.device())?;
    report(backing, &ways, &opened);
    match (&ways.recovery, written) {
        (Some(key), None) => enrol::show_recovery_key(key),
        _ => Ok(()),
    }
}

/// Makes the folders, and refuses one that holds something already.
fn prepare(arguments: &Init) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let make =
        |folder: &Path| fs::create_dir_all(folder).map_err(|error| advice::system(folder.display(), &error));
    make(backing)?;
    if let Some(keys) = &arguments.place.keys {
        make(keys)?;
    }
    let is_volume = backing.join("cryptfs.json").exists();
    let is_empty = || -> io::Result<bool> { Ok(fs::read_dir(backing)?.next().is_none()) };
    if is_volume
        || arguments.force
        || is_empty().map_err(|error| advice::system(backing.display(), &error))?
    {
        Ok(())
    } else {
        Err(advice::not_empty(backing))
    }
}

fn ways(arguments: &Init) -> Result<Ways, Failure> {
    let how = &arguments.enrolment;
    let given = match &arguments.passphrase_file {
        Some(file) => Some(secret_input::from_file(file)?),
        None if arguments.no_passphrase => None,
        None => Some(secret_input::ask_new("New passphrase: ")?),
    };
    let asked = given.is_some() && arguments.passphrase_file.is_none();
    let wants_recovery = how.recovery_file.is_some() || (asked && !arguments.no_recovery);
    let passphrase = given.map(|given| Ok((given, enrol::cost(how)?))).transpose()?;
    let tpm = match enrol::probe_tpm(&arguments.place) {
        _ if arguments.no_tpm2 => None,
        Ok(tpm) => Some(enrol::new_tpm(tpm, how, None)?),
        Err(failure) if arguments.tpm2 => return Err(failure),
        Err(failure) => {
            log::info!("{failure}");
            None
        }
    };
    Ok(Ways { passphrase, recovery: wants_recovery.then(RecoveryKey::generate), tpm })
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
fn remember(opened: &Opened) -> Result<Trust, TrustUnavailable> {
    let trust = Trust::open(opened.header.uuid)?;
    trust.pin(opened.keyring.fingerprint())?;
    Ok(trust)
}

fn report(backing: &Path, ways: &Ways, opened: &Opened) {
    let yes = [
        (ways.passphrase.is_some(), "the passphrase"),
        (ways.tpm.is_some(), "this machine's TPM"),
        (ways.recovery.is_some(), "the recovery key"),
    ];
    let ways: Vec<_> = yes.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    println!("{} is a volume now, opened by {}.", backing.display(), ways.join(", "));
    println!("Fingerprint: {}", opened.keyring.fingerprint());
}
