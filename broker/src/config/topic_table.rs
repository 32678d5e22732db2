//! The rows of the topic configs, in the order of their names.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Every default passes its own check.

use crate::config::topic::TopicConfig;
use crate::config::value::{Check, ConfigType};

/// Every config that a topic may have.
pub(super) static TOPIC_CONFIGS: &[TopicConfig] = &[
    TopicConfig {
        name: "allow.history.loss",
        kind: ConfigType::Bool,
        check: Check::Bool,
        default: "false",
        synonym: None,
        documentation: "Whether records of a topic with append.conditional=true may be removed: by \
            retention, compaction, delete-records or on.full=drop-oldest.",
    },
    TopicConfig {
        name: "append.conditional",
        kind: ConfigType::Bool,
        check: Check::Bool,
        default: "false",
        // Of each topic alone: it is decided once, and a default of all topics may change.
        synonym: None,
        documentation: "Whether appends may expect something of a key, such as its last revision; \
            decided when the topic is created. Nothing of such a topic is removed unless \
            allow.history.loss=true, and it gets no further partitions.",
    },
    TopicConfig {
        name: "cleanup.policy",
        kind: ConfigType::List,
        check: Check::SomeOf(&["delete", "compact"]),
        default: "delete",
        synonym: Some("log.cleanup.policy"),
        documentation: "What happens to old records: delete (by age and size), compact (the last \
            one of each key is kept; nothing is removed by age or size), or both.",
    },
    TopicConfig {
        name: "compression.gzip.level",
        kind: ConfigType::Int,
        check: Check::Whole(-1, 9),
        default: "-1",
        synonym: Some("compression.gzip.level"),
        documentation: "Kept for tools; batches are stored as their producer compressed them.",
    },
    TopicConfig {
        name: "compression.lz4.level",
        kind: ConfigType::Int,
        check: Check::Whole(1, 17),
        default: "9",
        synonym: Some("compression.lz4.level"),
        documentation: "Kept for tools; batches are stored as their producer compressed them.",
    },
    TopicConfig {
        name: "compression.type",
        kind: ConfigType::String,
        check: Check::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
        default: "producer",
        synonym: Some("compression.type"),
        documentation: "Kept for tools; batches are stored as their producer compressed them, \
            whatever the value.",
    },
    TopicConfig {
        name: "compression.zstd.level",
        kind: ConfigType::Int,
        check: Check::Whole(-131_072, 22),
        default: "3",
        synonym: Some("compression.zstd.level"),
        documentation: "Kept for tools; batches are stored as their producer compressed them.",
    },
    TopicConfig {
        name: "corrupt.read",
        kind: ConfigType::String,
        check: Check::OneOf(&["error", "skip"]),
        default: "error",
        synonym: Some("log.corrupt.read"),
        documentation: "What a consumer meets where stored records are damaged: error \
            (CORRUPT_MESSAGE) or skip (the records behind them, as if they were compacted away).",
    },
    TopicConfig {
        name: "delete.retention.ms",
        kind: ConfigType::Long,
        check: Check::Whole(0, i64::MAX),
        default: "86400000",
        synonym: Some("log.cleaner.delete.retention.ms"),
        documentation: "How long a deletion marker of a compacted topic is kept, in milliseconds.",
    },
    TopicConfig {
        name: "durability",
        kind: ConfigType::String,
        check: Check::OneOf(&["fsync", "page-cache"]),
        default: "fsync",
        synonym: Some("log.durability"),
        documentation: "When a batch is durable: fsync (on the disk, before it is acknowledged and \
            read) or page-cache (written; synced in the background).",
    },
    TopicConfig {
        name: "file.delete.delay.ms",
        kind: ConfigType::Long,
        check: Check::Whole(0, i64::MAX),
        default: "60000",
        synonym: Some("log.segment.delete.delay.ms"),
        documentation: "Kept for tools; files are removed at once, readers keep what they hold.",
    },
    TopicConfig {
        name: "flush.bytes",
        kind: ConfigType::Long,
        check: Check::Whole(1, i64::MAX),
        default: "67108864",
        synonym: Some("log.flush.interval.bytes"),
        documentation: "Unsynced bytes at which a page-cache topic is synced in the background.",
    },
    TopicConfig {
        name: "flush.messages",
        kind: ConfigType::Long,
        check: Check::Whole(1, i64::MAX),
        default: "9223372036854775807",
        synonym: Some("log.flush.interval.messages"),
        documentation: "Kept for tools; durability, flush.ms and flush.bytes decide when a log is \
            synced.",
    },
    TopicConfig {
        name: "flush.ms",
        kind: ConfigType::Long,
        check: Check::Whole(1, i64::MAX),
        default: "100",
        synonym: Some("log.flush.interval.ms"),
        documentation: "Age of the oldest unsynced byte at which a page-cache topic is synced, in \
            milliseconds.",
    },
    TopicConfig {
        name: "follower.replication.throttled.replicas",
        kind: ConfigType::List,
        check: Check::AnyList,
        default: "",
        synonym: None,
        documentation: "Kept for tools; there are no followers.",
    },
    TopicConfig {
        name: "index.interval.bytes",
        kind: ConfigType::Int,
        check: Check::Whole(0, i32::MAX as i64),
        default: "32768",
        synonym: Some("log.index.interval.bytes"),
        documentation: "Bytes of the log between two entries of its index.",
    },
    TopicConfig {
        name: "leader.replication.throttled.replicas",
        kind: ConfigType::List,
        check: Check::AnyList,
        default: "",
        synonym: None,
        documentation: "Kept for tools; there are no followers.",
    },
    TopicConfig {
        name: "local.retention.bytes",
        kind: ConfigType::Long,
        check: Check::Whole(-2, i64::MAX),
        default: "-2",
        synonym: Some("log.local.retention.bytes"),
        documentation: "Kept for tools; nothing is tiered.",
    },
    TopicConfig {
        name: "local.retention.ms",
        kind: ConfigType::Long,
        check: Check::Whole(-2, i64::MAX),
        default: "-2",
        synonym: Some("log.local.retention.ms"),
        documentation: "Kept for tools; nothing is tiered.",
    },
    TopicConfig {
        name: "max.compaction.lag.ms",
        kind: ConfigType::Long,
        check: Check::Whole(1, i64::MAX),
        default: "9223372036854775807",
        synonym: Some("log.cleaner.max.compaction.lag.ms"),
        documentation: "The longest time that a record of a compacted topic stays uncompacted, in \
            milliseconds.",
    },
    TopicConfig {
        name: "max.message.bytes",
        kind: ConfigType::Int,
        check: Check::Whole(0, i32::MAX as i64),
        default: "1048588",
        synonym: Some("message.max.bytes"),
        documentation: "The largest batch that is accepted, in bytes.",
    },
    TopicConfig {
        name: "message.timestamp.after.max.ms",
        kind: ConfigType::Long,
        check: Check::Whole(0, i64::MAX),
        default: "3600000",
        synonym: Some("log.message.timestamp.after.max.ms"),
        documentation: "How far the time of a record may lie in the future, in milliseconds.",
    },
    TopicConfig {
        name: "message.timestamp.before.max.ms",
        kind: ConfigType::Long,
        check: Check::Whole(0, i64::MAX),
        default: "9223372036854775807",
        synonym: Some("log.message.timestamp.before.max.ms"),
        documentation: "How far the time of a record may lie in the past, in milliseconds.",
    },
    TopicConfig {
        name: "message.timestamp.type",
        kind: ConfigType::String,
        check: Check::OneOf(&["CreateTime", "LogAppendTime"]),
        default: "CreateTime",
        synonym: Some("log.message.timestamp.type"),
        documentation: "Whose clock stamps the records: the producer's (CreateTime) or the \
            broker's (LogAppendTime).",
    },
    TopicConfig {
        name: "min.cleanable.dirty.ratio",
        kind: ConfigType::Double,
        check: Check::Number(0.0, 1.0),
        default: "0.5",
        synonym: Some("log.cleaner.min.cleanable.ratio"),
        documentation: "The uncompacted share of a compacted topic at which compaction starts.",
    },
    TopicConfig {
        name: "min.compaction.lag.ms",
        kind: ConfigType::Long,
        check: Check::Whole(0, i64::MAX),
        default: "0",
        synonym: Some("log.cleaner.min.compaction.lag.ms"),
        documentation: "The shortest time that a record of a compacted topic stays uncompacted, in \
            milliseconds.",
    },
    TopicConfig {
        name: "min.insync.replicas",
        kind: ConfigType::Int,
        check: Check::Whole(1, i32::MAX as i64),
        default: "1",
        synonym: Some("min.insync.replicas"),
        documentation: "Kept for tools; the one copy is always in sync.",
    },
    TopicConfig {
        name: "on.full",
        kind: ConfigType::String,
        check: Check::OneOf(&["refuse", "drop-oldest"]),
        default: "refuse",
        synonym: Some("on.full"),
        documentation: "What happens when the data directory reaches log.dirs.max.bytes: refuse \
            (nothing is removed, producers wait for room) or drop-oldest (the oldest segments of \
            all such topics are removed first; a segment takes at most a sixteenth of the limit).",
    },
    TopicConfig {
        name: "preallocate",
        kind: ConfigType::Bool,
        check: Check::Bool,
        default: "false",
        synonym: Some("log.preallocate"),
        documentation: "Kept for tools; nothing is allocated ahead of its data.",
    },
    TopicConfig {
        name: "remote.log.copy.disable",
        kind: ConfigType::Bool,
        check: Check::Bool,
        default: "false",
        synonym: None,
        documentation: "Kept for tools; nothing is tiered.",
    },
    TopicConfig {
        name: "remote.log.delete.on.disable",
        kind: ConfigType::Bool,
        check: Check::Bool,
        default: "false",
        synonym: None,
        documentation: "Kept for tools; nothing is tiered.",
    },
    TopicConfig {
        name: "remote.storage.enable",
        kind: ConfigType::Bool,
        check: Check::OnlyFalse("tiered storage does not exist here; leave it false"),
        default: "false",
        synonym: None,
        documentation: "Always false: nothing is tiered.",
    },
    TopicConfig {
        name: "retention.bytes",
        kind: ConfigType::Long,
        check: Check::Whole(-1, i64::MAX),
        default: "-1",
        synonym: Some("log.retention.bytes"),
        documentation: "The size of a partition above which its oldest segments are removed; -1 \
            for no limit.",
    },
    TopicConfig {
        name: "retention.ms",
        kind: ConfigType::Long,
        check: Check::Whole(-1, i64::MAX),
        default: "604800000",
        synonym: Some("log.retention.ms"),
        documentation: "The age at which a segment is removed, in milliseconds from its newest \
            record or its sealing, whichever is later; -1 for no limit.",
    },
    TopicConfig {
        name: "segment.bytes",
        kind: ConfigType::Int,
        check: Check::Whole(256, i32::MAX as i64),
        default: "1073741824",
        synonym: Some("log.segment.bytes"),
        documentation: "The size at which a segment is sealed and the next one begins.",
    },
    TopicConfig {
        name: "segment.index.bytes",
        kind: ConfigType::Int,
        check: Check::Whole(4, i32::MAX as i64),
        default: "10485760",
        synonym: Some("log.index.size.max.bytes"),
        documentation: "Kept for tools; an index grows with its segment.",
    },
    TopicConfig {
        name: "segment.jitter.ms",
        kind: ConfigType::Long,
        check: Check::Whole(0, i64::MAX),
        default: "0",
        synonym: Some("log.roll.jitter.ms"),
        documentation: "Kept for tools; one disk has no herd to scatter.",
    },
    TopicConfig {
        name: "segment.ms",
        kind: ConfigType::Long,
        check: Check::Whole(1, i64::MAX),
        default: "604800000",
        synonym: Some("log.roll.ms"),
        documentation: "The age at which a segment is sealed though it is not full, in \
            milliseconds.",
    },
    TopicConfig {
        name: "unclean.leader.election.enable",
        kind: ConfigType::Bool,
        check: Check::Bool,
        default: "false",
        synonym: Some("unclean.leader.election.enable"),
        documentation: "Kept for tools; there are no elections.",
    },
];
