//! Settings of a producer.
//!
//! Floor 1 of client.

use highwater_proto::compress::Codec;

use super::table::settings;
use super::values::Acks;

settings! {
    /// Settings of a producer: Kafka's names and defaults.
    ///
    /// ```
    /// use highwater_client::{Acks, Codec, ProducerConfig};
    ///
    /// let config = ProducerConfig::new()
    ///     .linger_ms(20)
    ///     .compression_type(Codec::Lz4);
    ///
    /// // The same by name, as in the files of Kafka's clients:
    /// let named = [("linger.ms", "20"), ("compression.type", "lz4")];
    /// assert_eq!(ProducerConfig::from_properties(named)?, config);
    ///
    /// // The same as a literal:
    /// let literal = ProducerConfig {
    ///     linger_ms: 20,
    ///     compression_type: Codec::Lz4,
    ///     ..ProducerConfig::default()
    /// };
    /// assert_eq!(literal, config);
    ///
    /// // What would fail at night is refused now.
    /// let careless = config.acks(Acks::Leader).enable_idempotence(true);
    /// let error = careless.validated().unwrap_err().to_string();
    /// assert!(error.starts_with("enable.idempotence=true needs acks=all"), "{error}");
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ProducerConfig of "producer";

    /// When the broker answers.
    acks: Acks = Acks::All, "acks", ..;

    /// Bytes of records that a batch holds before it is sent, uncompressed.
    batch_size: usize = 16_384, "batch.size", 1..=INT_MAX;

    /// How long a record waits for others to share its batch, in milliseconds.
    linger_ms: u64 = 5, "linger.ms", ..;

    /// The codec of the batches.
    compression_type: Codec = Codec::None, "compression.type", ..;

    /// Bytes of records that may wait for their answers; `send` waits for room beyond that.
    buffer_memory: usize = 33_554_432, "buffer.memory", 1..;

    /// How long `send` waits for room or for metadata, in milliseconds.
    max_block_ms: u64 = 60_000, "max.block.ms", ..;

    /// The largest request in bytes.
    max_request_size: usize = 1_048_576, "max.request.size", 1..=INT_MAX;

    /// Requests on their way to one broker at a time; at most 5 with idempotence, as many as a
    /// broker remembers.
    max_in_flight: usize = 5, "max.in.flight.requests.per.connection", 1..;

    /// Whether the broker recognises repetitions, so that a retry never doubles a record. What is
    /// not said is yes, unless `acks` is not `all` or more than 5 requests are in flight.
    enable_idempotence: Option<bool> = None, "enable.idempotence", ..,
        given bool => Some(enable_idempotence);

    /// How long a record may take from `send` to its answer, retries included, in milliseconds.
    /// There is no number of retries beside it: this is their limit.
    delivery_timeout_ms: u64 = 120_000, "delivery.timeout.ms", ..;

    /// How long one request may take, in milliseconds.
    request_timeout_ms: u64 = 30_000, "request.timeout.ms", 1..;

    /// The pause before the first retry, in milliseconds; it doubles with each further one.
    retry_backoff_ms: u64 = 100, "retry.backoff.ms", ..;

    /// The longest pause before a retry, in milliseconds.
    retry_backoff_max_ms: u64 = 1_000, "retry.backoff.max.ms", ..;

    /// Whether records with a key are spread as those without one.
    partitioner_ignore_keys: bool = false, "partitioner.ignore.keys", ..;
}

impl ProducerConfig {
    /// Whether the broker recognises repetitions: what [`Self::enable_idempotence`] comes to.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        match self.enable_idempotence {
            Some(asked) => asked,
            None => matches!(self.acks, Acks::All) && self.max_in_flight <= IN_FLIGHT_MAX,
        }
    }

    pub(super) fn contradiction(&self) -> Option<String> {
        let least = self.linger_ms.saturating_add(self.request_timeout_ms);
        let why = match self {
            _ if !self.compression_type.is_built_in() => format!(
                "compression.type: this build has no codec {0}; build with the feature {0:?}",
                self.compression_type.name()
            ),
            _ if self.is_idempotent() && self.acks != Acks::All => format!(
                "enable.idempotence=true needs acks=all, not acks={}: set one of them",
                self.acks
            ),
            _ if self.is_idempotent() && self.max_in_flight > IN_FLIGHT_MAX => format!(
                "enable.idempotence=true needs max.in.flight.requests.per.connection of at most \
                 {IN_FLIGHT_MAX}, not {}: a broker remembers no more",
                self.max_in_flight
            ),
            _ if self.delivery_timeout_ms < least => format!(
                "delivery.timeout.ms={} is less than linger.ms + request.timeout.ms = {least}: it \
                 would end before the first request does",
                self.delivery_timeout_ms
            ),
            _ if self.batch_size > self.max_request_size => format!(
                "batch.size={} is more than max.request.size={}: a full batch could not be sent",
                self.batch_size, self.max_request_size
            ),
            _ if self.batch_size > self.buffer_memory => format!(
                "batch.size={} is more than buffer.memory={}: no batch would ever be full",
                self.batch_size, self.buffer_memory
            ),
            _ => return None,
        };
        Some(why)
    }
}

/// The batches of one producer that a broker recognises when they come again.
const IN_FLIGHT_MAX: usize = 5;

/// Kafka's lengths are 32 bits wide.
const INT_MAX: i128 = i32::MAX as i128;
