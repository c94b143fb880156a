//! What the tests of several files here need.

use super::slots::file_name;
use super::tpm::{
    Answer, ClientError, Lockout, PcrBank, PcrMask, SealedSecret, TEMPLATE_ECC_P256, TpmError, TpmSlotFields,
    new_secret,
};
use super::{
    ChunkSize, Credential, Enrol, Expected, Found, Header, Issuer, KeyFiles, Keyring, List, Locked, Opened,
    Sealer, Slot, SlotId, Slots,
};
use crate::crypto::Cipher;
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

    fn seal(&self, secret: SealedSecret, pcrs: PcrMask, auth: Option<&[u8]>) -> Answer<TpmSlotFields> {
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

    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Answer<SealedSecret> {
        if sealed.public[1..] != *auth.unwrap_or_default() {
            let lockout = Lockout { failed_tries: 1, max_tries: 32, interval_seconds: 600 };
            return Err(ClientError::Tpm(TpmError::WrongPin(lockout)));
        }
        let mut secret = new_secret();
        secret.copy_from_slice(&sealed.private);
        Ok(secret)
    }
}

/// A volume in memory whose owner holds this keyring.
pub struct KeysFixture {
    pub files: CrashingFiles,
    pub header: Header,
    pub keyring: Keyring,
}

impl KeysFixture {
    /// With a list and no slot.
    pub fn new() -> KeysFixture {
        let keyring = Keyring::generate();
        let header = Header::new(Cipher::Aes256Gcm, ChunkSize::DEFAULT, &keyring);
        let fixture = KeysFixture { files: CrashingFiles::default(), header, keyring };
        let epochs = fixture.keyring.epochs().into_iter().collect();
        fixture.put_list(&List { generation: 1, floor: 1, epochs, ..List::default() });
        fixture
    }

    pub fn put_list(&self, list: &List) {
        let slots = Slots::of(self.files.clone());
        slots.write_list(&self.header.digest(), self.keyring.seed().unwrap(), list).unwrap();
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.files.files.borrow_mut().insert(name.to_owned(), bytes.to_vec());
    }

    /// What this keyring's owner would make, in a file; a slot around `inside`.
    pub fn add_by(&self, by: &Keyring, label: &str, with: &Enrol<'_>, inside: &Keyring) -> SlotId {
        let by = Issuer { volume: self.header.digest(), generation: 2, seed: by.seed() };
        let (slot, _) = Slot::enrol(&by, label.parse().unwrap(), with, inside).unwrap();
        self.put(&file_name(slot.id), &slot.to_json());
        slot.id
    }

    pub fn add(&self, label: &str, with: &Enrol<'_>) -> SlotId {
        self.add_by(&self.keyring, label, with, &self.keyring)
    }

    /// As a device sees it that pinned the owner key.
    pub fn look(&self) -> Locked {
        self.look_as(&Expected { pinned: Some(self.keyring.owner()), ..Expected::default() })
    }

    pub fn look_as(&self, expected: &Expected) -> Locked {
        Found::of(self.header.clone(), Slots::of(self.files.clone())).look(expected).unwrap()
    }

    /// The volume as its owner has opened it.
    pub fn opened(&self) -> Opened {
        Opened {
            header: self.header.clone(),
            keyring: self.keyring.duplicate(),
            newest: self.keyring.newest(),
            slot: SlotId([0; 16]),
            slot_type: super::SlotType::Recovery,
        }
    }

    /// The numbers of epochs of each keyring that this credential opens.
    pub fn epochs(&self, credential: &Credential<'_>) -> Vec<usize> {
        let locked = self.look();
        let slots = locked.listing.slots.iter().filter(|slot| slot.fits(credential));
        slots.filter_map(|slot| locked.open_slot(slot, credential).ok()).map(|k| k.epochs().len()).collect()
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
    fn each_name(&self, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.step()?;
        self.files.borrow().keys().for_each(|name| tell(name.as_bytes()));
        Ok(())
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
