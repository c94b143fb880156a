//! What the tests of several files here need.

use super::tpm::{
    ClientError, Lockout, PcrBank, PcrMask, SealedSecret, TEMPLATE_ECC_P256, TpmError, TpmSlotFields,
    new_secret,
};
use super::{KeyFiles, Sealer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

pub const SSH_PUBLIC: &str = include_str!("vectors/ssh-ed25519.pub");
pub const SSH_PRIVATE: &[u8] = include_bytes!("vectors/ssh-ed25519");
pub const SSH_LOCKED: &[u8] = include_bytes!("vectors/ssh-ed25519-locked");
pub const AGE_PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
pub const AGE_PRIVATE: &[u8] =
    b"AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";

/// A TPM that keeps what it seals in the open.
pub struct OpenTpm;

impl Sealer for OpenTpm {
    fn tcti(&self) -> String {
        "device:/dev/tpmrm0".into()
    }

    fn seal(
        &self,
        secret: SealedSecret,
        pcrs: PcrMask,
        auth: Option<&[u8]>,
    ) -> Result<TpmSlotFields, ClientError> {
        Ok(TpmSlotFields {
            parent: 0,
            template: TEMPLATE_ECC_P256,
            srk_name: [11; 34],
            bank: PcrBank::Sha256,
            pcrs,
            policy_digest: [12; 32],
            pin: auth.is_some(),
            public: [&[0][..], auth.unwrap_or_default()].concat(),
            private: secret.to_vec(),
        })
    }

    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Result<SealedSecret, ClientError> {
        if sealed.public[1..] != *auth.unwrap_or_default() {
            let lockout = Lockout { failed_tries: 1, max_tries: 32, interval_seconds: 600 };
            return Err(ClientError::Tpm(TpmError::WrongPin(lockout)));
        }
        let mut secret = new_secret();
        secret.copy_from_slice(&sealed.private);
        Ok(secret)
    }
}

/// Files that stop obeying after a number of steps, as if the machine had stopped there.
#[derive(Clone, Default)]
pub struct CrashingFiles {
    pub files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    /// `None`: never.
    pub steps_left: Rc<Cell<Option<usize>>>,
}

impl CrashingFiles {
    fn step(&self) -> io::Result<()> {
        match self.steps_left.get() {
            Some(0) => Err(io::Error::other("crashed")),
            left => {
                self.steps_left.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}

impl KeyFiles for CrashingFiles {
    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        self.step()?;
        Ok(self.files.borrow().keys().map(|name| name.clone().into_bytes()).collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.step()?;
        self.files.borrow().get(name).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        for length in [0, bytes.len() / 2, bytes.len()] {
            self.step()?;
            self.files.borrow_mut().insert(name.to_owned(), bytes[..length].to_vec());
        }
        self.step()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.files.borrow_mut().remove(name);
        self.step()
    }
}
