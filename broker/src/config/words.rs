//! Settings that are one of a few words.
//!
//! Floor 1 of broker.

use crate::config::setting::{Any, SettingValue};
use crate::config::value::{Check, ConfigType};

/// How far a batch is checked before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Header and checksum, and the records of uncompressed batches. A client can store a
    /// compressed payload that nobody can decompress.
    Shallow,
    /// The records of every batch.
    Deep,
}

impl SettingValue for Validation {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::String;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        match Check::OneOf(&["shallow", "deep"]).check(text)?.as_str() {
            "deep" => Ok(Self::Deep),
            _ => Ok(Self::Shallow),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Shallow => "shallow",
            Self::Deep => "deep",
        }
        .to_owned()
    }
}

/// What a server does once nothing can be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPoison {
    /// It serves what is durable.
    ReadOnly,
    /// It ends, so that whoever supervises it starts it again.
    Exit,
}

impl SettingValue for OnPoison {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::String;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        match Check::OneOf(&["read-only", "exit"]).check(text)?.as_str() {
            "exit" => Ok(Self::Exit),
            _ => Ok(Self::ReadOnly),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::ReadOnly => "read-only",
            Self::Exit => "exit",
        }
        .to_owned()
    }
}

/// Whether clients show a certificate over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    None,
    /// They may; one that is not valid is refused.
    Requested,
    /// They must.
    Required,
}

impl SettingValue for ClientAuth {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::String;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        match Check::OneOf(&["none", "requested", "required"])
            .check(text)?
            .as_str()
        {
            "required" => Ok(Self::Required),
            "requested" => Ok(Self::Requested),
            _ => Ok(Self::None),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::None => "none",
            Self::Requested => "requested",
            Self::Required => "required",
        }
        .to_owned()
    }
}
