//! The native protocol from a client: over TCP and in process, found by its address, opened again
//! when it was lost.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_client::{Client, ClientConfig, ClientError, ProducerConfig, Record};
use highwater_proto::exchange::ExchangeError;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, v1};

fn fetch(topic: &str, wait_ms_max: u32) -> Call {
    Call::Fetch(v1::Fetch {
        topic: topic.to_owned(),
        bytes_max: 1 << 20,
        wait_ms_max,
        ..v1::Fetch::default()
    })
}

fn append(key: &str) -> Call {
    Call::Append(v1::Append {
        topic: "events".to_owned(),
        partition: None,
        checks: vec![v1::StreamCheck {
            key: Bytes::copy_from_slice(key.as_bytes()),
            expect: Some(v1::Expect {
                what: Some(v1::expect::What::NoStream(v1::NoStream::default())),
            }),
        }],
        events: vec![v1::NewEvent {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Some(Bytes::from("{}")),
            headers: Vec::new(),
        }],
    })
}

async fn topic(broker: &Broker, name: &str, configs: &[(&str, &str)]) {
    let configs = configs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let topics = vec![NewTopic {
        name: name.to_owned(),
        configs: configs.collect(),
        ..NewTopic::default()
    }];
    let call = CreateTopicsCall {
        topics,
        validate_only: false,
    };
    let created = broker.service().create_topics(call).await.remove(0).result;
    assert!(created.is_ok(), "{created:?}");
}

async fn store(broker: &Broker) {
    let configs = [("append.conditional", "true"), ("retention.ms", "-1")];
    topic(broker, "events", &configs).await;
}

async fn high_watermark(native: &dyn NativeExchange, topic: &str) -> i64 {
    match native.call(fetch(topic, 0), Bytes::new()).await.unwrap() {
        (Answer::Fetched(fetched), _) => fetched.high_watermark,
        other => panic!("{other:?}"),
    }
}

fn listening() -> (Broker, String) {
    let broker = Broker::in_memory().unwrap();
    broker.listen_kafka("127.0.0.1:0").unwrap();
    let address = broker.listen_native("127.0.0.1:0").unwrap();
    (broker, format!("highwater://{address}"))
}

#[tokio::test]
async fn one_address_is_enough_for_both_protocols() {
    let (broker, address) = listening();
    store(&broker).await;
    let client = Client::connect(&address).await.unwrap();
    let native = client.native().unwrap();
    let appended = native.call(append("a"), Bytes::new()).await.unwrap().0;
    assert!(matches!(appended, Answer::Appended(appended) if appended.revisions == [0]));
    let again = native.call(append("a"), Bytes::new()).await.unwrap().0;
    assert!(matches!(again, Answer::Conflict(_)), "{again:?}");
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sent = producer.send(Record::to("flights").value("late")).await;
    assert_eq!(sent.unwrap().await.unwrap().offset, 0);
    assert_eq!(high_watermark(&*native, "flights").await, 1);
    let kafka = Client::connect(&broker.bootstrap_servers()).await.unwrap();
    assert!(kafka.native().is_none());
}

#[tokio::test]
async fn answers_overtake_each_other_and_requests_do_not() {
    let (broker, address) = listening();
    store(&broker).await;
    topic(&broker, "quiet", &[]).await;
    let native = Client::connect(&address).await.unwrap().native().unwrap();
    let waiting = native.call(fetch("quiet", 3_600_000), Bytes::new());
    let first = native.call(append("a"), Bytes::new());
    let second = native.call(append("a"), Bytes::new());
    // Whichever is polled first.
    let (second, first) = (second.await.unwrap().0, first.await.unwrap().0);
    assert!(matches!(first, Answer::Appended(_)), "{first:?}");
    assert!(matches!(second, Answer::Conflict(_)), "{second:?}");
    drop(waiting);
}

#[tokio::test]
async fn in_process_it_needs_no_listener() {
    let broker = Broker::in_memory().unwrap();
    store(&broker).await;
    let client = Client::in_process(broker.sessions()).with_native(broker.native_sessions());
    let native = client.native().unwrap();
    let appended = native.call(append("a"), Bytes::new()).await.unwrap().0;
    assert!(matches!(appended, Answer::Appended(_)), "{appended:?}");
    broker.shutdown().await.unwrap();
    let late = native.call(append("b"), Bytes::new()).await;
    assert!(late.unwrap_err().is_not_sent());
}

#[tokio::test]
async fn a_session_that_was_lost_is_opened_again() {
    let (broker, address) = listening();
    store(&broker).await;
    let client = Client::connect(&address).await.unwrap();
    let native = client.native().unwrap();
    let waiting = native.call(fetch("events", 3_600_000), Bytes::new());
    // The answer to what was sent behind it tells that it is there.
    high_watermark(&*native, "events").await;
    broker.crash().await;
    let lost = waiting.await.unwrap_err();
    assert!(matches!(lost, ExchangeError::Unknown { .. }), "{lost}");
    let down = native.call(append("a"), Bytes::new()).await.unwrap_err();
    assert!(down.is_not_sent(), "{down}");
    drop(broker);
    let other = Broker::in_memory().unwrap();
    store(&other).await;
    let native_listener = address.strip_prefix("highwater://").unwrap();
    other.listen_native(native_listener).unwrap();
    let appended = native.call(append("a"), Bytes::new()).await.unwrap().0;
    assert!(matches!(appended, Answer::Appended(_)), "{appended:?}");
}

#[tokio::test]
async fn what_is_no_native_listener_is_said() {
    let (broker, _) = listening();
    let kafka = format!("highwater://{}", broker.bootstrap_servers());
    let error = Client::connect(&kafka).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no listener of the native protocol"),
        "{text}"
    );
    let alone = Broker::in_memory().unwrap();
    let address = alone.listen_native("127.0.0.1:0").unwrap();
    let error = Client::connect(&format!("highwater://{address}")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("Kafka listener"), "{error}");
    let address = format!("highwater://{address}");
    drop(alone);
    let error = Client::connect(&address).await.unwrap_err();
    assert!(matches!(error, ClientError::NotSent(_)), "{error}");
    let error = Client::connect("highwater://nowhere").await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn a_listener_that_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("highwater://{}", silent.local_addr().unwrap());
    let config = ClientConfig::new()
        .bootstrap_servers(address)
        .socket_connection_setup_timeout_ms(20);
    let error = Client::connect_with(config).await.unwrap_err();
    assert!(error.to_string().contains("within 20 ms"), "{error}");
}

#[tokio::test]
async fn more_than_may_be_under_way_is_not_sent() {
    let (broker, address) = listening();
    topic(&broker, "quiet", &[]).await;
    let native = Client::connect(&address).await.unwrap().native().unwrap();
    let waiting: Vec<_> = (0..256)
        .map(|_| native.call(fetch("quiet", 3_600_000), Bytes::new()))
        .collect();
    let error = native.call(fetch("quiet", 0), Bytes::new()).await;
    assert!(error.unwrap_err().is_not_sent());
    let larger = Bytes::from(vec![0; (100 << 20) + 1]);
    let other = Client::connect(&address).await.unwrap().native().unwrap();
    let produce = Call::Produce(v1::Produce::default());
    let error = other.call(produce, larger).await.unwrap_err();
    assert!(error.is_not_sent(), "{error}");
    drop(waiting);
}

/// The last one who waits keeps the connection; then it is closed.
#[tokio::test]
async fn a_connection_ends_with_its_client() {
    let (broker, address) = listening();
    topic(&broker, "quiet", &[]).await;
    let client = Client::connect(&address).await.unwrap();
    let native = client.native().unwrap();
    drop(client);
    high_watermark(&*native, "quiet").await;
    let waiting = native.call(fetch("quiet", 3_600_000), Bytes::new());
    drop(native);
    while broker.service().parked_count() == 0 {
        tokio::task::yield_now().await;
    }
    drop(waiting);
    while broker.service().parked_count() > 0 {
        tokio::task::yield_now().await;
    }
}
