//! The table of topic configs: what each accepts, its default, and what it does here.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Every name that is accepted has a row in `TOPIC_CONFIGS`.
//! - Only checked values are kept, so that reading them back never fails.

use std::collections::BTreeMap;

use highwater_log::config::{Durability, LogConfig, TimestampType};

use crate::config::topic_table::TOPIC_CONFIGS;
use crate::config::value::{Check, ConfigEntry, ConfigSource, ConfigSynonym, ConfigType, list};
use crate::error::InvalidConfig;

/// One row: a config that a topic may have.
#[derive(Debug)]
pub struct TopicConfig {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// What it accepts.
    pub check: Check,
    /// Its built-in default.
    pub default: &'static str,
    /// The broker's setting that is the default of all topics.
    pub synonym: &'static str,
    /// What it means, in a sentence.
    pub documentation: &'static str,
}

impl TopicConfig {
    /// The row of a topic config.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TOPIC_CONFIGS.iter().find(|row| row.name == name)
    }

    /// Whether a name of Kafka 3.x has lost its meaning, so that it is accepted and ignored.
    #[must_use]
    pub fn is_ignored(name: &str) -> bool {
        IGNORED.contains(&name)
    }

    /// The row whose broker setting has this name.
    #[must_use]
    pub fn by_synonym(synonym: &str) -> Option<&'static Self> {
        TOPIC_CONFIGS.iter().find(|row| row.synonym == synonym)
    }
}

/// Values that replace defaults, by the name of the topic config. Each value was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicConfigs {
    values: BTreeMap<&'static str, String>,
}

impl TopicConfigs {
    /// Sets a config. A name of Kafka 3.x that has lost its meaning is accepted and ignored; then
    /// the answer is `false`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, InvalidConfig> {
        let Some(row) = TopicConfig::named(name) else {
            return if TopicConfig::is_ignored(name) {
                Ok(false)
            } else {
                Err(InvalidConfig::new(name, "no topic config has this name"))
            };
        };
        let value = row
            .check
            .check(value)
            .map_err(|why| InvalidConfig::new(name, why))?;
        self.values.insert(row.name, value);
        Ok(true)
    }

    /// The overrides that a metadata record holds; those that are not possible are left out.
    #[must_use]
    pub fn kept(stored: &BTreeMap<String, String>) -> Self {
        let mut configs = Self::default();
        for (name, value) in stored {
            // A start refuses a record with such an override before it is applied.
            drop(configs.set(name, value));
        }
        configs
    }

    /// The overrides as a metadata record holds them.
    #[must_use]
    pub fn to_stored(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Takes a config back to its default.
    pub fn remove(&mut self, name: &str) -> Result<(), InvalidConfig> {
        self.values.remove(name);
        if TopicConfig::named(name).is_some() || TopicConfig::is_ignored(name) {
            Ok(())
        } else {
            Err(InvalidConfig::new(name, "no topic config has this name"))
        }
    }

    /// The value that was set.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }
}

/// A topic's configs over the broker's defaults over the built-in ones.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    topic: &'a TopicConfigs,
    broker: &'a TopicConfigs,
}

impl<'a> Layers<'a> {
    /// What is set on the topic goes first, then what is set on the broker.
    #[must_use]
    pub fn new(topic: &'a TopicConfigs, broker: &'a TopicConfigs) -> Self {
        Self { topic, broker }
    }

    /// The effective value of a row.
    #[must_use]
    pub fn value(&self, row: &TopicConfig) -> &'a str {
        self.topic
            .value(row.name)
            .or_else(|| self.broker.value(row.name))
            .unwrap_or(row.default)
    }

    /// Everything that DescribeConfigs tells of the topic.
    #[must_use]
    pub fn entries(&self) -> Vec<ConfigEntry> {
        TOPIC_CONFIGS.iter().map(|row| self.entry(row)).collect()
    }

    fn entry(&self, row: &'static TopicConfig) -> ConfigEntry {
        let synonym = |name, value: &str, source| ConfigSynonym {
            name,
            value: value.into(),
            source,
        };
        let topic = self.topic.value(row.name);
        let broker = self.broker.value(row.name);
        let synonyms: Vec<ConfigSynonym> = [
            topic.map(|value| synonym(row.name, value, ConfigSource::Topic)),
            broker.map(|value| synonym(row.synonym, value, ConfigSource::StaticBroker)),
            Some(synonym(row.synonym, row.default, ConfigSource::Default)),
        ]
        .into_iter()
        .flatten()
        .collect();
        ConfigEntry {
            name: row.name,
            value: self.value(row).to_owned(),
            source: synonyms
                .first()
                .map_or(ConfigSource::Default, |first| first.source),
            kind: row.kind,
            read_only: false,
            synonyms,
            documentation: row.documentation,
        }
    }

    /// The values that the broker acts on. The checks of the table are narrower than the limits
    /// of a log, so that no checked value makes an unusable log.
    pub(super) fn settings(&self) -> TopicSettings {
        let cleanup = list(self.text("cleanup.policy"));
        TopicSettings {
            message_bytes_max: self.size("max.message.bytes"),
            timestamp_before_max_ms: self.whole("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: self.whole("message.timestamp.after.max.ms"),
            compacted: cleanup.contains(&"compact"),
            log: self.log_config(cleanup.contains(&"delete")),
        }
    }

    fn log_config(&self, delete: bool) -> LogConfig {
        LogConfig {
            segment_bytes: self.whole("segment.bytes").unsigned_abs(),
            segment_ms: self.whole("segment.ms"),
            retention_ms: Some(self.whole("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(self.whole("retention.bytes")).ok(),
            delete,
            index_interval_bytes: u32::try_from(self.whole("index.interval.bytes"))
                .unwrap_or(u32::MAX),
            durability: match self.text("durability") {
                "page-cache" => Durability::PageCache,
                _ => Durability::Fsync,
            },
            flush_ms: self.whole("flush.ms").unsigned_abs(),
            flush_bytes: self.whole("flush.bytes").unsigned_abs(),
            timestamp_type: match self.text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            ..LogConfig::default()
        }
    }

    fn text(&self, name: &str) -> &'a str {
        TopicConfig::named(name).map_or("", |row| self.value(row))
    }

    fn whole(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.whole(name)).unwrap_or(usize::MAX)
    }
}

/// The configs that the broker acts on, read once at each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// The largest batch.
    pub message_bytes_max: usize,
    /// How far a record's time may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// How far a record's time may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` has compact: then each record needs a key.
    pub compacted: bool,
    /// What the log itself acts on.
    pub log: LogConfig,
}

/// Of Kafka 3.x: accepted and ignored, because old tools and scripts still send them.
const IGNORED: &[&str] = &[
    "message.format.version",
    "message.downconversion.enable",
    "message.timestamp.difference.max.ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn layers_of(topic: &TopicConfigs, broker: &TopicConfigs) -> Vec<ConfigEntry> {
        Layers::new(topic, broker).entries()
    }

    #[test]
    fn every_default_passes_its_own_check_and_no_name_stands_twice() {
        for (index, row) in TOPIC_CONFIGS.iter().enumerate() {
            assert_eq!(
                row.check.check(row.default).as_deref(),
                Ok(row.default),
                "{}",
                row.name
            );
            assert!(row.documentation.ends_with('.'), "{}", row.name);
            let later = &TOPIC_CONFIGS[index + 1..];
            assert!(
                later
                    .iter()
                    .all(|o| o.name > row.name && o.synonym != row.synonym)
            );
            assert_eq!(
                row.kind == ConfigType::List,
                row.check.is_list(),
                "{}",
                row.name
            );
        }
    }

    /// The smallest and the largest value that each row accepts make a log that can be opened.
    #[test]
    fn no_checked_value_makes_an_unusable_log() {
        let no_topic = TopicConfigs::default();
        assert_eq!(
            Layers::new(&no_topic, &no_topic).settings().log.validate(),
            Ok(())
        );
        for row in TOPIC_CONFIGS {
            let Check::Whole(min, max) = row.check else {
                continue;
            };
            for value in [min, max] {
                let mut configs = TopicConfigs::default();
                configs.set(row.name, &value.to_string()).unwrap();
                let settings = Layers::new(&configs, &no_topic).settings();
                assert_eq!(settings.log.validate(), Ok(()), "{} = {value}", row.name);
            }
        }
    }

    #[test]
    fn the_topic_goes_before_the_broker_before_the_default() {
        let (mut topic, mut broker) = (TopicConfigs::default(), TopicConfigs::default());
        broker.set("retention.ms", "5").unwrap();
        let entry = |topic: &TopicConfigs, broker: &TopicConfigs| {
            layers_of(topic, broker)
                .into_iter()
                .find(|e| e.name == "retention.ms")
                .unwrap()
        };
        assert_eq!(entry(&topic, &broker).source, ConfigSource::StaticBroker);
        topic.set("retention.ms", "7").unwrap();
        let entry = entry(&topic, &broker);
        assert_eq!(
            (entry.value.as_str(), entry.source),
            ("7", ConfigSource::Topic)
        );
        let synonyms: Vec<_> = entry
            .synonyms
            .iter()
            .map(|s| (s.name, s.value.as_str(), s.source))
            .collect();
        assert_eq!(
            synonyms,
            [
                ("retention.ms", "7", ConfigSource::Topic),
                ("log.retention.ms", "5", ConfigSource::StaticBroker),
                ("log.retention.ms", "604800000", ConfigSource::Default),
            ]
        );
    }

    #[test]
    fn what_is_set_is_what_the_log_acts_on() {
        let mut configs = TopicConfigs::default();
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("durability", "page-cache"),
            ("flush.bytes", "9"),
            ("flush.ms", "8"),
            ("index.interval.bytes", "512"),
            ("max.message.bytes", "77"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "11"),
            ("message.timestamp.after.max.ms", "12"),
            ("retention.bytes", "1000"),
            ("retention.ms", "-1"),
            ("segment.bytes", "300"),
            ("segment.ms", "13"),
        ] {
            assert_eq!(configs.set(name, value), Ok(true));
        }
        let settings = Layers::new(&configs, &TopicConfigs::default()).settings();
        let log = LogConfig {
            segment_bytes: 300,
            segment_ms: 13,
            retention_ms: None,
            retention_bytes: Some(1000),
            delete: false,
            index_interval_bytes: 512,
            durability: Durability::PageCache,
            flush_ms: 8,
            flush_bytes: 9,
            timestamp_type: TimestampType::LogAppendTime,
            ..LogConfig::default()
        };
        let expected = TopicSettings {
            message_bytes_max: 77,
            timestamp_before_max_ms: 11,
            timestamp_after_max_ms: 12,
            compacted: true,
            log,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn unknown_names_are_refused_and_old_ones_ignored() {
        let mut configs = TopicConfigs::default();
        assert_eq!(configs.set("message.format.version", "2.0"), Ok(false));
        assert_eq!(configs.set("retention", "1").unwrap_err().name, "retention");
        assert_eq!(configs.remove("retention").unwrap_err().name, "retention");
        assert!(configs.set("remote.storage.enable", "true").is_err());
        assert_eq!(configs, TopicConfigs::default());
    }
}
