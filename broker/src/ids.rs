//! Names that are drawn once and kept: topic ids and the cluster id.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - The only place of the broker that asks for random bytes.
//! - An id is never the nil id, which means "none" on the wire.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_log::keys::KeySeed;
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

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid(self.0).fmt(f)
    }
}

/// Where ids come from.
#[derive(Debug)]
pub enum Ids {
    /// The operating system's random bytes: nobody can guess them.
    System,
    /// Numbers that follow from a seed, for simulations: the same calls give the same ids.
    Seeded(AtomicU64),
}

impl Ids {
    /// A fresh id for a topic.
    pub fn topic(&self) -> Result<TopicId, NoRandomness> {
        self.uuid().map(TopicId)
    }

    /// A fresh id for a cluster.
    pub fn cluster(&self) -> Result<ClusterId, NoRandomness> {
        self.uuid().map(ClusterId)
    }

    /// A number for a fetch session; never 0, which means "none" on the wire.
    pub fn session(&self) -> Result<i32, NoRandomness> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok((i32::from_le_bytes(bytes) & i32::MAX).max(1))
    }

    /// An id for a member of a group: this and a random UUID, as Kafka writes it.
    pub fn member(&self, prefix: &str) -> Result<String, NoRandomness> {
        let uuid = u128::from_be_bytes(self.uuid()?);
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

    /// A secret of 256 bits.
    pub fn secret(&self) -> Result<[u8; 32], NoRandomness> {
        let mut bytes = [0; 32];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// What the keys of logs are hashed with.
    pub fn key_seed(&self) -> Result<KeySeed, NoRandomness> {
        let mut seed = KeySeed::default();
        self.fill(&mut seed.0)?;
        Ok(seed)
    }

    /// A text that nobody has seen before: 32 hexadecimal digits.
    pub fn nonce(&self) -> Result<String, NoRandomness> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// A version 4 UUID. Its version digit keeps it apart from the nil and the metadata log's id.
    fn uuid(&self) -> Result<[u8; 16], NoRandomness> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(bytes)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        match self {
            Self::System => getrandom::fill(bytes).map_err(|_| NoRandomness),
            Self::Seeded(state) => {
                for bytes in bytes.chunks_mut(8) {
                    let state = state.fetch_add(GOLDEN, Ordering::Relaxed);
                    bytes.copy_from_slice(&mixed(state).to_le_bytes()[..bytes.len()]);
                }
                Ok(())
            }
        }
    }
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes for an id")]
pub struct NoRandomness;

/// SplitMix64 (Steele, Lea and Flood, 2014).
const fn mixed(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(GOLDEN);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The odd number that is nearest to 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_its_prefix_and_a_uuid_of_its_own() {
        let ids = Ids::System;
        let (one, two) = (ids.member("a-b").unwrap(), ids.member("a-b").unwrap());
        assert_ne!(one, two);
        let uuid = one.strip_prefix("a-b-").unwrap();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
    }

    #[test]
    fn fresh_ids_differ_and_are_version_4() {
        let ids = Ids::System;
        let (one, two) = (ids.topic().unwrap(), ids.topic().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.0[6] >> 4, 4);
        assert_ne!(
            TopicId::META.0[6] >> 4,
            4,
            "no drawn id can be the metadata log's"
        );
        assert_eq!(ids.cluster().unwrap().to_string().len(), 22);
    }

    #[test]
    fn seeded_ids_follow_from_the_seed_and_differ() {
        let drawn = |seed| {
            let ids = Ids::Seeded(AtomicU64::new(seed));
            (ids.topic().unwrap(), ids.topic().unwrap(), ids.session())
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_ne!(drawn(1).0, drawn(1).1);
        // The first two numbers of SplitMix64 for this seed.
        let bytes = Ids::Seeded(AtomicU64::new(1_234_567)).uuid().unwrap();
        assert_eq!(bytes[..6], 6_457_827_717_110_365_317_u64.to_le_bytes()[..6]);
        assert_eq!(bytes[9..], 3_203_168_211_198_807_973_u64.to_le_bytes()[1..]);
    }
}
