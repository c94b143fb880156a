//! Age: a secret for the holder of a public key (docs/FORMAT.md section 4.2, type `recipient`).
//!
//! Whom to ask for an identity's own passphrase or PIN, the caller says. Programs of age's plugins are found through
//! PATH, and started only for names that the recipient or the identity file gives, never for what a slot says.

use super::Secret;
use age::secrecy::SecretString;
use age::{
    Callbacks, DecryptError, Decryptor, EncryptError, Encryptor, IdentityFile, NoCallbacks, plugin, ssh,
};
use std::fmt;
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// Somebody who has what an identity asks for: the passphrase of an SSH key, the PIN of a plugin's hardware.
pub trait Person: Clone + Send + Sync + 'static {
    /// Shows what is to be done, such as touching a key.
    fn tell(&self, message: &str);
    /// The answer to a question, in UTF-8; `None` if nobody answers.
    fn ask(&self, question: &str) -> Option<Zeroizing<Vec<u8>>>;
}

/// A person in the form that age wants.
#[derive(Clone)]
struct Asked<P>(P);

impl<P: Person> Callbacks for Asked<P> {
    fn display_message(&self, message: &str) {
        self.0.tell(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let answer = self.0.ask(&format!("{message} (y: {yes}, n: {}) ", no.unwrap_or("no")))?;
        Some(answer.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'y')))
    }

    fn request_public_string(&self, question: &str) -> Option<String> {
        self.0.ask(&format!("{question}: ")).and_then(|answer| String::from_utf8(answer.to_vec()).ok())
    }

    fn request_passphrase(&self, question: &str) -> Option<SecretString> {
        let answer = self.0.ask(&format!("{question}: "))?;
        // Of the final size at once: growing or shrinking would leave copies behind.
        Some(SecretString::new(std::str::from_utf8(&answer).ok()?.into()))
    }
}

/// Secret halves of public keys, from an identity file.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

/// Why a secret could not be wrapped or unwrapped for a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// Neither an age recipient nor an SSH public key of a kind that age supports.
    #[error("neither an age recipient nor an SSH public key")]
    BadRecipient,
    /// Neither an age identity file nor an SSH private key.
    #[error("neither an age identity file nor an SSH private key")]
    BadIdentity,
    /// An SSH private key that is itself under a passphrase, and nobody could be asked for it.
    #[error("the SSH private key is under a passphrase")]
    IdentityLocked,
    /// The answer was not the passphrase of the SSH private key.
    #[error("not the passphrase of the SSH private key")]
    WrongPassphrase,
    /// None of the identities is the recipient.
    #[error("none of the identities is the recipient")]
    NoMatch,
    /// Not what `wrap` makes.
    #[error("damaged")]
    Damaged,
    /// The plugin is missing or failed; its own words.
    #[error("age plugin: {0}")]
    Plugin(String),
}

impl RecipientError {
    /// On one line, and without the marks for writing directions that age puts around names.
    fn plugin(error: &dyn fmt::Display) -> RecipientError {
        let words = error.to_string().replace(['\u{2068}', '\u{2069}'], "");
        RecipientError::Plugin(words.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl Identities {
    /// Reads an age identity file or an SSH private key, with nobody to ask.
    ///
    /// # Errors
    ///
    /// `BadIdentity` for anything else, `IdentityLocked` for an SSH key under a passphrase.
    pub fn parse(file: &[u8]) -> Result<Identities, RecipientError> {
        Identities::read(file, NoCallbacks)
    }

    /// Reads identities as [`Identities::parse`] does, with a person who is asked for an SSH key's passphrase at once, and what plugins want to know when
    /// they are used.
    ///
    /// # Errors
    ///
    /// `BadIdentity` for anything else, `WrongPassphrase`, and `IdentityLocked` where nobody answers.
    pub fn asking(file: &[u8], person: impl Person) -> Result<Identities, RecipientError> {
        Identities::read(file, Asked(person))
    }

    fn read(file: &[u8], person: impl Callbacks) -> Result<Identities, RecipientError> {
        if file.starts_with(b"-----BEGIN") {
            let key = match ssh::Identity::from_buffer(file, None) {
                Ok(key @ ssh::Identity::Unencrypted(_)) => key,
                Ok(ssh::Identity::Encrypted(locked)) => {
                    let passphrase = person.request_passphrase("Passphrase of the SSH private key");
                    let opened = locked.decrypt(passphrase.ok_or(RecipientError::IdentityLocked)?);
                    opened.map_err(|_| RecipientError::WrongPassphrase)?.into()
                }
                Ok(ssh::Identity::Unsupported(_)) | Err(_) => return Err(RecipientError::BadIdentity),
            };
            return Ok(Identities(vec![Box::new(key)]));
        }
        let file = IdentityFile::from_buffer(file).map_err(|_| RecipientError::BadIdentity)?;
        let identities =
            file.with_callbacks(person).into_identities().map_err(|error| RecipientError::plugin(&error))?;
        if identities.is_empty() { Err(RecipientError::BadIdentity) } else { Ok(Identities(identities)) }
    }
}

/// A binary age file with `secret` for `recipient` ("age1…", "ssh-ed25519 …", "ssh-rsa …").
///
/// # Errors
///
/// `BadRecipient` for anything else, `Plugin` with its words.
pub fn wrap(recipient: &str, secret: &Secret) -> Result<Vec<u8>, RecipientError> {
    let recipient = parse_recipient(recipient)?;
    let encryptor =
        Encryptor::with_recipients(std::iter::once(&*recipient)).map_err(|error| match error {
            EncryptError::Plugin(_) | EncryptError::PluginResolve(_) => RecipientError::plugin(&error),
            _ => RecipientError::BadRecipient,
        })?;
    let mut out = Vec::new();
    let written = encryptor.wrap_output(&mut out).and_then(|mut file| {
        file.write_all(secret.bytes())?;
        file.finish()
    });
    written.expect("writing to memory does not fail");
    Ok(out)
}

fn parse_recipient(text: &str) -> Result<Box<dyn age::Recipient>, RecipientError> {
    if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<ssh::Recipient>() {
        return Ok(Box::new(recipient));
    }
    let recipient: plugin::Recipient = text.parse().map_err(|_| RecipientError::BadRecipient)?;
    let name = recipient.plugin().to_owned();
    let plugin = plugin::RecipientPluginV1::new(&name, &[recipient], &[], NoCallbacks);
    Ok(Box::new(plugin.map_err(|error| RecipientError::plugin(&error))?))
}

/// The secret in an age file that `wrap` made for one of these identities.
///
/// # Errors
///
/// `NoMatch` if no identity is the recipient, `Damaged` for a file that `wrap` does not make, `Plugin` with its
/// words.
pub fn unwrap(file: &[u8], identities: &Identities) -> Result<Secret, RecipientError> {
    let decryptor = Decryptor::new_buffered(file).map_err(|_| RecipientError::Damaged)?;
    let identities = identities.0.iter().map(|identity| &**identity as &dyn age::Identity);
    let reader = decryptor.decrypt(identities).map_err(|error| match error {
        DecryptError::NoMatchingKeys => RecipientError::NoMatch,
        DecryptError::Plugin(_) | DecryptError::PluginResolve(_) => RecipientError::plugin(&error),
        _ => RecipientError::Damaged,
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(64));
    reader.take(33).read_to_end(&mut plain).map_err(|_| RecipientError::Damaged)?;
    Secret::from_slice(&plain).ok_or(RecipientError::Damaged)
}
