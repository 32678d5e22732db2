//! The configs of a broker that can be changed while it runs: the defaults of topics, and those
//! of Kafka that have no effect here and are kept for its tools.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - A name is never taken out of the table: a metadata log may hold it.
//! - Every default passes its own check.

use std::collections::BTreeMap;

use crate::config::overrides::{Overrides, Table};
use crate::config::topic::TopicConfig;
use crate::config::value::{Check, ConfigEntry, ConfigSource, ConfigSynonym, ConfigType};

/// What is set on a broker while it runs, or on every broker, by the broker's names.
pub type DynamicConfigs = Overrides<DynamicTable>;

/// The table of what can be set on a broker while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicTable;

impl Table for DynamicTable {
    fn find(name: &str) -> Option<(&'static str, Check)> {
        let kept = KeptConfig::named(name).map(|row| (row.name, row.check));
        kept.or_else(|| {
            let row = TopicConfig::by_synonym(name)?;
            Some((row.synonym?, row.check))
        })
    }

    fn is_ignored(_: &str) -> bool {
        false
    }

    const UNKNOWN: &'static str = "the broker's configs are set at its start and cannot be \
        changed while it runs, but for those that are described as not read-only";
}

/// What is set while the broker runs: on it, and below that on every broker.
#[derive(Clone, Copy, Debug)]
pub struct Dynamic<'a> {
    /// What is set on this broker.
    pub broker: &'a DynamicConfigs,
    /// What is set on every broker.
    pub every: &'a DynamicConfigs,
}

impl<'a> Dynamic<'a> {
    /// What a map of what is set on brokers says for this one; `None` is every broker.
    #[must_use]
    pub fn of(all: &'a BTreeMap<Option<i32>, DynamicConfigs>, node_id: i32) -> Self {
        let set = |key| all.get(&key).unwrap_or(&NOTHING);
        Self {
            broker: set(Some(node_id)),
            every: set(None),
        }
    }

    /// The values of a name with their places, the effective one first.
    pub(super) fn values(self, name: &str) -> impl Iterator<Item = (&'a str, ConfigSource)> {
        let broker = self.broker.value(name);
        let every = self.every.value(name);
        broker
            .map(|value| (value, ConfigSource::DynamicBroker))
            .into_iter()
            .chain(every.map(|value| (value, ConfigSource::DynamicDefault)))
    }
}

impl Default for Dynamic<'_> {
    /// Nothing is set.
    fn default() -> Self {
        Self {
            broker: &NOTHING,
            every: &NOTHING,
        }
    }
}

/// A config of Kafka's brokers that Kafka lets change while they run and that has no effect here.
#[derive(Debug)]
pub(super) struct KeptConfig {
    name: &'static str,
    kind: ConfigType,
    check: Check,
    default: &'static str,
    documentation: &'static str,
}

impl KeptConfig {
    fn named(name: &str) -> Option<&'static Self> {
        KEPT.iter().find(|row| row.name == name)
    }

    fn entry(&self, dynamic: Dynamic<'_>) -> ConfigEntry {
        let built_in = (self.default, ConfigSource::Default);
        let synonyms: Vec<ConfigSynonym> = dynamic
            .values(self.name)
            .chain([built_in])
            .map(|(value, source)| ConfigSynonym {
                name: self.name,
                value: value.to_owned(),
                source,
            })
            .collect();
        let (value, source) = dynamic.values(self.name).next().unwrap_or(built_in);
        ConfigEntry {
            name: self.name,
            value: value.to_owned(),
            source,
            kind: self.kind,
            read_only: false,
            synonyms,
            documentation: self.documentation,
        }
    }
}

/// Everything that DescribeConfigs tells of the configs that are kept.
pub(super) fn kept_entries(dynamic: Dynamic<'_>) -> impl Iterator<Item = ConfigEntry> {
    KEPT.iter().map(move |row| row.entry(dynamic))
}

static NOTHING: DynamicConfigs = DynamicConfigs::new();

/// In the order of their names.
static KEPT: &[KeptConfig] = &[
    kept("background.threads", ConfigType::Int, COUNT, "10", THREADS),
    kept(
        "follower.replication.throttled.rate",
        ConfigType::Long,
        Check::Whole(0, i64::MAX),
        "9223372036854775807",
        NO_REPLICAS,
    ),
    kept(
        "leader.replication.throttled.rate",
        ConfigType::Long,
        Check::Whole(0, i64::MAX),
        "9223372036854775807",
        NO_REPLICAS,
    ),
    kept(
        "log.cleaner.backoff.ms",
        ConfigType::Long,
        Check::Whole(0, i64::MAX),
        "15000",
        NO_CLEANER,
    ),
    kept(
        "log.cleaner.dedupe.buffer.size",
        ConfigType::Long,
        Check::Whole(0, i64::MAX),
        "134217728",
        NO_CLEANER,
    ),
    kept(
        "log.cleaner.io.buffer.load.factor",
        ConfigType::Double,
        Check::Number(0.0, f64::MAX),
        "0.9",
        NO_CLEANER,
    ),
    kept(
        "log.cleaner.io.buffer.size",
        ConfigType::Int,
        Check::Whole(0, i32::MAX as i64),
        "524288",
        NO_CLEANER,
    ),
    kept(
        "log.cleaner.io.max.bytes.per.second",
        ConfigType::Double,
        Check::Number(0.0, f64::MAX),
        "1.7976931348623157E308",
        NO_CLEANER,
    ),
    kept(
        "log.cleaner.threads",
        ConfigType::Int,
        Check::Whole(0, i32::MAX as i64),
        "1",
        NO_CLEANER,
    ),
    kept("num.io.threads", ConfigType::Int, COUNT, "8", THREADS),
    kept(
        "num.recovery.threads.per.data.dir",
        ConfigType::Int,
        COUNT,
        "2",
        THREADS,
    ),
    kept(
        "num.replica.fetchers",
        ConfigType::Int,
        COUNT,
        "1",
        NO_REPLICAS,
    ),
    kept(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        ConfigType::Long,
        Check::Whole(0, i64::MAX),
        "9223372036854775807",
        "Kept for tools; there is one directory.",
    ),
    kept(
        "sasl.kerberos.min.time.before.relogin",
        ConfigType::Long,
        Check::Whole(0, i64::MAX),
        "60000",
        NO_KERBEROS,
    ),
    kept(
        "sasl.kerberos.ticket.renew.jitter",
        ConfigType::Double,
        Check::Number(0.0, f64::MAX),
        "0.05",
        NO_KERBEROS,
    ),
    kept(
        "sasl.kerberos.ticket.renew.window.factor",
        ConfigType::Double,
        Check::Number(0.0, f64::MAX),
        "0.8",
        NO_KERBEROS,
    ),
];

const fn kept(
    name: &'static str,
    kind: ConfigType,
    check: Check,
    default: &'static str,
    documentation: &'static str,
) -> KeptConfig {
    KeptConfig {
        name,
        kind,
        check,
        default,
        documentation,
    }
}

const COUNT: Check = Check::Whole(1, i32::MAX as i64);
const THREADS: &str = "Kept for tools; num.network.threads serve everything here.";
const NO_CLEANER: &str = "Kept for tools; there are no cleaner threads to set.";
const NO_KERBEROS: &str = "Kept for tools; there is no Kerberos here.";
const NO_REPLICAS: &str = "Kept for tools; there are no followers.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_check_and_no_name_is_set_elsewhere() {
        let mut settings = crate::config::BrokerConfig::default();
        for (at, row) in KEPT.iter().enumerate() {
            let checked = row.check.check(row.default);
            assert_eq!(checked.as_deref(), Ok(row.default), "{}", row.name);
            assert!(KEPT[at + 1..].iter().all(|other| other.name > row.name));
            assert!(TopicConfig::by_synonym(row.name).is_none(), "{}", row.name);
            assert!(settings.set(row.name, row.default).is_err(), "{}", row.name);
        }
    }

    #[test]
    fn what_is_set_on_the_broker_goes_before_what_is_set_on_all() {
        let (mut broker, mut every) = (DynamicConfigs::new(), DynamicConfigs::new());
        let name = "num.io.threads";
        let effective = |broker: &DynamicConfigs, every: &DynamicConfigs| {
            let mut entries = kept_entries(Dynamic { broker, every });
            let entry = entries.find(|entry| entry.name == name).unwrap();
            (entry.value, entry.source, entry.synonyms.len())
        };
        let is = |value: &str, source, places| (value.to_owned(), source, places);
        assert_eq!(
            effective(&broker, &every),
            is("8", ConfigSource::Default, 1)
        );
        every.set(name, "3").unwrap();
        assert_eq!(
            effective(&broker, &every),
            is("3", ConfigSource::DynamicDefault, 2)
        );
        broker.set(name, "4").unwrap();
        assert_eq!(
            effective(&broker, &every),
            is("4", ConfigSource::DynamicBroker, 3)
        );
        assert!(broker.set(name, "0").is_err());
        assert!(
            broker.set("num.partitions", "2").is_err(),
            "read at the start"
        );
        assert!(broker.set("retention.ms", "2").is_err(), "a topic's name");
    }
}
