//! Settings of a consumer.
//!
//! Floor 1 of client.

use super::table::settings;
use super::values::AssignmentStrategy;
use super::values::OffsetReset;
use crate::error::ClientError;

settings! {
    /// Settings of a consumer: Kafka's names and defaults.
    ///
    /// ```
    /// use highwater_client::{ConsumerConfig, OffsetReset};
    ///
    /// let config = ConsumerConfig::new()
    ///     .group_id("billing")
    ///     .auto_offset_reset(OffsetReset::Earliest);
    ///
    /// // The same by name, as in the files of Kafka's clients:
    /// let named = [("group.id", "billing"), ("auto.offset.reset", "earliest")];
    /// assert_eq!(ConsumerConfig::from_properties(named)?, config);
    ///
    /// // A name that is misspelt is not passed over.
    /// let error = ConsumerConfig::from_properties([("group_id", "billing")]).unwrap_err();
    /// assert!(error.to_string().contains("group.id"), "{error}");
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ConsumerConfig of "consumer";

    /// The group whose members share the partitions of what they subscribe to, and whose offsets
    /// are committed.
    group_id: Option<String> = None, "group.id", ..,
        given impl Into<String> => Some(group_id.into());

    /// A name for this member that outlives it: one that comes back within the session timeout
    /// gets its partitions again, without a rebalance.
    group_instance_id: Option<String> = None, "group.instance.id", ..,
        given impl Into<String> => Some(group_instance_id.into());

    /// After so many milliseconds without a heartbeat the group gives the partitions to others.
    session_timeout_ms: i32 = 45_000, "session.timeout.ms", 1..;

    /// The time between two heartbeats, in milliseconds.
    heartbeat_interval_ms: u64 = 3_000, "heartbeat.interval.ms", 1..;

    /// A member that does not poll for so many milliseconds leaves; so long the others wait for it
    /// in a rebalance.
    max_poll_interval_ms: i32 = 300_000, "max.poll.interval.ms", 1..;

    /// How partitions are dealt out, the best first; the group takes one that all members know.
    /// Members keep their partitions through a rebalance if `cooperative-sticky` is the only one.
    partition_assignment_strategy: Vec<AssignmentStrategy>
        = vec![AssignmentStrategy::Range, AssignmentStrategy::CooperativeSticky],
        "partition.assignment.strategy", ..,
        given impl IntoIterator<Item = AssignmentStrategy>
            => partition_assignment_strategy.into_iter().collect();

    /// Whether `poll` commits by itself what earlier calls of it have handed out.
    enable_auto_commit: bool = true, "enable.auto.commit", ..;

    /// The time between two commits of its own, in milliseconds.
    auto_commit_interval_ms: u64 = 5_000, "auto.commit.interval.ms", ..;

    /// How often partitions and topics that were added are looked for, in milliseconds.
    metadata_max_age_ms: u64 = 300_000, "metadata.max.age.ms", 1..;

    /// Whether a pattern leaves out the topics in which the broker keeps its own state.
    exclude_internal_topics: bool = true, "exclude.internal.topics", ..;

    /// Whether a topic that is subscribed to is created, if the broker creates topics by itself.
    allow_auto_create_topics: bool = true, "allow.auto.create.topics", ..;

    /// Bytes that the broker waits for before it answers.
    fetch_min_bytes: i32 = 1, "fetch.min.bytes", 0..;

    /// Bytes that one answer may hold, over all partitions.
    fetch_max_bytes: i32 = 52_428_800, "fetch.max.bytes", 1..;

    /// How long the broker waits for `fetch_min_bytes`, in milliseconds.
    fetch_max_wait_ms: i32 = 500, "fetch.max.wait.ms", 0..;

    /// Bytes that one answer may hold of one partition.
    max_partition_fetch_bytes: i32 = 1_048_576, "max.partition.fetch.bytes", 1..;

    /// Records that one `poll` returns.
    max_poll_records: usize = 500, "max.poll.records", 1..;

    /// What happens when there is no offset, or when it is gone.
    auto_offset_reset: OffsetReset = OffsetReset::Latest, "auto.offset.reset", ..;

    /// Whether the CRC-32C of each batch is verified.
    check_crcs: bool = true, "check.crcs", ..;

    /// Bytes that one batch may decompress to; Kafka has no such limit.
    decompressed_bytes_max: usize = 67_108_864, "decompressed.bytes.max", 1..;

    /// How long one request may take, in milliseconds, the wait of a fetch not counted.
    request_timeout_ms: u64 = 30_000, "request.timeout.ms", 1..;

    /// How long a call that takes no time limit may take, retries included, in milliseconds.
    default_api_timeout_ms: u64 = 60_000, "default.api.timeout.ms", 1..;

    /// The pause before the first retry, in milliseconds; it doubles with each further one.
    retry_backoff_ms: u64 = 100, "retry.backoff.ms", ..;

    /// The longest pause before a retry, in milliseconds.
    retry_backoff_max_ms: u64 = 1_000, "retry.backoff.max.ms", ..;
}

impl ConsumerConfig {
    /// The group, if there is one, and if the settings can be right.
    pub(crate) fn group(&self) -> Result<&str, ClientError> {
        self.check()?;
        let group = self.group_id.as_deref().filter(|group| !group.is_empty());
        group.ok_or_else(|| ClientError::Invalid("a group is needed: set group.id".to_owned()))
    }

    pub(super) fn contradiction(&self) -> Option<String> {
        let session = u64::try_from(self.session_timeout_ms).unwrap_or(0);
        let strategies = &self.partition_assignment_strategy;
        let twice = (1..strategies.len()).find(|at| strategies[..*at].contains(&strategies[*at]));
        let why = match self {
            _ if self.heartbeat_interval_ms >= session => format!(
                "heartbeat.interval.ms must be below session.timeout.ms={session}, not {}; a third \
                 of it is usual",
                self.heartbeat_interval_ms
            ),
            _ if self.fetch_min_bytes > self.fetch_max_bytes => format!(
                "fetch.min.bytes={} is more than fetch.max.bytes={}: the broker would always wait",
                self.fetch_min_bytes, self.fetch_max_bytes
            ),
            _ if strategies.is_empty() => {
                "partition.assignment.strategy needs at least one strategy".to_owned()
            }
            _ if twice.is_some() => "partition.assignment.strategy names one twice".to_owned(),
            Self {
                group_id: None,
                group_instance_id: Some(_),
                ..
            } => "group.instance.id needs a group: set group.id too".to_owned(),
            Self {
                group_instance_id: Some(id),
                ..
            } if !is_legal(id) => format!(
                "group.instance.id is 1 to 249 of the characters A-Z, a-z, 0-9, dot, underscore \
                 and hyphen, not {id:?}"
            ),
            _ => return None,
        };
        Some(why)
    }
}

/// What Kafka takes as the name of a member.
fn is_legal(id: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&id.len()) && id.bytes().all(is_legal) && id != "." && id != ".."
}
