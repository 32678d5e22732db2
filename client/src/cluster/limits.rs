//! How long the calls, the pauses and the silences of a client may be.
//!
//! Floor 3 of client.

use std::time::Duration;

use crate::config::ClientConfig;

/// Limits of time; each carries the name of Kafka's setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// `request.timeout.ms`.
    pub(crate) request: Duration,
    /// `default.api.timeout.ms`: what all tries of one call may take.
    pub(crate) api: Duration,
    /// `socket.connection.setup.timeout.ms`: from the look-up of the name to the agreement on
    /// versions.
    pub(crate) setup: Duration,
    /// `connections.max.idle.ms`.
    pub(crate) idle: Duration,
    /// `metadata.max.age.ms`.
    pub(crate) metadata_age: Duration,
    /// `reconnect.backoff.ms`.
    pub(crate) reconnect: Duration,
    /// `reconnect.backoff.max.ms`.
    pub(crate) reconnect_max: Duration,
    /// `retry.backoff.ms`.
    pub(crate) retry: Duration,
    /// `retry.backoff.max.ms`.
    pub(crate) retry_max: Duration,
}

impl From<&ClientConfig> for Limits {
    fn from(config: &ClientConfig) -> Self {
        let ms = Duration::from_millis;
        Self {
            request: ms(config.request_timeout_ms),
            api: ms(config.default_api_timeout_ms),
            setup: ms(config.socket_connection_setup_timeout_ms),
            idle: ms(config.connections_max_idle_ms),
            metadata_age: ms(config.metadata_max_age_ms),
            reconnect: ms(config.reconnect_backoff_ms),
            reconnect_max: ms(config.reconnect_backoff_max_ms),
            retry: ms(config.retry_backoff_ms),
            retry_max: ms(config.retry_backoff_max_ms),
        }
    }
}
