//! A broker with a listener that asks for SASL and one that asks for nothing, and clients that
//! prove who they are.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialUpsertion,
};
use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::messages::sasl_authenticate::{
    SaslAuthenticateRequest, SaslAuthenticateResponse,
};
use highwater_proto::kafka::messages::sasl_handshake::{
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use highwater_proto::sasl::ScramHash;
use highwater_proto::sasl::plain::Plain;
use highwater_proto::sasl::scram::{ClientBegun, salted_password};

use crate::kit::{Client, START, until};
use crate::logs;

pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "alice-secret";

pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) clock: VirtualClock,
    /// Asks for SASL.
    pub(crate) asking: SocketAddr,
    /// Asks for nothing.
    pub(crate) open: SocketAddr,
}

impl Rig {
    /// With a user that has a password for both hashes.
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: BrokerConfig) -> Self {
        let rig = Self::over(Arc::new(MemFs::new()), config);
        rig.add(USER, PASSWORD);
        rig
    }

    /// Over a disk; without a user of its own.
    pub(crate) fn over(fs: Arc<dyn Fs>, config: BrokerConfig) -> Self {
        logs::collect();
        let clock = VirtualClock::new(START);
        let broker = Broker::builder()
            .fs(fs, "/data")
            .config(config)
            .clock(Arc::new(clock.clone()))
            .listen_kafka("IN=127.0.0.1:0,protocol=SASL_PLAINTEXT".parse().unwrap())
            .listen_kafka("OPEN=127.0.0.1:0".parse().unwrap())
            .start()
            .unwrap();
        let addresses = broker.bootstrap_servers();
        let (asking, open) = addresses.split_once(',').unwrap();
        Self {
            asking: asking.parse().unwrap(),
            open: open.parse().unwrap(),
            broker,
            clock,
        }
    }

    pub(crate) fn add(&self, user: &str, password: &str) {
        let upsertions = ScramHash::ALL.map(|hash| upsertion(user, hash, password));
        let request = AlterUserScramCredentialsRequest {
            deletions: Vec::new(),
            upsertions: upsertions.into(),
        };
        let answer = Client::connect(self.open).call(0, request);
        assert_eq!(answer.results.len(), 1);
        assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
    }

    /// A connection to the listener that asks.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.asking)
    }

    /// A connection of a client that has proved who it is.
    pub(crate) fn proved(&self) -> Client {
        let mut client = self.client();
        let answer = prove(&mut client, ScramHash::Sha256, USER, PASSWORD);
        assert_eq!(answer.unwrap().error_code, 0);
        client
    }

    /// Waits until this many connections are open, and nothing is left of those before them.
    pub(crate) fn until_open(&self, count: u64) {
        let metrics = self.broker.service().metrics();
        until(|| metrics.connections.value() - metrics.closed_connections.value() == count);
    }
}

/// Settings under which PLAIN may be used without TLS, and a wrong proof is answered at once.
pub(crate) fn config() -> BrokerConfig {
    let mut config = BrokerConfig::default();
    let all = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
    config.set("sasl.enabled.mechanisms", all).unwrap();
    config.set("allow.plaintext.password", "true").unwrap();
    // Nobody moves the clock.
    let delay = "connection.failed.authentication.delay.ms";
    config.set(delay, "0").unwrap();
    config
}

pub(crate) fn upsertion(user: &str, hash: ScramHash, password: &str) -> ScramCredentialUpsertion {
    let salt = b"0123456789abcdefghijklmnop";
    ScramCredentialUpsertion {
        name: Str::from(user.to_owned()),
        mechanism: hash.number(),
        iterations: 4096,
        salt: Bytes::from_static(salt),
        salted_password: salted_password(hash, password, salt, 4096).0.into(),
    }
}

pub(crate) fn handshake(mechanism: &'static str) -> SaslHandshakeRequest {
    SaslHandshakeRequest {
        mechanism: Str::from_static(mechanism),
    }
}

pub(crate) fn authenticate(token: Vec<u8>) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest {
        auth_bytes: token.into(),
    }
}

pub(crate) fn agree(client: &mut Client, mechanism: &'static str) -> SaslHandshakeResponse {
    client.call(1, handshake(mechanism))
}

/// The handshake and the first step of SCRAM; the last message, and what has to be answered to it.
pub(crate) fn challenged(
    client: &mut Client,
    hash: ScramHash,
    user: &str,
    password: &str,
) -> (Vec<u8>, highwater_proto::sasl::scram::ClientFinishing) {
    assert_eq!(agree(client, hash.mechanism().name()).error_code, 0);
    let (first, begun) = ClientBegun::begin(hash, user, password, "nonce").unwrap();
    let answer = client.call(2, authenticate(first));
    assert_eq!(answer.error_code, 0, "{answer:?}");
    begun.prove(&answer.auth_bytes.0).unwrap()
}

/// A whole proof by SCRAM; checks the signature of the broker.
pub(crate) fn prove(
    client: &mut Client,
    hash: ScramHash,
    user: &str,
    password: &str,
) -> Option<SaslAuthenticateResponse> {
    let (last, finishing) = challenged(client, hash, user, password);
    let answer = client.call(2, authenticate(last));
    if answer.error_code == 0 {
        finishing.verify(&answer.auth_bytes.0).unwrap();
    }
    Some(answer)
}

pub(crate) fn plain(user: &str, password: &str) -> Vec<u8> {
    Plain::token(user, password)
}

/// Whether the client can do what it came for.
pub(crate) fn works(client: &mut Client) -> bool {
    let metadata = client.call(12, MetadataRequest::default());
    !metadata.brokers.is_empty()
}
