//! Opening the TPM for one operation, and finding the key that everything hangs on.

use super::fault::{Fault, Step, at};
use super::{probe, template};
use cryptfs::keys::tpm::{Lockout, NAME_LENGTH, TEMPLATE_ECC_P256, Tcti, TpmError};
use std::io::ErrorKind;
use std::str::FromStr;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::{Context, TctiNameConf};

/// Where the TCG and systemd leave a storage root key.
const USUAL_PARENT: u32 = 0x8100_0001;

/// A connection to the TPM. Dropping it flushes every key and session that it made: a TPM has three places for each.
///
/// The TPM itself is shut down by whoever powers it off. Without that, it counts a try after a PIN was used.
pub struct Tpm {
    pub context: Context,
}

/// The storage root key, checked or about to be.
pub struct Parent {
    pub key: KeyHandle,
    /// As in `TpmSlotFields::parent`.
    pub handle: u32,
    pub name: [u8; NAME_LENGTH],
}

/// How an attempt ended without a result.
enum End {
    /// The connection was lost: worth another attempt.
    Lost,
    Refused(TpmError),
}

/// Does `work` on a fresh connection, and once more on another if the first one is lost.
///
/// # Errors
///
/// [`TpmError::NoDevice`], [`TpmError::NoPermission`], [`TpmError::Busy`]; [`TpmError::Gone`] where both connections
/// were lost; else what `work` failed with, a wrong PIN with the TPM's counters.
pub fn with<T>(tcti: &Tcti, mut work: impl FnMut(&mut Tpm) -> Result<T, Fault>) -> Result<T, TpmError> {
    let mut attempt = || {
        let mut tpm = Tpm::open(tcti).map_err(End::Refused)?;
        work(&mut tpm).map_err(|fault| tpm.end(fault))
    };
    match attempt() {
        Ok(value) => Ok(value),
        Err(End::Refused(error)) => Err(error),
        Err(End::Lost) => attempt().map_err(|end| match end {
            // It was there a moment ago.
            End::Lost | End::Refused(TpmError::NoDevice { .. }) => TpmError::Gone,
            End::Refused(error) => error,
        }),
    }
}

impl Tpm {
    fn open(tcti: &Tcti) -> Result<Self, TpmError> {
        check_device(tcti)?;
        TctiNameConf::from_str(tcti.as_str())
            .and_then(Context::new)
            .map(|context| Self { context })
            .map_err(|_| TpmError::NoDevice { tcti: tcti.to_string() })
    }

    fn end(&mut self, fault: Fault) -> End {
        match fault {
            Fault::Gone => End::Lost,
            Fault::PcrsChanged => End::Refused(TpmError::PcrsKeepChanging),
            Fault::WrongAuth => self.end_with_lockout(TpmError::WrongPin),
            Fault::Locked => self.end_with_lockout(TpmError::Locked),
            Fault::Final(error) => End::Refused(error),
        }
    }

    /// Adds the counters. A connection lost here is not worth another attempt: that would cost another try.
    fn end_with_lockout(&mut self, error: fn(Lockout) -> TpmError) -> End {
        End::Refused(probe::lockout(self).map_or(TpmError::Gone, error))
    }

    /// The storage root key to seal under: derived from the template, or, where the owner hierarchy has a password,
    /// the one that was left at the usual handle.
    ///
    /// # Errors
    ///
    /// [`TpmError::OwnerPassword`] where there is neither; else as for [`Tpm::parent`].
    pub fn parent_for_sealing(&mut self) -> Result<Parent, Fault> {
        match self.parent(0, TEMPLATE_ECC_P256) {
            Err(Fault::Final(TpmError::OwnerPassword)) => {
                self.parent(USUAL_PARENT, TEMPLATE_ECC_P256).map_err(|fault| match fault {
                    Fault::Final(TpmError::OtherTpm) => TpmError::OwnerPassword.into(),
                    other => other,
                })
            }
            other => other,
        }
    }

    /// The storage root key at `handle`, 0 meaning derived from `template`.
    ///
    /// # Errors
    ///
    /// [`TpmError::Damaged`] for a handle or template that no slot has; [`TpmError::OtherTpm`] where no key is at the
    /// handle; [`TpmError::OwnerPassword`] where none can be derived; else as for [`at`].
    pub fn parent(&mut self, handle: u32, template: u8) -> Result<Parent, Fault> {
        let key = match (handle, template) {
            (0, TEMPLATE_ECC_P256) => self.derive_parent()?,
            (0x8100_0000..=0x81ff_ffff, TEMPLATE_ECC_P256) => self.persistent_parent(handle)?,
            _ => return Err(TpmError::Damaged.into()),
        };
        // Computed from the public part that sessions will be salted to; a name that the bus reports proves nothing.
        let name = at(Step::Parent, self.context.tr_get_name(key.into()))?;
        let name = name.value().try_into().map_err(|_| TpmError::OtherTpm)?;
        Ok(Parent { key, handle, name })
    }

    fn derive_parent(&mut self) -> Result<KeyHandle, Fault> {
        let template = template::storage_root_key()?;
        let created = self.context.execute_with_session(Some(AuthSession::Password), |context| {
            context.create_primary(Hierarchy::Owner, template, None, None, None, None)
        });
        Ok(at(Step::Parent, created)?.key_handle)
    }

    fn persistent_parent(&mut self, handle: u32) -> Result<KeyHandle, Fault> {
        let handle = at(Step::Parent, PersistentTpmHandle::new(handle))?;
        Ok(at(Step::Parent, self.context.tr_from_tpm_public(TpmHandle::Persistent(handle)))?.into())
    }
}

/// Tells a missing device from a forbidden and a busy one; the TSS has one code for all.
fn check_device(tcti: &Tcti) -> Result<(), TpmError> {
    let Some(path) = tcti.device() else { return Ok(()) };
    let name = tcti.to_string();
    match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            ErrorKind::PermissionDenied => TpmError::NoPermission { tcti: name },
            ErrorKind::ResourceBusy => TpmError::Busy { tcti: name },
            _ => TpmError::NoDevice { tcti: name },
        }),
    }
}
