//! The settings that are words: when a producer is answered, where a consumer begins, and how a
//! group deals out.
//!
//! Floor 1 of client.

use std::fmt;
use std::str::FromStr;

use highwater_proto::compress::Codec;
use highwater_proto::sasl::Mechanism;
use highwater_proto::security::SecurityProtocol;

use super::table::Value;

/// When the broker answers a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Never (`acks=0`): a record may be lost without a word.
    None,
    /// When the batch is written (`acks=1`): it survives a kill of the broker, not a power cut.
    Leader,
    /// When the batch is durable under its topic's `durability` (`acks=all`).
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl FromStr for Acks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0" => Ok(Self::None),
            "1" => Ok(Self::Leader),
            "all" | "-1" => Ok(Self::All),
            _ => Err(format!("acks is 0, 1 or all, not {text}")),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        })
    }
}

/// Where a consumer begins when the offset that it asks for is outside the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// At the end: only what comes from now on. Kafka's default.
    #[default]
    Latest,
    /// Nowhere: `poll` answers the error.
    None,
}

impl FromStr for OffsetReset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is none of earliest, latest and none")),
        }
    }
}

impl fmt::Display for OffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::None => "none",
        })
    }
}

/// How the leader of a group deals out partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssignmentStrategy {
    /// `range`: of each topic by itself, every member gets a run of partitions; topics with equally
    /// many partitions are dealt out alike.
    Range,
    /// `roundrobin`: the partitions of all topics by turns.
    RoundRobin,
    /// `sticky`: balanced, and as little as possible moves from one generation to the next.
    Sticky,
    /// `cooperative-sticky`: as `sticky`, and what stays is read through the rebalance.
    CooperativeSticky,
}

impl AssignmentStrategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [
        Self::Range,
        Self::RoundRobin,
        Self::Sticky,
        Self::CooperativeSticky,
    ];

    /// Kafka's name of it, as members agree on it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The class that Java has for it: what its `partition.assignment.strategy` names.
    const fn class(self) -> &'static str {
        match self {
            Self::Range => "RangeAssignor",
            Self::RoundRobin => "RoundRobinAssignor",
            Self::Sticky => "StickyAssignor",
            Self::CooperativeSticky => "CooperativeStickyAssignor",
        }
    }
}

/// By its name, or by that of Java's class.
impl FromStr for AssignmentStrategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let class = text.strip_prefix(CLASS_PREFIX);
        let is_it = |it: &Self| it.name() == text || class == Some(it.class());
        Self::ALL.into_iter().find(is_it).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is none of {names}")
        })
    }
}

impl fmt::Display for AssignmentStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! word {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
            }

            fn print(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

word!(
    Acks,
    AssignmentStrategy,
    Codec,
    Mechanism,
    OffsetReset,
    SecurityProtocol
);

/// A list with commas.
impl Value for Vec<AssignmentStrategy> {
    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        items.map(str::parse).collect()
    }

    fn print(&self) -> Option<String> {
        let names: Vec<&str> = self.iter().map(|it| it.name()).collect();
        Some(names.join(","))
    }
}

/// Where Java's assignors stand.
const CLASS_PREFIX: &str = "org.apache.kafka.clients.consumer.";
