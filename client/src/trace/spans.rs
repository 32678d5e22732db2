//! Spans by OpenTelemetry's messaging conventions.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A span tells of topics, partitions, offsets and counts, never of keys and values.
//! - One that nobody listens to is not made: what it would say is not put together either.

use tracing::Span;
use tracing::field::Empty;

/// From `send` until the record is accepted.
pub(crate) fn send_span(topic: &str) -> Span {
    tracing::debug_span!(
        "send",
        otel.name = format_args!("send {topic}"),
        otel.kind = "producer",
        messaging.system = "kafka",
        messaging.operation.type = "send",
        messaging.operation.name = "send",
        messaging.destination.name = topic,
        messaging.destination.partition.id = Empty,
    )
}

/// One `poll` that gave something; `messaging.batch.message_count` is recorded at its end.
pub(crate) fn poll_span(group: Option<&str>) -> Span {
    tracing::debug_span!(
        "poll",
        otel.kind = "client",
        messaging.system = "kafka",
        messaging.operation.type = "receive",
        messaging.operation.name = "poll",
        messaging.consumer.group.name = group,
        messaging.batch.message_count = Empty,
    )
}

/// One commit of offsets.
pub(crate) fn commit_span(group: &str) -> Span {
    tracing::debug_span!(
        "commit",
        otel.kind = "client",
        messaging.system = "kafka",
        messaging.operation.type = "settle",
        messaging.operation.name = "commit",
        messaging.consumer.group.name = group,
    )
}
