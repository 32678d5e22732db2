//! Connections to what is no broker, or no broker for this client, or one that has gone silent.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::net::SocketAddr;
use std::time::Duration;

use highwater_client::{Client, ClientConfig, ClientError, Dial, SystemClock, Tcp};
use highwater_proto::clock::Clock;
use highwater_proto::kafka::messages::api_versions::{ApiVersionsRange, ApiVersionsResponse};
use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::messages::produce::ProduceRequest;
use highwater_proto::kafka::{ApiKey, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test)
}

/// What the future gives within so many milliseconds.
async fn within<T>(limit_ms: u64, future: impl Future<Output = T>) -> Option<T> {
    let clock = SystemClock::new();
    let at = clock.now().mono.plus(Duration::from_millis(limit_ms));
    tokio::select! {
        value = future => Some(value),
        () = clock.sleep_until(at) => None,
    }
}

/// A server that reads one request on each connection and answers these bytes; without any it
/// hangs up.
async fn server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(&answer).await.unwrap();
            if !answer.is_empty() {
                // The client hangs up when it has seen enough.
                let _ = stream.read(&mut [0]).await;
            }
        }
    });
    address
}

/// A request without its size.
async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let size = stream.read_u32().await.unwrap();
    let mut request = vec![0; usize::try_from(size).unwrap()];
    stream.read_exact(&mut request).await.unwrap();
    request
}

fn versions(ranges: &[(ApiKey, i16, i16)]) -> Vec<u8> {
    let range = |(key, min_version, max_version): &(ApiKey, i16, i16)| ApiVersionsRange {
        api_key: key.number(),
        min_version: *min_version,
        max_version: *max_version,
    };
    let response = ApiVersionsResponse {
        api_keys: ranges.iter().map(range).collect(),
        ..Default::default()
    };
    let frame = Response::from(response).encode_frame(3, 0).unwrap();
    frame.into_parts().into_iter().flatten().collect()
}

async fn refusal(address: &str) -> ClientError {
    let config = ClientConfig::new()
        .bootstrap_servers(address)
        .socket_connection_setup_timeout_ms(5_000);
    Client::connect_with(config).await.unwrap_err()
}

#[test]
fn what_is_no_broker_is_named() {
    run(async {
        let cases: [(&[u8], &str); 4] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP"),
            (&[0x15, 3, 3, 0, 2, 2, 40], "it speaks TLS"),
            (b"SSH-2.0-OpenSSH_9.9\r\n", "it speaks SSH"),
            (&[0, 0, 0, 6, 0, 0, 0, 9, 0, 0], "no Kafka broker"),
        ];
        for (answer, words) in cases {
            let address = server(answer.to_vec()).await.to_string();
            let error = refusal(&address).await;
            assert!(matches!(error, ClientError::Unsupported(_)), "{error}");
            assert!(!error.is_retriable());
            let error = error.to_string();
            assert!(error.contains(words) && error.contains(&address), "{error}");
        }
    });
}

#[test]
fn who_hangs_up_may_be_a_broker_that_starts() {
    run(async {
        let address = server(Vec::new()).await.to_string();
        let error = refusal(&address).await;
        assert!(error.is_retriable(), "{error}");
        assert!(error.to_string().contains("told no versions"), "{error}");
    });
}

#[test]
fn versions_that_do_not_meet_are_said_so() {
    run(async {
        let answer = versions(&[(ApiKey::ApiVersions, 0, 3), (ApiKey::Metadata, 90, 99)]);
        let address = server(answer).await.to_string();
        let error = refusal(&address).await;
        assert!(matches!(error, ClientError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("too old or too new"), "{error}");
    });
}

#[test]
fn a_host_that_is_not_known_is_said_so() {
    run(async {
        // A label of a name has 63 letters at most: nobody has to be asked.
        let error = refusal(&format!("{}:9092", "x".repeat(64))).await;
        assert!(matches!(error, ClientError::NotSent(_)), "{error}");
        assert!(error.to_string().contains("is not known"), "{error}");
    });
}

#[test]
fn a_port_where_nothing_listens_is_said_so() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = refusal(&address).await;
        assert!(error.to_string().contains("nothing listens at"), "{error}");
    });
}

#[test]
fn the_second_address_serves_when_the_first_is_dead() {
    run(async {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead_address = dead.local_addr().unwrap();
        drop(dead);
        let ranges = [(ApiKey::ApiVersions, 0, 3), (ApiKey::Metadata, 0, 12)];
        let address = server(versions(&ranges)).await;
        let both = format!("{dead_address},{address}");
        Client::connect(&both).await.unwrap();
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    run(async {
        // It accepts, which the kernel does for it, and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = ClientConfig::new()
            .bootstrap_servers(listener.local_addr().unwrap().to_string())
            .socket_connection_setup_timeout_ms(50);
        let error = Client::connect_with(config).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("socket.connection.setup.timeout.ms"),
            "{error}"
        );
    });
}

/// A listener, and a session with it that has agreed on versions.
async fn connected() -> (
    TcpStream,
    std::sync::Arc<dyn highwater_proto::exchange::Exchange>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let ranges = [(ApiKey::Metadata, 0, 12), (ApiKey::Produce, 3, 11)];
        stream.write_all(&versions(&ranges)).await.unwrap();
        stream
    };
    let tcp = Tcp::new("test");
    let (stream, session) = tokio::join!(server, tcp.dial(&address));
    (stream, session.unwrap())
}

/// What comes until the client hangs up, which it must.
async fn until_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let read = within(20_000, read).await;
    read.expect("the client hangs up").unwrap();
    rest
}

#[test]
fn a_silent_connection_that_is_given_up_is_closed() {
    run(async {
        let (mut stream, session) = connected().await;
        let answer = session.send(12, MetadataRequest::default().into());
        read_request(&mut stream).await;
        drop(session);
        // Who waits for an answer keeps the connection.
        let waiting = within(30, stream.read_u8()).await;
        assert!(waiting.is_none(), "{waiting:?}");
        drop(answer);
        assert!(until_the_end(&mut stream).await.is_empty());
        // Not only half of it: what the broker sends now is refused.
        let mut is_refused = false;
        for _ in 0..1_000 {
            is_refused |= stream.write_all(&[1]).await.is_err();
            tokio::task::yield_now().await;
        }
        assert!(is_refused, "somebody still reads");
    });
}

#[test]
fn what_was_handed_over_is_written_though_the_session_is_dropped() {
    run(async {
        let (mut stream, session) = connected().await;
        let request = ProduceRequest {
            acks: 0,
            ..Default::default()
        };
        for _ in 0..100 {
            drop(session.send(9, request.clone().into()));
        }
        drop(session);
        for _ in 0..100 {
            read_request(&mut stream).await;
        }
        assert!(until_the_end(&mut stream).await.is_empty());
    });
}
