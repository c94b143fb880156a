//! Age: a secret for the holder of a public key (docs/FORMAT.md section 4.2, type `recipient`).
//!
//! Nothing here asks a person: an identity that needs a passphrase or a PIN of its own is refused. Programs of age's
//! plugins are started only for names that the recipient or the identity file gives, never for what a slot says.

use super::Secret;
use age::{DecryptError, Decryptor, EncryptError, Encryptor, IdentityFile, NoCallbacks, plugin, ssh};
use std::fmt;
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// Secret halves of public keys, from an identity file.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

/// Why a secret could not be wrapped or unwrapped for a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientError {
    /// Neither an age recipient nor an SSH public key of a kind that age supports.
    BadRecipient,
    /// Neither an age identity file nor an SSH private key.
    BadIdentity,
    /// An SSH private key that is itself under a passphrase.
    IdentityLocked,
    /// None of the identities is the recipient.
    NoMatch,
    /// Not what `wrap` makes.
    Damaged,
    /// The plugin is missing or failed; its own words.
    Plugin(String),
}

impl fmt::Display for RecipientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecipientError::BadRecipient => f.write_str("neither an age recipient nor an SSH public key"),
            RecipientError::BadIdentity => f.write_str("neither an age identity file nor an SSH private key"),
            RecipientError::IdentityLocked => f.write_str("the SSH private key is under a passphrase"),
            RecipientError::NoMatch => f.write_str("none of the identities is the recipient"),
            RecipientError::Damaged => f.write_str("damaged"),
            RecipientError::Plugin(words) => write!(f, "age plugin: {words}"),
        }
    }
}

impl std::error::Error for RecipientError {}

impl Identities {
    /// Reads an age identity file or an SSH private key.
    pub fn parse(file: &[u8]) -> Result<Identities, RecipientError> {
        if file.starts_with(b"-----BEGIN") {
            return match ssh::Identity::from_buffer(file, None) {
                Ok(key @ ssh::Identity::Unencrypted(_)) => Ok(Identities(vec![Box::new(key)])),
                Ok(ssh::Identity::Encrypted(_)) => Err(RecipientError::IdentityLocked),
                Ok(ssh::Identity::Unsupported(_)) | Err(_) => Err(RecipientError::BadIdentity),
            };
        }
        let file = IdentityFile::from_buffer(file).map_err(|_| RecipientError::BadIdentity)?;
        let identities = file.into_identities().map_err(|error| RecipientError::Plugin(error.to_string()))?;
        if identities.is_empty() { Err(RecipientError::BadIdentity) } else { Ok(Identities(identities)) }
    }
}

/// A binary age file with `secret` for `recipient` ("age1…", "ssh-ed25519 …", "ssh-rsa …").
pub fn wrap(recipient: &str, secret: &Secret) -> Result<Vec<u8>, RecipientError> {
    let recipient = parse_recipient(recipient)?;
    let encryptor =
        Encryptor::with_recipients(std::iter::once(&*recipient)).map_err(|error| match error {
            EncryptError::Plugin(_) | EncryptError::PluginResolve(_) => {
                RecipientError::Plugin(error.to_string())
            }
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
    Ok(Box::new(plugin.map_err(|error| RecipientError::Plugin(error.to_string()))?))
}

/// The secret in an age file that `wrap` made for one of these identities.
pub fn unwrap(file: &[u8], identities: &Identities) -> Result<Secret, RecipientError> {
    let decryptor = Decryptor::new_buffered(file).map_err(|_| RecipientError::Damaged)?;
    let identities = identities.0.iter().map(|identity| &**identity as &dyn age::Identity);
    let reader = decryptor.decrypt(identities).map_err(|error| match error {
        DecryptError::NoMatchingKeys => RecipientError::NoMatch,
        DecryptError::Plugin(_) | DecryptError::PluginResolve(_) => RecipientError::Plugin(error.to_string()),
        _ => RecipientError::Damaged,
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(64));
    reader.take(33).read_to_end(&mut plain).map_err(|_| RecipientError::Damaged)?;
    Secret::from_slice(&plain).ok_or(RecipientError::Damaged)
}
