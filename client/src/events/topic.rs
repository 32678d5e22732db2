//! Topics that are made for streams.
//!
//! Floor 6 of client.

use crate::admin::NewTopic;

/// A topic for an [`EventStore`](super::EventStore), or for its snapshots: every record stays, in
/// an order of times that only the log sets. It is what `highwater topic create --preset
/// event-store` creates. Its number of partitions never changes.
///
/// ```no_run
/// use highwater_client::events;
///
/// # async fn run(client: highwater_client::Client) -> Result<(), highwater_client::ClientError> {
/// for name in ["orders", "orders-snapshots"] {
///     client.admin().create_topic(&events::new_topic(name).partitions(8)).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn new_topic(name: impl Into<String>) -> NewTopic {
    let topic = NewTopic::named(name);
    let set = |topic: NewTopic, (name, value): (&str, &str)| topic.config(name, value);
    EVENT_STORE.into_iter().fold(topic, set)
}

/// What a topic of streams is set to: everything of every key stays, in an order of times that
/// nobody outside sets.
pub const EVENT_STORE: [(&str, &str); 7] = [
    ("append.conditional", "true"),
    ("cleanup.policy", "delete"),
    ("durability", "fsync"),
    ("message.timestamp.type", "LogAppendTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
    ("segment.bytes", "134217728"),
];
