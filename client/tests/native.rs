//! The native protocol from a client: over TCP and in process, found by its address, opened again
//! when it was lost; and subscriptions, whose credit both sides keep to.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_client::{Client, ClientConfig, ClientError, ProducerConfig, Record};
use highwater_proto::exchange::ExchangeError;
use highwater_proto::native::frame;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::subscribe::Start;
use highwater_proto::native::{NativeExchange, Subscribed, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

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

/// What came next of a subscription.
async fn next(subscribed: &mut Box<dyn Subscribed>) -> Result<(Answer, Bytes), ExchangeError> {
    poll_fn(|context| subscribed.poll_next(context)).await
}

/// Whether something came of it.
async fn has_come(subscribed: &mut Box<dyn Subscribed>) -> bool {
    poll_fn(|context| Poll::Ready(subscribed.poll_next(context).is_ready())).await
}

fn subscribe(topic: &str, credit_bytes: u32) -> v1::Subscribe {
    v1::Subscribe {
        topic: topic.to_owned(),
        partition: 0,
        start: Some(Start::Earliest(true)),
        credit_bytes,
    }
}

/// The same over a socket and in process.
async fn both(broker: &Broker, address: &str) -> [std::sync::Arc<dyn NativeExchange>; 2] {
    let tcp = Client::connect(address).await.unwrap();
    let local = Client::in_process(broker.sessions()).with_native(broker.native_sessions());
    [tcp, local].map(|client| client.native().unwrap())
}

#[tokio::test]
async fn batches_are_pushed_as_far_as_there_is_credit() {
    let (broker, address) = listening();
    store(&broker).await;
    for native in both(&broker, &address).await {
        let began = high_watermark(&*native, "events").await;
        for key in ["a", "b", "c"] {
            let key = format!("{key}-{began}");
            let appended = native.call(append(&key), Bytes::new()).await.unwrap().0;
            assert!(matches!(appended, Answer::Appended(_)), "{appended:?}");
        }
        let at = v1::Subscribe {
            start: Some(Start::Offset(began)),
            ..subscribe("events", 1)
        };
        let mut subscribed = native.subscribe(at).await.unwrap();
        let (answer, body) = next(&mut subscribed).await.unwrap();
        let Answer::Delivered(first) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(first.next_offset, began + 1);
        // What was asked behind it is answered, and nothing more has come.
        high_watermark(&*native, "events").await;
        assert!(!has_come(&mut subscribed).await);
        subscribed.give(u32::try_from(body.len()).unwrap() + 1_000);
        let mut next_offset = first.next_offset;
        while next_offset < began + 3 {
            match next(&mut subscribed).await.unwrap().0 {
                Answer::Delivered(it) => next_offset = it.next_offset,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next_offset, began + 3);
    }
    let mut left = Vec::new();
    for native in both(&broker, &address).await {
        let mut lost = native.subscribe(subscribe("nowhere", 1)).await.unwrap();
        let (Answer::Ended(v1::Ended { failure }), _) = next(&mut lost).await.unwrap() else {
            panic!("it goes on");
        };
        assert_eq!(failure.unwrap().code, 3);
        assert!(next(&mut lost).await.is_err());
        let at = v1::Subscribe {
            start: Some(Start::Latest(true)),
            ..subscribe("events", 1)
        };
        left.push(native.subscribe(at).await.unwrap());
        high_watermark(&*native, "events").await;
    }
    broker.shutdown().await.unwrap();
    for mut subscribed in left {
        match next(&mut subscribed).await.unwrap().0 {
            Answer::Ended(v1::Ended {
                failure: Some(failure),
            }) => assert_eq!(failure.code, 6),
            other => panic!("{other:?}"),
        }
    }
}

/// A subscription that is dropped is over for the broker, too: its name is free.
#[tokio::test]
async fn who_drops_a_subscription_unsubscribes() {
    let (address, mut calls, _) = scripted().await;
    let native = Client::connect(&address).await;
    let native = native.unwrap().native().unwrap();
    let subscribed = native.subscribe(subscribe("events", 5)).await.unwrap();
    let (name, call) = calls.recv().await.unwrap();
    assert!(matches!(call, Call::Subscribe(it) if it.credit_bytes == 5));
    drop(subscribed);
    let (other, call) = calls.recv().await.unwrap();
    assert!(matches!(call, Call::Unsubscribe(it) if it.subscription == name));
    assert_ne!(name, other);
}

#[tokio::test]
async fn a_broker_that_sends_more_than_it_has_credit_for_is_left() {
    let (address, mut calls, answers) = scripted().await;
    let native = Client::connect(&address).await;
    let native = native.unwrap().native().unwrap();
    let mut subscribed = native.subscribe(subscribe("events", 5)).await.unwrap();
    let (name, _) = calls.recv().await.unwrap();
    let delivered = || Answer::Delivered(v1::Delivered::default());
    answers.send((name, delivered(), 5)).await.unwrap();
    answers.send((name, delivered(), 5)).await.unwrap();
    assert_eq!(next(&mut subscribed).await.unwrap().1.len(), 5);
    let error = next(&mut subscribed).await.unwrap_err().to_string();
    assert!(error.contains("more than it had credit for"), "{error}");
}

#[tokio::test]
async fn a_call_that_was_given_up_gives_its_place_back_and_its_late_answer_is_dropped() {
    let (address, mut calls, answers) = scripted().await;
    let native = Client::connect(&address).await;
    let native = native.unwrap().native().unwrap();
    let mut names = Vec::new();
    // More than have a place at one time.
    for _ in 0..300 {
        let mut call = pin!(native.call(fetch("quiet", 0), Bytes::new()));
        let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "{polled:?}");
        names.push(calls.recv().await.unwrap().0);
    }
    let call = native.call(fetch("quiet", 0), Bytes::new());
    let (last, _) = calls.recv().await.unwrap();
    let fetched = |next_offset| {
        Answer::Fetched(v1::Fetched {
            next_offset,
            ..v1::Fetched::default()
        })
    };
    for name in names {
        answers.send((name, fetched(1), 0)).await.unwrap();
    }
    answers.send((last, fetched(2), 0)).await.unwrap();
    assert_eq!(call.await.unwrap().0, fetched(2));
}

type Calls = mpsc::Receiver<(u64, Call)>;
type Answers = mpsc::Sender<(u64, Answer, usize)>;

/// A listener that welcomes one client; what it is asked, and a way to answer, with bodies of so
/// many bytes. A broker beside it is what it says speaks Kafka's protocol.
async fn scripted() -> (String, Calls, Answers) {
    let (broker, _) = listening();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("highwater://{}", listener.local_addr().unwrap());
    let (called, calls) = mpsc::channel(64);
    let (answers, mut answered) = mpsc::channel(64);
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (hello, _) = read(&mut socket).await.unwrap();
        let welcome = Answer::Welcome(v1::Welcome {
            version: 1,
            bootstrap_servers: broker.bootstrap_servers(),
            frame_bytes_max: 1 << 20,
            ..v1::Welcome::default()
        });
        write(&mut socket, hello, welcome, 0).await;
        let (mut read_half, mut write_half) = socket.into_split();
        let reading = async {
            while let Some((name, call)) = read(&mut read_half).await {
                called.send((name, call)).await.unwrap();
            }
        };
        let writing = async {
            while let Some((name, answer, bytes)) = answered.recv().await {
                write(&mut write_half, name, answer, bytes).await;
            }
        };
        tokio::join!(reading, writing);
        drop(broker);
    });
    (address, calls, answers)
}

async fn read(socket: &mut (impl AsyncReadExt + Unpin)) -> Option<(u64, Call)> {
    let size = socket.read_u32().await.ok()?;
    let mut frame = vec![0; usize::try_from(size).unwrap()];
    socket.read_exact(&mut frame).await.ok()?;
    let (request, _) = frame::decode_request(frame.into()).unwrap();
    Some((request.correlation, request.call.unwrap()))
}

async fn write(
    socket: &mut (impl AsyncWriteExt + Unpin),
    correlation: u64,
    answer: Answer,
    bytes: usize,
) {
    let response = v1::Response {
        correlation,
        answer: Some(answer),
    };
    let mut whole = frame::encode(&response, bytes).unwrap().to_vec();
    whole.resize(whole.len() + bytes, 0);
    // A client that is gone does not take it.
    let _ = socket.write_all(&whole).await;
}
