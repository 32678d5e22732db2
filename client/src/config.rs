//! Settings of the producer and the consumer: Kafka's names and defaults.
//!
//! Floor 1 of client. A setting `batch.size` is the field `batch_size`.

use highwater_proto::compress::Codec;

use crate::error::ClientError;

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

impl std::str::FromStr for Acks {
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

/// Settings of a producer.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// When the broker answers.
    pub acks: Acks,
    /// Bytes of records that a batch holds before it is sent, uncompressed. Kafka: 16384.
    pub batch_size: usize,
    /// How long a record waits for others to share its batch, in milliseconds. Kafka 4: 5.
    pub linger_ms: u64,
    /// The codec of the batches.
    pub compression_type: Codec,
    /// Bytes of records that may wait for their answers; `send` waits for room beyond that.
    pub buffer_memory: usize,
    /// The largest request in bytes.
    pub max_request_size: usize,
    /// Requests on their way to one broker at a time; at most 5 with idempotence, as many as a
    /// broker remembers. Kafka calls it `max.in.flight.requests.per.connection`.
    pub max_in_flight: usize,
    /// Whether the broker recognises repetitions, so that a retry never doubles a record. Off when
    /// `acks` is not `all`.
    pub enable_idempotence: bool,
    /// How long a record may take from `send` to its answer, retries included, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// How long one request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// The pause before the first retry, in milliseconds; it doubles up to a second.
    pub retry_backoff_ms: u64,
}

impl ProducerConfig {
    /// The settings as they will be used, or what is wrong with them.
    pub(crate) fn validated(mut self) -> Result<Self, ClientError> {
        let positive = [
            ("batch.size", self.batch_size),
            ("buffer.memory", self.buffer_memory),
            ("max.request.size", self.max_request_size),
            ("max.in.flight.requests.per.connection", self.max_in_flight),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ClientError::Invalid(format!("{name} must be at least 1")));
        }
        if !self.compression_type.is_built_in() {
            let why = format!("this build has no codec {}", self.compression_type);
            return Err(ClientError::Invalid(why));
        }
        if self.acks != Acks::All {
            self.enable_idempotence = false;
        }
        if self.enable_idempotence && self.max_in_flight > IN_FLIGHT_MAX {
            return Err(ClientError::Invalid(format!(
                "with idempotence, max.in.flight.requests.per.connection is at most {IN_FLIGHT_MAX}"
            )));
        }
        Ok(self)
    }
}

/// The batches of one producer that a broker recognises when they come again.
const IN_FLIGHT_MAX: usize = 5;

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            batch_size: 16_384,
            linger_ms: 5,
            compression_type: Codec::None,
            buffer_memory: 33_554_432,
            max_request_size: 1_048_576,
            max_in_flight: 5,
            enable_idempotence: true,
            delivery_timeout_ms: 120_000,
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
        }
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

/// How the leader of a group deals out partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssignmentStrategy {
    /// `range`: of each topic by itself, every member gets a run of partitions; topics with equally
    /// many partitions are dealt out alike.
    Range,
    /// `roundrobin`: the partitions of all topics by turns.
    RoundRobin,
}

impl AssignmentStrategy {
    /// Kafka's name of it, as members agree on it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }
}

/// Settings of a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// The group whose members share the partitions of what they subscribe to, and whose offsets
    /// are committed.
    pub group_id: Option<String>,
    /// A name for this member that outlives it: one that comes back within the session timeout
    /// gets its partitions again, without a rebalance.
    pub group_instance_id: Option<String>,
    /// After so many milliseconds without a heartbeat the group gives the partitions to others.
    pub session_timeout_ms: i32,
    /// The time between two heartbeats, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// A member that does not poll for so many milliseconds leaves; so long the others wait for it
    /// in a rebalance.
    pub max_poll_interval_ms: i32,
    /// How partitions are dealt out, the best first; the group takes one that all members know.
    /// Kafka's default has `cooperative-sticky` behind `range`, which is not built yet.
    pub partition_assignment_strategy: Vec<AssignmentStrategy>,
    /// Whether `poll` commits by itself what earlier calls of it have handed out.
    pub enable_auto_commit: bool,
    /// The time between two commits of its own, in milliseconds.
    pub auto_commit_interval_ms: u64,
    /// How often the leader of a group looks for partitions that were added, in milliseconds.
    pub metadata_max_age_ms: u64,
    /// Bytes that the broker waits for before it answers.
    pub fetch_min_bytes: i32,
    /// Bytes that one answer may hold, over all partitions.
    pub fetch_max_bytes: i32,
    /// How long the broker waits for `fetch_min_bytes`, in milliseconds.
    pub fetch_max_wait_ms: i32,
    /// Bytes that one answer may hold of one partition.
    pub max_partition_fetch_bytes: i32,
    /// Records that one `poll` returns.
    pub max_poll_records: usize,
    /// What happens when the asked offset is gone.
    pub auto_offset_reset: OffsetReset,
    /// Bytes that one batch may decompress to.
    pub decompressed_bytes_max: usize,
    /// Whether the CRC-32C of each batch is verified.
    pub check_crcs: bool,
    /// How long one request may take, in milliseconds, the wait of a fetch not counted.
    pub request_timeout_ms: u64,
    /// The pause before the first retry, in milliseconds; it doubles up to a second.
    pub retry_backoff_ms: u64,
}

impl ConsumerConfig {
    /// The group, if everything that membership depends on can be right.
    pub(crate) fn group(&self) -> Result<&str, ClientError> {
        let session = u64::try_from(self.session_timeout_ms).unwrap_or(0);
        let why = match self.group_id.as_deref() {
            None | Some("") => "a group is needed: set group.id",
            Some(_) if self.heartbeat_interval_ms == 0 => {
                "heartbeat.interval.ms must be at least 1"
            }
            Some(_) if self.heartbeat_interval_ms >= session => {
                "heartbeat.interval.ms must be below session.timeout.ms"
            }
            Some(_) if self.max_poll_interval_ms < 1 => "max.poll.interval.ms must be at least 1",
            Some(_) if self.partition_assignment_strategy.is_empty() => {
                "partition.assignment.strategy needs at least one strategy"
            }
            Some(group) => return Ok(group),
        };
        Err(ClientError::Invalid(why.to_owned()))
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group_id: None,
            group_instance_id: None,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            max_poll_interval_ms: 300_000,
            partition_assignment_strategy: vec![AssignmentStrategy::Range],
            enable_auto_commit: true,
            auto_commit_interval_ms: 5_000,
            metadata_max_age_ms: 300_000,
            fetch_min_bytes: 1,
            fetch_max_bytes: 52_428_800,
            fetch_max_wait_ms: 500,
            max_partition_fetch_bytes: 1_048_576,
            max_poll_records: 500,
            auto_offset_reset: OffsetReset::Latest,
            decompressed_bytes_max: 64 * 1024 * 1024,
            check_crcs: true,
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
        }
    }
}
