//! The native protocol over TLS: `security.protocol` counts for both protocols of a broker.

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::{Client, ClientConfig, SecurityProtocol};
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::certs::{Authority, Files};
use crate::rig::run;

#[test]
fn a_native_listener_is_reached_over_tls_and_one_without_is_not() {
    let authority = Authority::new("test authority");
    let files = Files::new(&authority.issue("localhost"), &authority);
    let config = BrokerConfig {
        ssl_certificate_location: files.text("certificate.pem"),
        ssl_key_location: files.text("key.pem"),
        ..BrokerConfig::default()
    };
    let broker = Broker::builder().config(config).start().unwrap();
    broker
        .listen_kafka("127.0.0.1:0,advertise=localhost:0,protocol=SSL")
        .unwrap();
    let encrypted = broker.listen_native("127.0.0.1:0,protocol=SSL").unwrap();
    let plain = broker.listen_native("127.0.0.1:0").unwrap();
    let settings = |port: u16| {
        ClientConfig::new()
            .bootstrap_servers(format!("highwater://localhost:{port}"))
            .security_protocol(SecurityProtocol::Ssl)
            .ssl_ca_location(files.text("ca.pem"))
    };
    run(async {
        let client = Client::connect_with(settings(encrypted.port))
            .await
            .unwrap();
        let fetch = Call::Fetch(v1::Fetch::default());
        let native = client.native().unwrap();
        let (answer, _) = native.call(fetch, Bytes::new()).await.unwrap();
        assert!(matches!(answer, Answer::Failure(failure) if failure.code == 3));
        // Kafka's protocol beside it.
        client.admin().list_topics().await.unwrap();
        for (port, security) in [
            (plain.port, SecurityProtocol::Ssl),
            (encrypted.port, SecurityProtocol::Plaintext),
        ] {
            let settings = settings(port).security_protocol(security);
            Client::connect_with(settings).await.unwrap_err();
        }
    });
}
