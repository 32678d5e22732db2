//! The table of topic configs: what each accepts, its default, and what it does here.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Every name that is accepted has a row in `TOPIC_CONFIGS`.

use highwater_log::config::{CorruptRead, Durability, LogConfig, OnFull, TimestampType};

use crate::config::dynamic::Dynamic;
use crate::config::overrides::{Overrides, Table};
use crate::config::topic_table::TOPIC_CONFIGS;
use crate::config::value::{Check, ConfigEntry, ConfigSource, ConfigSynonym, ConfigType, list};

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
    /// The broker's setting that is the default of all topics, if there is one.
    pub synonym: Option<&'static str>,
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
        TOPIC_CONFIGS
            .iter()
            .find(|row| row.synonym == Some(synonym))
    }

    /// Whether a description tells the built-in default under the broker's name, as in Kafka.
    fn names_default(&self) -> bool {
        self.synonym.is_some() && !DEFAULT_ELSEWHERE.contains(&self.name)
    }
}

/// What is set on a topic, or on a broker for all of its topics, by the topic configs' names.
pub type TopicConfigs = Overrides<TopicTable>;

/// The table of topic configs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicTable;

impl Table for TopicTable {
    fn find(name: &str) -> Option<(&'static str, Check)> {
        TopicConfig::named(name).map(|row| (row.name, row.check))
    }

    fn is_ignored(name: &str) -> bool {
        TopicConfig::is_ignored(name)
    }

    const UNKNOWN: &'static str = "no topic config has this name";
}

/// A topic's configs over the broker's defaults, those that were set while it runs first, over the
/// built-in ones.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    topic: &'a TopicConfigs,
    dynamic: Dynamic<'a>,
    broker: &'a TopicConfigs,
}

impl<'a> Layers<'a> {
    /// What is set on the topic goes first, then what was set on the broker while it runs, then
    /// what was set at its start.
    #[must_use]
    pub fn new(topic: &'a TopicConfigs, dynamic: Dynamic<'a>, broker: &'a TopicConfigs) -> Self {
        Self {
            topic,
            dynamic,
            broker,
        }
    }

    /// The effective value of a row.
    #[must_use]
    pub fn value(&self, row: &TopicConfig) -> &'a str {
        self.topic
            .value(row.name)
            .or_else(|| self.dynamic_values(row).next().map(|(value, _)| value))
            .or_else(|| self.broker.value(row.name))
            .unwrap_or(row.default)
    }

    fn dynamic_values(&self, row: &TopicConfig) -> impl Iterator<Item = (&'a str, ConfigSource)> {
        let dynamic = self.dynamic;
        let synonym = row.synonym.into_iter();
        synonym.flat_map(move |name| dynamic.values(name))
    }

    /// Everything that DescribeConfigs tells of the topic.
    #[must_use]
    pub fn entries(&self) -> Vec<ConfigEntry> {
        TOPIC_CONFIGS.iter().map(|row| self.entry(row)).collect()
    }

    /// The same values as configs of the broker.
    pub(super) fn broker_entries(&self) -> impl Iterator<Item = ConfigEntry> {
        TOPIC_CONFIGS.iter().filter_map(|row| {
            let name = row.synonym?;
            let entry = self.entry(row);
            Some(ConfigEntry { name, ..entry })
        })
    }

    fn entry(&self, row: &'static TopicConfig) -> ConfigEntry {
        let topic = self.topic.value(row.name);
        let topic = topic.map(|value| (row.name, value, ConfigSource::Topic));
        let name = row.synonym.unwrap_or(row.name);
        let dynamic = self.dynamic_values(row);
        let dynamic = dynamic.map(|(value, source)| (name, value, source));
        let broker = self.broker.value(row.name);
        let broker = broker.map(|value| (name, value, ConfigSource::StaticBroker));
        let built_in = row
            .names_default()
            .then_some((name, row.default, ConfigSource::Default));
        let set = topic.into_iter().chain(dynamic).chain(broker);
        let synonyms: Vec<ConfigSynonym> = set
            .chain(built_in)
            .map(|(name, value, source)| ConfigSynonym {
                name,
                value: value.to_owned(),
                source,
            })
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
        let log = self.log_config(cleanup.contains(&"delete"));
        TopicSettings {
            message_bytes_max: self.size("max.message.bytes"),
            timestamp_before_max_ms: self.whole("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: self.whole("message.timestamp.after.max.ms"),
            compacted: cleanup.contains(&"compact"),
            keeps_history: log.key_index && !self.is_true("allow.history.loss"),
            log,
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
            corrupt_read: match self.text("corrupt.read") {
                "skip" => CorruptRead::Skip,
                _ => CorruptRead::Error,
            },
            on_full: match self.text("on.full") {
                "drop-oldest" => OnFull::DropOldest,
                _ => OnFull::Refuse,
            },
            key_index: self.is_true("append.conditional"),
            ..LogConfig::default()
        }
    }

    fn text(&self, name: &str) -> &'a str {
        TopicConfig::named(name).map_or("", |row| self.value(row))
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name) == "true"
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
    /// Whether none of its records may be removed: `append.conditional=true` without
    /// `allow.history.loss=true`.
    pub keeps_history: bool,
    /// What the log itself acts on.
    pub log: LogConfig,
}

/// Of Kafka 3.x: accepted and ignored, because old tools and scripts still send them.
const IGNORED: &[&str] = &[
    "message.format.version",
    "message.downconversion.enable",
    "message.timestamp.difference.max.ms",
];

/// Their defaults come from settings in hours in Kafka, which do not exist here.
const DEFAULT_ELSEWHERE: &[&str] = &["retention.ms", "segment.jitter.ms", "segment.ms"];

#[cfg(test)]
mod tests {
    use super::*;

    fn layers_of(topic: &TopicConfigs, broker: &TopicConfigs) -> Vec<ConfigEntry> {
        Layers::new(topic, Dynamic::default(), broker).entries()
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
                    .all(|o| o.name > row.name && (o.synonym.is_none() || o.synonym != row.synonym))
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
            Layers::new(&no_topic, Dynamic::default(), &no_topic)
                .settings()
                .log
                .validate(),
            Ok(())
        );
        for row in TOPIC_CONFIGS {
            let Check::Whole(min, max) = row.check else {
                continue;
            };
            for value in [min, max] {
                let mut configs = TopicConfigs::default();
                configs.set(row.name, &value.to_string()).unwrap();
                let settings = Layers::new(&configs, Dynamic::default(), &no_topic).settings();
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
            ]
        );
    }

    #[test]
    fn what_is_set_is_what_the_log_acts_on() {
        let mut configs = TopicConfigs::default();
        for (name, value) in [
            ("append.conditional", "true"),
            ("cleanup.policy", "compact"),
            ("corrupt.read", "skip"),
            ("durability", "page-cache"),
            ("flush.bytes", "9"),
            ("flush.ms", "8"),
            ("index.interval.bytes", "512"),
            ("max.message.bytes", "77"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "11"),
            ("message.timestamp.after.max.ms", "12"),
            ("on.full", "drop-oldest"),
            ("retention.bytes", "1000"),
            ("retention.ms", "-1"),
            ("segment.bytes", "300"),
            ("segment.ms", "13"),
        ] {
            assert_eq!(configs.set(name, value), Ok(true));
        }
        let settings =
            Layers::new(&configs, Dynamic::default(), &TopicConfigs::default()).settings();
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
            corrupt_read: CorruptRead::Skip,
            on_full: OnFull::DropOldest,
            key_index: true,
            ..LogConfig::default()
        };
        let expected = TopicSettings {
            message_bytes_max: 77,
            timestamp_before_max_ms: 11,
            timestamp_after_max_ms: 12,
            compacted: true,
            keeps_history: true,
            log,
        };
        assert_eq!(settings, expected);
        assert_eq!(configs.set("allow.history.loss", "true"), Ok(true));
        let settings =
            Layers::new(&configs, Dynamic::default(), &TopicConfigs::default()).settings();
        assert!(!settings.keeps_history && settings.log.key_index);
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
