//! What becomes of records whose attempts are used up, and the topics that keep them.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A dead letter counts as stored when the broker has said so with `acks=all`.
//! - Its topic has as many partitions as its source, and keeps records without an end.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use highwater_proto::code::ErrorCode;

use super::letter::DeadLetter;
use crate::admin::{Admin, NewTopic};
use crate::cluster::Cluster;
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::producer::Producer;
use crate::record::{Header, Record};

/// What becomes of a record whose attempts are used up.
///
/// ```
/// use highwater_client::DeadLetters;
///
/// // Into `<topic>-dlt`; what errors say about customers stays out of it.
/// let letters = DeadLetters::record().redact(|text| text.replace("4111111111111111", "(card)"));
/// // Nothing of the partition goes on until somebody has looked after it.
/// let strict = DeadLetters::stop();
/// # let _ = (letters, strict);
/// ```
#[derive(Clone)]
#[must_use]
pub struct DeadLetters {
    suffix: Option<String>,
    redact: Option<Arc<dyn Redact>>,
}

impl DeadLetters {
    /// It is stored in the topic `<topic>-dlt`, in the partition of the same number, with the
    /// headers of Spring Kafka and Highwater's own; the topic is created if it is not there. The
    /// later records of its key are handled without it.
    pub fn record() -> Self {
        Self {
            suffix: Some("-dlt".to_owned()),
            redact: None,
        }
    }

    /// Its partition stops with an error in the log, and nothing of it is handled any more: no
    /// record overtakes the one that could not be handled. The other partitions go on.
    pub const fn stop() -> Self {
        Self {
            suffix: None,
            redact: None,
        }
    }

    /// Another end of the topics' names, as the `.DLT` of Spring Kafka before 3.3. No effect on
    /// [`Self::stop`].
    pub fn topic_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = self.suffix.map(|_| suffix.into());
        self
    }

    /// Rewrites the texts of an error, its message and its causes, before they are stored.
    pub fn redact(mut self, redact: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.redact = Some(Arc::new(redact));
        self
    }

    pub(super) const fn stops(&self) -> bool {
        self.suffix.is_none()
    }
}

/// Rewrites a text of an error.
trait Redact: Send + Sync {
    fn redact(&self, text: &str) -> String;
}

impl<F: Fn(&str) -> String + Send + Sync> Redact for F {
    fn redact(&self, text: &str) -> String {
        self(text)
    }
}

/// As [`DeadLetters::record`].
impl Default for DeadLetters {
    fn default() -> Self {
        Self::record()
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("suffix", &self.suffix)
            .field("is_redacted", &self.redact.is_some())
            .finish()
    }
}

/// Stores dead letters.
#[derive(Debug)]
pub(super) struct Recorder {
    admin: Admin,
    producer: Producer,
    letters: DeadLetters,
    targets: Mutex<HashMap<String, Target>>,
}

/// Where the dead letters of a topic go.
#[derive(Clone, Debug)]
struct Target {
    topic: String,
    partitions: i32,
    /// Of the source.
    timestamp_type: String,
}

impl Recorder {
    pub(super) fn new(cluster: &Arc<Cluster>, letters: DeadLetters) -> Result<Self, ClientError> {
        let config = ProducerConfig::new();
        let config = config.linger_ms(0).max_request_size(LETTER_BYTES_MAX);
        Ok(Self {
            admin: Admin::new(Arc::clone(cluster)),
            producer: Producer::new(Arc::clone(cluster), config, None)?,
            letters,
            targets: Mutex::default(),
        })
    }

    /// Stores a dead letter; the headers are those that the record came with.
    pub(super) async fn store(
        &self,
        mut letter: DeadLetter,
        headers: &[Header],
    ) -> Result<(), ClientError> {
        let target = self.target(&letter.topic).await?;
        letter.timestamp_type.clone_from(&target.timestamp_type);
        if let Some(redact) = &self.letters.redact {
            letter.message = redact.redact(&letter.message);
            letter.stack = redact.redact(&letter.stack);
        }
        // If the partition is not there, the producer chooses one.
        let partition = (0..target.partitions).contains(&letter.partition);
        let partition = partition.then_some(letter.partition);
        let record = letter.record(&target.topic, partition, headers);
        match self.send(record).await {
            Err(error) if is_too_large(&error) => {
                letter.is_left_out = true;
                let record = letter.record(&target.topic, partition, headers);
                self.send(record).await
            }
            done => done,
        }
    }

    async fn send(&self, record: Record) -> Result<(), ClientError> {
        self.producer.send(record).await?.await.map(|_| ())
    }

    async fn target(&self, source: &str) -> Result<Target, ClientError> {
        let known = self.targets.lock();
        let known = known
            .unwrap_or_else(PoisonError::into_inner)
            .get(source)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let target = self.make(source).await?;
        let targets = self.targets.lock();
        let mut targets = targets.unwrap_or_else(PoisonError::into_inner);
        targets.insert(source.to_owned(), target.clone());
        Ok(target)
    }

    /// Looks the topic up, or creates it.
    async fn make(&self, source: &str) -> Result<Target, ClientError> {
        let suffix = self.letters.suffix.as_deref().unwrap_or_default();
        let topic = format!("{source}{suffix}");
        let partitions = self.admin.describe_topic(source).await?.partitions;
        let configs = self
            .admin
            .topic_configs(source)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, source, "its settings are taken for the defaults");
                Vec::new()
            });
        let setting = |name: &str| {
            let entry = configs.iter().find(|entry| entry.name == name);
            entry.and_then(|entry| entry.value.clone())
        };
        let mut new = NewTopic::named(&topic)
            .partitions(partitions)
            .config("retention.ms", "-1");
        let bytes = setting("max.message.bytes").and_then(|it| it.parse::<usize>().ok());
        if let Some(bytes) = bytes {
            let bytes = bytes.saturating_add(HEADER_BYTES_MAX).min(LETTER_BYTES_MAX);
            new = new.config("max.message.bytes", bytes.to_string());
        }
        let partitions = match self.admin.create_topic(&new).await {
            Ok(()) => partitions,
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                self.admin.describe_topic(&topic).await?.partitions
            }
            Err(error) => return Err(error),
        };
        let timestamp_type = setting("message.timestamp.type");
        Ok(Target {
            topic,
            partitions,
            timestamp_type: timestamp_type.unwrap_or_else(|| "CreateTime".to_owned()),
        })
    }
}

fn is_too_large(error: &ClientError) -> bool {
    // A record that the producer refuses by itself is too large for its own limit.
    matches!(
        error.code(),
        Some(ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge)
    ) || matches!(error, ClientError::Invalid(_))
}

/// The largest dead letter; of a larger record a reference is kept.
const LETTER_BYTES_MAX: usize = 32 << 20;

/// What the headers of a dead letter add to its record at most.
const HEADER_BYTES_MAX: usize = 16 << 10;
