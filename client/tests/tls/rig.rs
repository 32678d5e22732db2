//! What the tests share: a broker with a TLS listener, and clients of it.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_client::{Client, ClientConfig, ClientError, SecurityProtocol, SystemClock};
use highwater_proto::clock::Clock;

use crate::certs::{Authority, Files, Issued};

/// A broker with a TLS listener and one without, and its files.
pub(crate) struct Rig {
    /// Its end is the end of everything.
    _broker: Broker,
    pub(crate) clock: VirtualClock,
    pub(crate) address: String,
    pub(crate) plain: String,
    pub(crate) authority: Authority,
    pub(crate) files: Files,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::of("localhost", |_| {})
    }

    /// A broker whose certificate is for this host, with further settings.
    pub(crate) fn of(host: &str, set: impl FnOnce(&mut BrokerConfig)) -> Self {
        let authority = Authority::new("test authority");
        let issued = authority.issue(host);
        Self::with(authority, &issued, set)
    }

    /// A broker with this certificate.
    pub(crate) fn with(
        authority: Authority,
        issued: &Issued,
        set: impl FnOnce(&mut BrokerConfig),
    ) -> Self {
        let files = Files::new(issued, &authority);
        let mut config = BrokerConfig {
            ssl_certificate_location: files.text("certificate.pem"),
            ssl_key_location: files.text("key.pem"),
            ssl_ca_location: files.text("ca.pem"),
            ..BrokerConfig::default()
        };
        set(&mut config);
        // It starts with the machine's: records carry the time of the client.
        let clock = VirtualClock::new(SystemClock::new().now().wall);
        let broker = Broker::builder()
            .config(config)
            .clock(Arc::new(clock.clone()))
            .start()
            .unwrap();
        let encrypted = broker.listen_kafka("127.0.0.1:0,protocol=SSL").unwrap();
        let plain = broker.listen_kafka("127.0.0.1:0").unwrap();
        let is_ip = issued.name.parse::<std::net::IpAddr>().is_ok();
        let host = if is_ip { "127.0.0.1" } else { "localhost" };
        // Clients come back to the address that they came by: to a name, it is advertised.
        let address = match is_ip {
            true => encrypted.to_string(),
            false => {
                let listener = format!("N=127.0.0.1:0,advertise={host}:0,protocol=SSL");
                broker.listen_kafka(&listener).unwrap().to_string()
            }
        };
        Self {
            _broker: broker,
            clock,
            address,
            plain: plain.to_string(),
            authority,
            files,
        }
    }

    /// Settings of a client that trusts the broker's authority.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::new()
            .bootstrap_servers(&self.address)
            .security_protocol(SecurityProtocol::Ssl)
            .ssl_ca_location(self.files.text("ca.pem"))
    }

    pub(crate) async fn client(&self) -> Result<Client, ClientError> {
        Client::connect_with(self.config()).await
    }
}

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test)
}
