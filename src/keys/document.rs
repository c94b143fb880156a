//! Strict flat JSON objects: the form of `cryptfs.json` and of the slots, and the bytes that authenticate them.
//!
//! Whoever holds the folder chooses these bytes. So: bounded before parsing, each member once, of the expected type
//! and within its bounds, none missing, none left over; the version is looked at before the members are.

use super::hex;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::ops::RangeInclusive;

/// Longest file, in bytes.
pub const MAX_LENGTH: usize = 1 << 16;
/// The version of the format.
pub const VERSION: u64 = 2;
/// Generations and epochs' numbers.
pub const NUMBERS: RangeInclusive<u64> = 1..=(1 << 40) - 1;
/// Creation times, in seconds since 1970.
pub const TIMES: RangeInclusive<u64> = 0..=(1 << 40) - 1;

/// Why bytes are not such a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// No regular file, or too long to be looked at.
    #[error("not a regular file of at most {MAX_LENGTH} bytes")]
    NotAFile,
    #[error("longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Not one JSON object.
    #[error("not a JSON object")]
    NotJson,
    /// Another kind of document.
    #[error("not a document of cryptfs")]
    Foreign,
    /// A version that this program does not know.
    #[error("of version {0}, not of version {VERSION}")]
    Version(u64),
    /// It says itself that programs which do not know these must leave it alone.
    #[error("made with {}, which this program does not know", listed(.0))]
    Critical(Vec<String>),
    /// Its signature does not hold.
    #[error("not signed by the owner key, or changed since")]
    Forged,
    #[error("member {0:?} occurs twice")]
    Duplicate(String),
    #[error("member {0:?} is missing")]
    Missing(&'static str),
    #[error("member {0:?} is unknown")]
    Unknown(String),
    /// Of another type than it should be, or out of its bounds.
    #[error("member {0:?} is of the wrong type or out of bounds")]
    Invalid(&'static str),
}

/// A value that is written and authenticated.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    Number(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl Field<'_> {
    /// As JSON.
    pub fn json(&self) -> String {
        match self {
            Field::Number(number) => number.to_string(),
            Field::Text(text) => serde_json::Value::from(*text).to_string(),
            Field::Bytes(bytes) => format!("\"{}\"", hex::encode(bytes)),
        }
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        let number;
        let bytes = match self {
            Field::Number(value) => {
                number = value.to_le_bytes();
                &number[..]
            }
            Field::Text(text) => text.as_bytes(),
            Field::Bytes(bytes) => bytes,
        };
        let length = u32::try_from(bytes.len()).expect("the members of a document are far below 4 GiB");
        out.extend(length.to_le_bytes());
        out.extend(bytes);
    }
}

/// LP(f) of each field, one after the other.
pub fn length_prefixed(fields: &[Field<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|field| field.append_to(&mut out));
    out
}

/// One JSON object of members that are JSON already, one a line.
pub fn write(members: &[(&str, String)]) -> Vec<u8> {
    let lines: Vec<_> = members.iter().map(|(name, json)| format!("  \"{name}\": {json}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
}

/// The members of a document that were not taken yet.
pub struct Members(Vec<(String, Value)>);

enum Value {
    Number(u64),
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    Other,
}

impl Members {
    /// The members beside `format` and `version`, which have to be these.
    ///
    /// # Errors
    ///
    /// [`Defect::TooLong`], [`Defect::NotJson`], [`Defect::Duplicate`]; [`Defect::Foreign`] for another `format`;
    /// [`Defect::Version`], or [`Defect::Missing`] or [`Defect::Invalid`] where `version` is no number.
    pub fn parse(bytes: &[u8], format: &str) -> Result<Members, Defect> {
        if bytes.len() > MAX_LENGTH {
            return Err(Defect::TooLong);
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let pairs = json.deserialize_map(ObjectVisitor).map_err(|_| Defect::NotJson)?;
        json.end().map_err(|_| Defect::NotJson)?;
        let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Defect::Duplicate(twice[0].clone()));
        }
        let mut members = Members(pairs);
        if members.text("format").map_err(|_| Defect::Foreign)? != format {
            return Err(Defect::Foreign);
        }
        match members.number("version", 1..=u64::MAX)? {
            VERSION => Ok(members),
            found => Err(Defect::Version(found)),
        }
    }

    fn take(&mut self, name: &'static str) -> Result<Value, Defect> {
        let found = self.0.iter().position(|(other, _)| other == name).ok_or(Defect::Missing(name))?;
        Ok(self.0.swap_remove(found).1)
    }

    /// Takes a number.
    ///
    /// # Errors
    ///
    /// [`Defect::Missing`]; [`Defect::Invalid`] for anything else, and out of the bounds.
    pub fn number(&mut self, name: &'static str, bounds: RangeInclusive<u64>) -> Result<u64, Defect> {
        match self.take(name)? {
            Value::Number(number) if bounds.contains(&number) => Ok(number),
            _ => Err(Defect::Invalid(name)),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    ///
    /// [`Defect::Missing`]; [`Defect::Invalid`] for anything else.
    pub fn text(&mut self, name: &'static str) -> Result<String, Defect> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(Defect::Invalid(name)),
        }
    }

    /// Takes bytes, written as hexadecimal digits: as many bytes as `lengths` has.
    ///
    /// # Errors
    ///
    /// [`Defect::Missing`]; [`Defect::Invalid`] for anything else, and for another number of bytes.
    pub fn bytes(&mut self, name: &'static str, lengths: RangeInclusive<usize>) -> Result<Vec<u8>, Defect> {
        let bytes = hex::decode(&self.text(name)?).ok_or(Defect::Invalid(name))?;
        if lengths.contains(&bytes.len()) { Ok(bytes) } else { Err(Defect::Invalid(name)) }
    }

    /// Takes `N` bytes, written as hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`Defect::Missing`]; [`Defect::Invalid`] for anything else.
    pub fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], Defect> {
        hex::decode_array(&self.text(name)?).ok_or(Defect::Invalid(name))
    }

    /// Takes the list of what a program has to know, of which this one knows nothing.
    ///
    /// # Errors
    ///
    /// [`Defect::Missing`]; [`Defect::Critical`] if there is anything in it; [`Defect::Invalid`] for anything else than a
    /// list of texts.
    pub fn critical(&mut self, name: &'static str) -> Result<(), Defect> {
        match self.take(name)? {
            Value::Texts(texts) if texts.is_empty() => Ok(()),
            Value::Texts(texts) => Err(Defect::Critical(texts)),
            _ => Err(Defect::Invalid(name)),
        }
    }

    /// Refuses members that nobody took.
    ///
    /// # Errors
    ///
    /// [`Defect::Unknown`] with the name of one of them.
    pub fn finish(self) -> Result<(), Defect> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(Defect::Unknown(name)),
            None => Ok(()),
        }
    }
}

/// Some of them, as one can see them whatever they are: anybody may have written them.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(8).map(|name| format!("{:?}", name.chars().take(40).collect::<String>()));
    shown.collect::<Vec<_>>().join(", ")
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(value) = list.next_element()? {
            match (value, &mut texts) {
                (Value::Text(text), Some(texts)) => texts.push(text),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Value::Other, Value::Texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }
}
