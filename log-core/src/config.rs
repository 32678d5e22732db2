//! Limits and policies of one log.
//!
//! Floor 0 of log-core.
//!
//! Invariants
//! - Defaults are Kafka's where Kafka has the setting; each field names its setting.
//! - A configuration that passes [`LogConfig::validate`] never makes a log fail later.

/// When a batch counts as durable (setting `durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has it: one sync serves all that wait. Readers see nothing that a power cut
    /// can take.
    #[default]
    Fsync,
    /// Once it is written: it survives the process, and a sync follows within
    /// [`LogConfig::flush_ms`] or [`LogConfig::flush_bytes`].
    PageCache,
}

/// Whose clock stamps the records (setting `message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The log's, at the append.
    LogAppendTime,
}

/// When stored bytes are checked against their sums before a reader gets them (setting
/// `fetch.verify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// At the first read of an index interval since the log was opened.
    #[default]
    First,
    /// At every read.
    Always,
    /// Not at all: clients check the batches themselves.
    Never,
}

/// What becomes of a log when the data directory is full (setting `on.full`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// Nothing is removed; appends are refused until there is room.
    #[default]
    Refuse,
    /// Its oldest segments may be removed to make room.
    DropOldest,
}

/// What a reader meets where stored bytes are damaged (setting `corrupt.read`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CorruptRead {
    /// An error: nobody passes over lost records without knowing it.
    #[default]
    Error,
    /// The records behind the damage, as if those in it had been compacted away.
    Skip,
}

/// The policies of one log.
///
/// ```
/// use highwater_log::config::{Durability, LogConfig};
///
/// let config = LogConfig { durability: Durability::PageCache, ..LogConfig::default() };
/// assert!(config.validate().is_ok());
/// assert!(LogConfig { segment_bytes: 1, ..config }.validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The size in bytes at which a segment is sealed (`segment.bytes`).
    pub segment_bytes: u64,
    /// The age in milliseconds at which a segment is sealed (`segment.ms`).
    pub segment_ms: i64,
    /// How long sealed segments are kept, in milliseconds; `None` keeps them (`retention.ms`).
    pub retention_ms: Option<i64>,
    /// How many bytes are kept, within a segment; `None` sets no limit (`retention.bytes`).
    pub retention_bytes: Option<u64>,
    /// Whether retention deletes at all (`cleanup.policy` names `delete`).
    pub delete: bool,
    /// Bytes between two entries of the sparse index (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// When a batch counts as durable (`durability`).
    pub durability: Durability,
    /// The oldest that unsynced bytes of a page-cache log may become, in milliseconds (`flush.ms`).
    pub flush_ms: u64,
    /// The most bytes of a page-cache log that may be unsynced (`flush.bytes`).
    pub flush_bytes: u64,
    /// Whose clock stamps the records (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How long an idle producer's sequence is remembered, in milliseconds
    /// (`producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
    /// When stored bytes are checked before a reader gets them (`fetch.verify`).
    pub fetch_verify: Verify,
    /// What a reader meets where stored bytes are damaged (`corrupt.read`).
    pub corrupt_read: CorruptRead,
    /// What becomes of the log when the data directory is full (`on.full`).
    pub on_full: OnFull,
    /// Whether the log knows the records of each key, so that appends may expect something of one
    /// (`append.conditional`). It is decided when the log is made.
    pub key_index: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            delete: true,
            index_interval_bytes: 32 << 10,
            durability: Durability::default(),
            flush_ms: 100,
            flush_bytes: 64 << 20,
            timestamp_type: TimestampType::default(),
            producer_id_expiration_ms: DAY_MS,
            fetch_verify: Verify::default(),
            corrupt_read: CorruptRead::default(),
            on_full: OnFull::default(),
            key_index: false,
        }
    }
}

impl LogConfig {
    /// Checks every field; the error is a sentence that names the setting and its limits.
    pub fn validate(&self) -> Result<(), String> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(format!(
                "segment.bytes is {}, it must lie between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        if let Some(retention_ms) = self.retention_ms.filter(|ms| *ms < 0) {
            return Err(format!(
                "retention.ms is {retention_ms}, it must be at least 0, or -1 for no limit"
            ));
        }
        let at_least_one = [
            ("segment.ms", self.segment_ms),
            ("flush.ms", i64::try_from(self.flush_ms).unwrap_or(i64::MAX)),
            (
                "flush.bytes",
                i64::try_from(self.flush_bytes).unwrap_or(i64::MAX),
            ),
            ("producer.id.expiration.ms", self.producer_id_expiration_ms),
        ];
        match at_least_one.into_iter().find(|(_, value)| *value < 1) {
            Some((name, value)) => Err(format!("{name} is {value}, it must be at least 1")),
            None => Ok(()),
        }
    }
}

/// The smallest segment that is worth a file: a few batch headers.
pub const SEGMENT_BYTES_MIN: u64 = 256;

/// Positions in a segment are 32-bit signed numbers in Kafka's tools.
pub const SEGMENT_BYTES_MAX: u64 = (1 << 31) - 1;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(LogConfig::default().validate(), Ok(()));
    }

    #[test]
    fn each_limit_is_named() {
        let default = LogConfig::default();
        let wrong = [
            (
                LogConfig {
                    segment_bytes: 255,
                    ..default.clone()
                },
                "segment.bytes",
            ),
            (
                LogConfig {
                    segment_bytes: 1 << 31,
                    ..default.clone()
                },
                "segment.bytes",
            ),
            (
                LogConfig {
                    segment_ms: 0,
                    ..default.clone()
                },
                "segment.ms",
            ),
            (
                LogConfig {
                    retention_ms: Some(-2),
                    ..default.clone()
                },
                "retention.ms",
            ),
            (
                LogConfig {
                    flush_ms: 0,
                    ..default.clone()
                },
                "flush.ms",
            ),
            (
                LogConfig {
                    flush_bytes: 0,
                    ..default.clone()
                },
                "flush.bytes",
            ),
            (
                LogConfig {
                    producer_id_expiration_ms: 0,
                    ..default
                },
                "producer.id.expiration.ms",
            ),
        ];
        for (config, setting) in wrong {
            let error = config.validate().expect_err(setting);
            assert!(error.starts_with(setting), "{error}");
        }
    }
}
