//! The type `recipient`: the slot key in an age file for somebody's public key.

use super::{Defect, Field, Members};

/// Whose slot it is, and their age file.
pub struct Recipient {
    recipient: String,
    pub(super) stanza: Vec<u8>,
}

impl Recipient {
    pub(super) fn new(recipient: &str, stanza: Vec<u8>) -> Option<Recipient> {
        let fits = is_recipient(recipient) && STANZA.contains(&stanza.len());
        fits.then(|| Recipient { recipient: recipient.to_owned(), stanza })
    }

    pub(super) fn parse(members: &mut Members) -> Result<Recipient, Defect> {
        let recipient = members.text("recipient")?;
        if !is_recipient(&recipient) {
            return Err(Defect::Invalid("recipient"));
        }
        Ok(Recipient { recipient, stanza: members.bytes("stanza", STANZA)? })
    }

    pub(super) fn fields(&self) -> [(&'static str, Field<'_>); 2] {
        [("recipient", Field::Text(&self.recipient)), ("stanza", Field::Bytes(&self.stanza))]
    }

    /// The public key, as it was given at enrolment.
    pub fn public_key(&self) -> &str {
        &self.recipient
    }
}

const STANZA: std::ops::RangeInclusive<usize> = 1..=16384;

fn is_recipient(text: &str) -> bool {
    (1..=8192).contains(&text.len()) && !text.chars().any(char::is_control)
}
