//! One set of properties for a whole program: each config takes what is its own.
//!
//! Floor 1 of client.

use super::client::ClientConfig;
use super::consumer::ConsumerConfig;
use super::names::{OWNED, without_effect};
use super::producer::ProducerConfig;
use super::table::Settings;
use crate::error::ClientError;

/// The settings of client, producer and consumer out of one set of properties.
///
/// A property that several have, such as `request.timeout.ms`, counts for all of them.
///
/// ```
/// use highwater_client::config::Properties;
///
/// let properties = Properties::parse(
///     "# as in Kafka's own files
///      bootstrap.servers=kafka-1:9092,kafka-2:9092
///      linger.ms=20
///      group.id=billing",
/// )?;
/// assert_eq!(properties.client.bootstrap_servers, "kafka-1:9092,kafka-2:9092");
/// assert_eq!(properties.producer.linger_ms, 20);
/// assert_eq!(properties.consumer.group_id.as_deref(), Some("billing"));
/// # Ok::<(), highwater_client::ClientError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The settings of the client.
    pub client: ClientConfig,
    /// The settings of its producers.
    pub producer: ProducerConfig,
    /// The settings of its consumers.
    pub consumer: ConsumerConfig,
}

impl Properties {
    /// Gives each config the properties that it knows; of a name that comes twice the last value
    /// counts.
    ///
    /// # Errors
    /// `Invalid` if nobody knows a name, if a value cannot be read, or if settings contradict each
    /// other.
    pub fn split<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ClientError> {
        let mut all = Self::default();
        for (name, value) in properties {
            all.put(name.as_ref().trim(), value.as_ref().trim())?;
        }
        Ok(Self {
            client: all.client.validated()?,
            producer: all.producer.validated()?,
            consumer: all.consumer.validated()?,
        })
    }

    /// As [`Self::split`], out of the text of a `.properties` file: `name=value` lines; lines that
    /// begin with `#` or `!` are comments. Escapes and continued lines are refused.
    ///
    /// # Errors
    /// As [`Self::split`], and `Invalid` with the number of a line that is none of those.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let mut properties = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let refuse = |why: &str| ClientError::Invalid(format!("line {}: {why}", at + 1));
            if line.contains('\\') {
                return Err(refuse("escapes and continued lines are not read here"));
            }
            let property = line.split_once('=');
            properties.push(property.ok_or_else(|| refuse("it is not name=value"))?);
        }
        Self::split(properties)
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), ClientError> {
        let puts = [
            self.client.put(name, value),
            self.producer.put(name, value),
            self.consumer.put(name, value),
        ];
        let mut puts = puts.into_iter().flatten().peekable();
        if puts.peek().is_none() {
            let names: Vec<&str> = OWNED
                .iter()
                .flat_map(|(_, names)| *names)
                .copied()
                .collect();
            return without_effect("client", &names, name, value);
        }
        let put: Result<(), String> = puts.collect();
        put.map_err(|why| ClientError::Invalid(format!("{name}: {why}")))
    }
}
