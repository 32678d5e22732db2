//! A client that proves who its user is, to a broker of this workspace.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test itself does"
)]

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::{Broker, Builder};
use highwater_client::{
    Admin, Client, ClientConfig, ClientError, Dial, ErrorCode, Mechanism, NewTopic, Password,
    ProducerConfig, Record, ScramHash, Tcp,
};
use highwater_proto::clock::{Clock, Wall};
use highwater_proto::exchange::Exchange;
use highwater_proto::kafka::messages::api_versions::{
    ApiVersionsRange, ApiVersionsRequest, ApiVersionsResponse,
};
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateResponse;
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeResponse;
use highwater_proto::kafka::{APIS, Request, Response, open_request};

/// A broker with a listener that asks for SASL, and its user alice.
struct Rig {
    broker: Broker,
    address: String,
}

impl Rig {
    async fn new(mechanisms: &str) -> Self {
        let mut config = BrokerConfig::default();
        config.set("sasl.enabled.mechanisms", mechanisms).unwrap();
        Self::of(config, Broker::builder()).await
    }

    /// With sessions of a minute, by this clock.
    async fn with_sessions(clock: &VirtualClock) -> Self {
        let mut config = BrokerConfig::default();
        config.set("sasl.enabled.mechanisms", ALL).unwrap();
        config.set("connections.max.reauth.ms", "60000").unwrap();
        Self::of(config, Broker::builder().clock(Arc::new(clock.clone()))).await
    }

    async fn of(mut config: BrokerConfig, builder: Builder) -> Self {
        config.set("allow.plaintext.password", "true").unwrap();
        let delay = "connection.failed.authentication.delay.ms";
        config.set(delay, "0").unwrap();
        let broker = builder.config(config).start().unwrap();
        let listener = "127.0.0.1:0,protocol=SASL_PLAINTEXT";
        let address = broker.listen_kafka(listener).unwrap().to_string();
        let rig = Self { broker, address };
        let password = Password::from("alice-secret");
        let set = rig.admin();
        set.set_password("alice", &password, &ScramHash::ALL, 4096)
            .await
            .unwrap();
        rig
    }

    /// Of the embedded client, which nobody asks who it is.
    fn admin(&self) -> Admin {
        let sessions = self.broker.sessions();
        let open = move || sessions() as Arc<dyn Exchange>;
        Client::in_process(open).admin()
    }

    fn config(&self, mechanism: Mechanism, password: &str) -> ClientConfig {
        ClientConfig::new()
            .bootstrap_servers(self.address.clone())
            .security_protocol("SASL_PLAINTEXT".parse().unwrap())
            .sasl_mechanism(mechanism)
            .sasl_username("alice")
            .sasl_password(password)
    }

    /// Connections that the listeners have taken so far.
    fn connections(&self) -> u64 {
        self.broker.service().metrics().connections.value()
    }

    async fn refusal(&self, config: ClientConfig) -> ClientError {
        Client::connect_with(config).await.unwrap_err()
    }
}

const ALL: &str = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";

#[tokio::test]
async fn every_mechanism_lets_the_user_in_on_every_connection() {
    let rig = Rig::new(ALL).await;
    for mechanism in Mechanism::ALL {
        let config = rig.config(mechanism, "alice-secret");
        let client = Client::connect_with(config).await.unwrap();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let sent = producer.send(Record::to("t").value("v")).await.unwrap();
        sent.await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let rig = Rig::new(ALL).await;
    for mechanism in Mechanism::ALL {
        let error = rig.refusal(rig.config(mechanism, "wr0ng")).await;
        assert_eq!(error.code(), Some(ErrorCode::SaslAuthenticationFailed));
        assert!(!error.is_retriable());
        assert_eq!(
            error.to_string(),
            format!(
                "the broker answered SASL_AUTHENTICATION_FAILED: Authentication failed during \
                 authentication due to invalid credentials with SASL mechanism {mechanism}; look \
                 at sasl.username and sasl.password"
            )
        );
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_told_with_those_that_are() {
    let rig = Rig::new("SCRAM-SHA-256,SCRAM-SHA-512").await;
    let error = rig
        .refusal(rig.config(Mechanism::Plain, "alice-secret"))
        .await;
    let expected =
        "does not offer PLAIN here, but SCRAM-SHA-256, SCRAM-SHA-512: set sasl.mechanism";
    assert!(error.to_string().contains(expected), "{error}");
}

#[tokio::test]
async fn a_listener_that_asks_for_nothing_is_told_apart() {
    let rig = Rig::new(ALL).await;
    let open = rig.broker.listen_kafka("127.0.0.1:0").unwrap().to_string();
    let config = rig.config(Mechanism::ScramSha256, "alice-secret");
    let error = rig.refusal(config.bootstrap_servers(open)).await;
    assert!(
        error.to_string().contains("asks for no password here"),
        "{error}"
    );
}

#[test]
fn settings_that_are_not_complete_are_refused_with_what_is_missing() {
    let base = || ClientConfig::new().bootstrap_servers("localhost:9092");
    let sasl = || base().security_protocol("SASL_SSL".parse().unwrap());
    let complete = || {
        sasl()
            .sasl_mechanism(Mechanism::ScramSha512)
            .sasl_username("alice")
            .sasl_password("secret")
    };
    assert!(complete().validated().is_ok());
    for (config, missing) in [
        (sasl(), "security.protocol=SASL_SSL needs sasl.mechanism"),
        (
            sasl().sasl_mechanism(Mechanism::Plain),
            "needs sasl.username",
        ),
        (
            ClientConfig {
                sasl_password: None,
                ..complete()
            },
            "needs sasl.password",
        ),
        (
            base().sasl_password("secret"),
            "sasl.password has no effect with security.protocol=PLAINTEXT",
        ),
    ] {
        let error = config.validated().unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let shown = format!("{:?} {:?}", complete(), complete().properties());
    assert!(
        !shown.contains("\"secret\"") && shown.contains("[hidden]"),
        "{shown}"
    );
}

#[tokio::test]
async fn users_are_listed_and_deleted() {
    let rig = Rig::new(ALL).await;
    let admin = rig.admin();
    let bob = Password::from("b");
    admin
        .set_password("bob", &bob, &[ScramHash::Sha512], 5000)
        .await
        .unwrap();
    let users = admin.list_users().await.unwrap();
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(users[1].credentials[0].iterations, 5000);
    assert_eq!(users[1].credentials[0].hash, ScramHash::Sha512);
    admin
        .delete_credentials("alice", &ScramHash::ALL)
        .await
        .unwrap();
    let error = rig
        .refusal(rig.config(Mechanism::ScramSha256, "alice-secret"))
        .await;
    assert_eq!(error.code(), Some(ErrorCode::SaslAuthenticationFailed));
    let again = admin.delete_credentials("alice", &ScramHash::ALL).await;
    assert_eq!(again.unwrap_err().code(), Some(ErrorCode::ResourceNotFound));
    let low = admin.set_password("bob", &bob, &ScramHash::ALL, 100).await;
    let error = low.unwrap_err().to_string();
    assert!(
        error.contains("100 iterations are not within 4096 to 100000"),
        "{error}"
    );
}

/// A broker that does not know the password, and takes every proof: somebody on the way, say.
fn impostor() -> std::net::SocketAddr {
    fake(|request| Some(impostors_answer(request)))
}

/// One connection of something that is no broker of this workspace.
fn fake(
    mut answer: impl FnMut(Request) -> Option<Response> + Send + 'static,
) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut size = [0; 4];
        while stream.read_exact(&mut size).is_ok() {
            let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
            stream.read_exact(&mut frame).unwrap();
            let (header, body) = open_request(frame.into()).unwrap();
            let request = Request::decode(header.key, header.version, body).unwrap();
            if let Some(answer) = answer(request) {
                let frame = answer.encode_frame(header.version, header.correlation_id);
                stream.write_all(&frame.unwrap().into_bytes()).unwrap();
            }
        }
    };
    drop(std::thread::Builder::new().spawn(serve).unwrap());
    address
}

fn impostors_answer(request: Request) -> Response {
    match request {
        Request::ApiVersions(_) => ApiVersionsResponse {
            api_keys: APIS
                .iter()
                .map(|api| ApiVersionsRange {
                    api_key: api.key.number(),
                    min_version: api.implemented.min,
                    max_version: api.implemented.max,
                })
                .collect(),
            ..ApiVersionsResponse::default()
        }
        .into(),
        Request::SaslHandshake(_) => SaslHandshakeResponse::default().into(),
        Request::SaslAuthenticate(request) => {
            let token = String::from_utf8(request.auth_bytes.0.to_vec()).unwrap();
            let answer = match token.split_once(",r=") {
                Some((begin, nonce)) if begin.starts_with("n,,") => {
                    format!("r={nonce}more,s=c2FsdA==,i=4096")
                }
                _ => "v=AAAA".to_owned(),
            };
            SaslAuthenticateResponse {
                auth_bytes: answer.into_bytes().into(),
                ..SaslAuthenticateResponse::default()
            }
            .into()
        }
        other => unreachable!("{other:?} comes after the proof"),
    }
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_password_is_refused() {
    let config = ClientConfig::new()
        .bootstrap_servers(impostor().to_string())
        .security_protocol("SASL_PLAINTEXT".parse().unwrap())
        .sasl_mechanism(Mechanism::ScramSha512)
        .sasl_username("alice")
        .sasl_password("alice-secret");
    let error = Client::connect_with(config).await.unwrap_err();
    let expected = "the signature of the server is wrong: it does not know this user's password";
    assert!(error.to_string().contains(expected), "{error}");
}

const START: Wall = Wall(1_700_000_000_000);

/// A client that goes by this clock, as its broker does.
fn client(rig: &Rig, clock: &VirtualClock, mechanism: Mechanism) -> Client {
    let config = rig.config(mechanism, "alice-secret");
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let tcp = Tcp::of(&config).unwrap().with_clock(Arc::clone(&clock));
    Client::over_with(config, Arc::new(tcp), clock).unwrap()
}

/// A client that did not would lose its connection with each session.
#[tokio::test]
async fn a_client_proves_again_in_time_who_its_user_is() {
    for mechanism in Mechanism::ALL {
        let clock = VirtualClock::new(START);
        let rig = Rig::with_sessions(&clock).await;
        let admin = client(&rig, &clock, mechanism).admin();
        admin
            .create_topic(&NewTopic::named("t").partitions(1))
            .await
            .unwrap();
        let connections = rig.connections();
        for _ in 0..10 {
            // Several at once, behind one proof.
            clock.advance(Duration::from_secs(58));
            let list = || admin.list_topics();
            let asked = tokio::join!(list(), list(), list());
            for topics in [asked.0, asked.1, asked.2] {
                assert_eq!(topics.unwrap().len(), 1);
            }
            // No second one is due: a broker refuses two in a second.
            list().await.unwrap();
        }
        assert_eq!(rig.connections(), connections, "{mechanism}");
    }
}

#[tokio::test]
async fn who_cannot_prove_it_again_is_told_so() {
    let clock = VirtualClock::new(START);
    let rig = Rig::with_sessions(&clock).await;
    let admin = client(&rig, &clock, Mechanism::ScramSha256).admin();
    admin.list_topics().await.unwrap();
    let set = rig.admin();
    set.delete_credentials("alice", &ScramHash::ALL)
        .await
        .unwrap();
    admin.list_topics().await.unwrap();
    clock.advance(Duration::from_secs(58));
    let error = admin.list_topics().await.unwrap_err();
    assert_eq!(
        error.code(),
        Some(ErrorCode::SaslAuthenticationFailed),
        "{error}"
    );
}

/// Else who waits would wait for ever, and the connection would outlive whoever has given it up.
#[tokio::test]
async fn a_broker_that_is_silent_at_another_proof_loses_the_connection() {
    let handshakes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&handshakes);
    let address = fake(move |request| match request {
        Request::SaslHandshake(_) if seen.fetch_add(1, Ordering::AcqRel) > 0 => None,
        Request::SaslAuthenticate(_) => {
            let answer = SaslAuthenticateResponse {
                session_lifetime_ms: 60_000,
                ..SaslAuthenticateResponse::default()
            };
            Some(answer.into())
        }
        other => Some(impostors_answer(other)),
    });
    let clock = VirtualClock::new(START);
    let config = ClientConfig::new()
        .security_protocol("SASL_PLAINTEXT".parse().unwrap())
        .sasl_mechanism(Mechanism::Plain)
        .sasl_username("alice")
        .sasl_password("alice-secret");
    let tcp = Tcp::of(&config)
        .unwrap()
        .with_clock(Arc::new(clock.clone()));
    let link = tcp.dial(&address.to_string()).await.unwrap();
    clock.advance(Duration::from_secs(58));
    let asked = tokio::spawn(link.send(0, ApiVersionsRequest::default().into()));
    while handshakes.load(Ordering::Acquire) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clock.sleepers_count(), 1);
    clock.advance(Duration::from_secs(30));
    let error = asked.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("has not answered it within 30s"), "{error}");
}
