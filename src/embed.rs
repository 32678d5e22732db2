//! A client of a broker in the same process.

use highwater_broker::Broker;
use highwater_client::Client;

/// Joins a client and an embedded broker.
pub trait EmbeddedClient {
    /// A client whose requests are handed straight to the broker, without a socket and without
    /// being encoded. It does not keep the broker alive: after its end every call fails.
    fn embedded(broker: &Broker) -> Self;
}

impl EmbeddedClient for Client {
    fn embedded(broker: &Broker) -> Self {
        Self::in_process(broker.sessions()).with_native(broker.native_sessions())
    }
}
