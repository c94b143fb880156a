//! `cryptfs key rotate`: a new epoch, everything re-encrypted under it, the old epochs destroyed.
//!
//! Resumed at any point by running it again: which keyrings the slots hold and which epoch each chunk lies under say
//! how far it came. The order is what makes that so: the new keyring is in the slots, and expected by this device,
//! before anything is sealed under it; the old epochs go only once nothing needs them. Neighbours: `ways.rs` has the
//! secrets, `keys::rekey` the slots, `volume::reencrypt` the chunks.

use super::advice::{self, Failure};
use super::key_args::Rotate;
use super::ledger::Ledger;
use super::mount::LOCK;
use super::ways::Ways;
use super::{assemble, key, report, unlock};
use crate::keys::{self, Contact, Credential, Keyring, Locked, Means, Opened, Rekeyed};
use crate::store::folder::Folder;
use crate::trust::Trust;
use crate::volume::Remains;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;

/// A rotation under way.
struct Rotation<'a> {
    backing: &'a Path,
    locked: Locked,
    trust: &'a Trust,
    opened: &'a Opened,
    means: &'a [Means<'a>],
}

/// Rotates the keys of a volume, or goes on with a rotation.
///
/// # Errors
///
/// `Exit::OldKeyNeeded`; `Exit::InUse` where the volume is mounted; `Exit::OtherVolume` on a device that does not
/// know it; `Exit::LastSlot` with nothing but a TPM; those of the secrets (`ways.rs`), the slots (`advice::rekeying`)
/// and the volume (`assemble.rs`).
pub fn run(arguments: &Rotate) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    unlock::find(backing, &arguments.place)?;
    let folder = Folder::open(backing).map_err(|_| advice::no_folder(backing))?;
    let _unmounted = folder.lock(LOCK).map_err(|error| advice::locking(backing, &error))?;
    let _alone = key::lock(backing, &arguments.place)?;
    let (locked, trust) = unlock::look(backing, &arguments.place, None)?;
    unlock::identify(backing, &locked, &trust)?;
    if locked.contact == Contact::First {
        return Err(advice::not_known_here(backing, locked.owner.fingerprint()));
    }
    let ways = Ways::collect(arguments, &locked)?;
    let opened = ways.open(arguments, &locked)?;
    let mut rotation = Rotation { backing, locked, trust: &trust, opened: &opened, means: &ways.means() };
    let (keyring, under_way) = rotation.begin(arguments)?;
    if under_way {
        report::print("Resuming an interrupted rotation.\n")?;
    }
    let (rekeyed, opened) = rotation.give(keyring)?;
    if let Err(failure) = reencrypt(backing, &opened, &trust, arguments.force) {
        // They open nothing any more, whether or not the rotation is ever ended.
        report::print(&left(backing, &rekeyed))?;
        return Err(failure);
    }
    let locked = rotation.locked.look_again(&trust.expected().map_err(|error| advice::state(&error))?);
    let locked = locked.map_err(|error| advice::opening(backing, &error))?;
    let mut rotation = Rotation { backing, locked, trust: &trust, opened: &opened, means: &ways.means() };
    let (last, opened) = rotation.give(opened.keyring.without_old_epochs())?;
    finish(backing, &opened, &rekeyed, &last)
}

impl Rotation<'_> {
    /// The keyring to go on with, and whether it is from an earlier run.
    fn begin(&self, arguments: &Rotate) -> Result<(Keyring, bool), Failure> {
        let full = |_| advice::too_many_epochs(self.backing);
        let independent = |means: &Means<'_>| !matches!(means, Means::Credential(Credential::Tpm { .. }));
        if !arguments.force && !self.means.iter().any(independent) {
            return Err(advice::rotation_needs_independent(self.backing));
        }
        let (keyring, under_way) = keys::gather(&self.locked, self.opened, self.means).map_err(full)?;
        let keyring = if under_way { keyring } else { keyring.with_new_epoch().map_err(full)? };
        Ok((if arguments.owner { keyring.with_new_owner() } else { keyring }, under_way))
    }

    /// Puts a keyring into the slots, and has this device expect it; the volume as it opens it.
    fn give(&mut self, keyring: Keyring) -> Result<(Rekeyed, Opened), Failure> {
        let state = |error| advice::state(&error);
        self.trust.announce(keyring.owner()).map_err(state)?;
        let rekeyed = keys::rekey(&mut self.locked, self.opened, &keyring, self.means)
            .map_err(|error| advice::rekeying(self.backing, &error))?;
        self.trust.pin(keyring.owner(), &self.locked.list).map_err(state)?;
        let (old, new): (Vec<_>, Vec<_>) = rekeyed.replaced.iter().copied().unzip();
        self.trust.note_slots(&new).map_err(state)?;
        self.trust.note_removed_slots(&old).map_err(state)?;
        let (header, newest) = (self.opened.header.clone(), keyring.newest());
        let (slot, slot_type) = (self.opened.slot, self.opened.slot_type);
        Ok((rekeyed, Opened { header, keyring, newest, slot, slot_type }))
    }
}

/// Seals everything under the newest epoch; fails if something still needs an older one, unless it is to be lost.
fn reencrypt(backing: &Path, opened: &Opened, trust: &Trust, force: bool) -> Result<(), Failure> {
    let failed = |error| advice::volume(backing, &error);
    let volume = assemble::volume(backing, opened, trust, false)?;
    Ledger::open(backing, trust, &volume);
    // Hidden by itself where stderr is no terminal.
    let bar = ProgressBar::new(0).with_style(style());
    let remains = volume.reencrypt(&mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    let remains: Remains = remains.map_err(failed)?;
    volume.report();
    if !remains.is_empty() && !force {
        volume.close().map_err(failed)?;
        return Err(advice::old_key_needed(backing, &remains));
    }
    for device in &remains.journals {
        volume.discard_journal(*device).map_err(failed)?;
    }
    volume.close().map_err(failed)
}

fn style() -> ProgressStyle {
    let template = "Re-encrypting {bar:32} {human_pos} of {human_len} files, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What is said of the slots that did not get the new key.
fn left(backing: &Path, rekeyed: &Rekeyed) -> String {
    let is_left = |id| rekeyed.replaced.iter().all(|(old, _)| old != id);
    let slots = rekeyed.left.iter().filter(|(id, _)| is_left(id));
    slots.map(|(id, label)| advice::slot_left(backing, *id, label)).collect()
}

fn finish(backing: &Path, opened: &Opened, first: &Rekeyed, last: &Rekeyed) -> Result<(), Failure> {
    let mut text = String::new();
    for (old, new) in &first.replaced {
        let newest =
            last.replaced.iter().find(|(between, _)| between == new).map_or(new, |(_, newest)| newest);
        text += &format!("Replaced slot {old} by slot {newest}.\n");
    }
    text += &left(backing, first);
    text += &format!(
        "Everything is under the new key, and the old one is destroyed.\nFingerprint: {}\n",
        opened.keyring.owner().fingerprint()
    );
    report::print(&text)
}
