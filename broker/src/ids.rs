//! Names that are drawn once and kept: topic ids and the cluster id.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - The only place of the broker that asks for random bytes.
//! - An id is never the nil id, which means "none" on the wire.

use std::fmt;

use highwater_proto::cursor::Uuid;
use thiserror::Error;

/// A topic's id: drawn anew at each creation, so that a recreated topic is another topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// No topic.
    pub const NIL: Self = Self([0; 16]);

    /// The id of the metadata log. Fixed, because the log must be found before anything is known.
    pub const META: Self = Self(*b"highwater__meta\x01");

    /// A fresh id.
    pub fn random() -> Result<Self, NoRandomness> {
        random_uuid().map(Self)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid(self.0).fmt(f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// How a request names a topic: by its name in older versions, by its id in newer ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

impl From<&str> for TopicRef {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", name.escape_debug()),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// A cluster's id: drawn once, at the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// A fresh id.
    pub fn random() -> Result<Self, NoRandomness> {
        random_uuid().map(Self)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid(self.0).fmt(f)
    }
}

/// A number of a fetch session that nobody can guess; never 0, which means "none" on the wire.
pub fn random_session_id() -> Result<i32, NoRandomness> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok((i32::from_le_bytes(bytes) & i32::MAX).max(1))
}

/// An id for a member of a group: this and a random UUID, as Kafka writes it.
pub fn member_id(prefix: &str) -> Result<String, NoRandomness> {
    let uuid = u128::from_be_bytes(random_uuid()?);
    let part = |shift: u32, digits: u32| uuid >> shift & ((1 << (digits * 4)) - 1);
    Ok(format!(
        "{prefix}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    ))
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes for an id")]
pub struct NoRandomness;

/// A version 4 UUID. Its version digit keeps it apart from the nil and the metadata log's id.
fn random_uuid() -> Result<[u8; 16], NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_its_prefix_and_a_uuid_of_its_own() {
        let (one, two) = (member_id("a-b").unwrap(), member_id("a-b").unwrap());
        assert_ne!(one, two);
        let uuid = one.strip_prefix("a-b-").unwrap();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
    }

    #[test]
    fn fresh_ids_differ_and_are_version_4() {
        let (one, two) = (TopicId::random().unwrap(), TopicId::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.0[6] >> 4, 4);
        assert_ne!(
            TopicId::META.0[6] >> 4,
            4,
            "no drawn id can be the metadata log's"
        );
        assert_eq!(ClusterId::random().unwrap().to_string().len(), 22);
    }
}
