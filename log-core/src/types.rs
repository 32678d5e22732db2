//! The newtypes that keep a record number, a byte number and an epoch apart.
//!
//! Floor 0 of log-core.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The number of a record in its log, counted from 0. Never a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of every new log.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a byte in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position `bytes` further on.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the unclean starts of a log; stamped into every stored batch (`partitionLeaderEpoch`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a log without a word from the wire: the topic's id and the partition's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The topic's 16 id bytes.
    pub topic: [u8; 16],
    /// The partition's number, from 0.
    pub partition: u32,
}

impl LogId {
    /// The directory of the topic, below the data directory's `logs`: its id in 32 hex digits.
    #[must_use]
    pub fn topic_dir(&self) -> String {
        self.topic
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Puts the id behind what `out` holds: the topic's bytes, then the partition.
    pub(crate) fn encode(self, out: &mut BytesMut) {
        out.put_slice(&self.topic);
        out.put_u32(self.partition);
    }

    /// Takes an id off the front of `bytes`; `None` if there are too few.
    pub(crate) fn decode(bytes: &mut Bytes) -> Option<Self> {
        let mut topic = [0; 16];
        bytes.try_copy_to_slice(&mut topic).ok()?;
        let partition = bytes.try_get_u32().ok()?;
        Some(Self { topic, partition })
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic_dir(), self.partition)
    }
}
