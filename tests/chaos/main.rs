//! Producer and consumer through a proxy that cuts, delays, splits or swallows their conversation
//! with a broker at a byte: nothing is lost, nothing comes twice, order holds.
//!
//! With `HW_CHAOS_FULL=1` they are cut at every byte, else at every eleventh.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use highwater::client::ClientConfig;
use highwater::client::SystemClock;
use highwater::{Broker, Client, ConsumerConfig, NewTopic, ProducerConfig, Record, StartAt};
use highwater_kit::chaos::{Mishap, Proxy, Trick, Way};
use highwater_proto::clock::Clock;

/// A broker, and the proxy that it advertises.
struct Stage {
    proxy: Proxy,
    broker: Broker,
    listener: SocketAddr,
    talks: usize,
}

impl Stage {
    async fn new() -> Self {
        let proxy = Proxy::bind(Arc::new(SystemClock::new())).await.unwrap();
        let broker = Broker::in_memory().unwrap();
        // The broker tells clients to come through the proxy; only the proxy knows the way behind.
        let listener = free_port();
        let text = format!("{listener},advertise={}", proxy.address());
        broker.listen_kafka(&text).unwrap();
        Self {
            proxy,
            broker,
            listener,
            talks: 0,
        }
    }

    /// A client past the proxy.
    fn truth(&self) -> Client {
        Client::in_process(self.broker.sessions())
    }

    /// One conversation with these mishaps, in a topic of its own. Gives what went wrong.
    async fn talk(&mut self, mishaps: Vec<Mishap>, patience: Duration) -> Result<(), String> {
        self.talks += 1;
        let topic = format!("t{:05}", self.talks);
        let new = NewTopic {
            name: topic.clone(),
            partitions: Some(2),
            ..NewTopic::default()
        };
        self.truth().admin().create_topic(&new).await.unwrap();
        self.proxy.begin(self.listener, mishaps);
        let talk = conversation(self.proxy.address(), &topic, patience);
        let clock = SystemClock::new();
        let limit = clock.sleep_until(clock.now().mono.plus(TALK_MAX));
        tokio::select! {
            told = talk => told?,
            () = limit => return Err("the conversation does not end".to_owned()),
        }
        let ends = self.truth().consumer(ConsumerConfig::default());
        match ends.end_offsets(&topic).await.unwrap()[..] {
            [3, 2] => Ok(()),
            ref ends => Err(format!("the partitions end at {ends:?}, not at 3 and 2")),
        }
    }
}

/// A listener's address that is free at this moment.
fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Five records are sent and read.
async fn conversation(proxy: SocketAddr, topic: &str, patience: Duration) -> Result<(), String> {
    let patience_ms = u64::try_from(patience.as_millis()).unwrap();
    let config = ClientConfig::new()
        .bootstrap_servers(proxy.to_string())
        .request_timeout_ms(patience_ms)
        .socket_connection_setup_timeout_ms(patience_ms)
        .retry_backoff_ms(1)
        .reconnect_backoff_ms(1)
        .reconnect_backoff_max_ms(1);
    let client = again(|| Client::connect_with(config.clone())).await?;
    send(&client, topic, patience_ms).await?;
    read(&client, topic, patience_ms).await
}

async fn send(client: &Client, topic: &str, patience_ms: u64) -> Result<(), String> {
    let config = ProducerConfig::new()
        .linger_ms(0)
        .batch_size(90)
        .request_timeout_ms(patience_ms)
        .retry_backoff_ms(1);
    let producer = client.producer(config).unwrap();
    let mut deliveries = Vec::new();
    for (partition, value) in RECORDS {
        let record = Record::to(topic).partition(partition).value(value);
        let delivery = producer.send(record).await;
        deliveries.push(delivery.map_err(|error| error.to_string())?);
    }
    let mut next = BTreeMap::new();
    for ((partition, value), delivery) in RECORDS.into_iter().zip(deliveries) {
        let stored = delivery
            .await
            .map_err(|error| format!("{value}: {error}"))?;
        let expected = next.entry(partition).or_insert(0);
        if stored.offset != *expected {
            return Err(format!("{value} is stored at {}", stored.offset));
        }
        *expected += 1;
    }
    Ok(())
}

async fn read(client: &Client, topic: &str, patience_ms: u64) -> Result<(), String> {
    let mut consumer = client.consumer(ConsumerConfig {
        fetch_max_wait_ms: 5,
        request_timeout_ms: patience_ms,
        retry_backoff_ms: 1,
        ..ConsumerConfig::default()
    });
    for partition in 0..2 {
        let start = StartAt::Offset(0);
        // The first try may meet a connection that is cut.
        let mut tries = TRIES_MAX;
        while let Err(error) = consumer.assign(topic, partition, start).await {
            tries -= 1;
            if !error.is_retriable() || tries == 0 {
                return Err(error.to_string());
            }
        }
    }
    let mut got: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    while got.values().map(Vec::len).sum::<usize>() < RECORDS.len() {
        let records = consumer.poll(TALK_MAX).await;
        for record in records.map_err(|error| error.to_string())? {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            got.entry(record.partition).or_default().push(value);
        }
    }
    let of = |partition| {
        let mine = RECORDS.into_iter().filter(|(it, _)| *it == partition);
        mine.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
    };
    match got == BTreeMap::from([(0, of(0)), (1, of(1))]) {
        true => Ok(()),
        false => Err(format!("{got:?} was read")),
    }
}

/// Tries again what a cut connection may end.
async fn again<T, F>(mut call: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, highwater::ClientError>>,
{
    let mut tries = TRIES_MAX;
    loop {
        tries -= 1;
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_retriable() && tries > 0 => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test)
}

/// Every `step`-th byte of a conversation that nothing happens to.
async fn places(stage: &mut Stage, step: usize, trick: Trick) -> Vec<Mishap> {
    let mut lengths: Vec<[u64; 2]> = Vec::new();
    // What every conversation has: how many fetches there are is a matter of time.
    for _ in 0..5 {
        stage.talk(Vec::new(), PATIENCE).await.unwrap();
        let these = stage.proxy.lengths();
        lengths.resize(these.len(), [u64::MAX; 2]);
        for (known, these) in lengths.iter_mut().zip(these) {
            *known = [known[0].min(these[0]), known[1].min(these[1])];
        }
    }
    assert!(lengths.len() >= 2, "producer and fetches: {lengths:?}");
    let mut places = Vec::new();
    for (connection, length) in lengths.into_iter().enumerate() {
        for (way, length) in [Way::ToBroker, Way::ToClient].into_iter().zip(length) {
            let mishap = |byte| Mishap {
                connection,
                way,
                byte,
                trick,
            };
            places.extend((0..length).step_by(step).map(mishap));
        }
    }
    places
}

/// One conversation for each place; nearly every mishap must have happened.
async fn everywhere(step: usize, trick: Trick, patience: Duration) {
    let mut stage = Stage::new().await;
    let places = places(&mut stage, step, trick).await;
    let mut struck = 0;
    for mishap in &places {
        let done = stage.talk(vec![*mishap], patience).await;
        assert_eq!(done, Ok(()), "{mishap:?}");
        struck += stage.proxy.struck();
    }
    println!("{trick:?}: {struck} of {} places", places.len());
    // The last answers of a conversation may be cut off by its end.
    assert!(
        struck * 100 >= places.len() * 95,
        "{struck} of {}",
        places.len()
    );
}

#[test]
fn a_conversation_may_be_cut_at_any_byte() {
    let is_full = std::env::var_os("HW_CHAOS_FULL").is_some();
    let step = if is_full { 1 } else { 11 };
    run(everywhere(step, Trick::Cut, PATIENCE));
}

#[test]
fn a_connection_may_go_silent_at_any_byte() {
    run(everywhere(61, Trick::Swallow, Duration::from_millis(60)));
}

#[test]
fn a_conversation_may_pause_at_any_byte() {
    run(everywhere(
        37,
        Trick::Delay(Duration::from_millis(20)),
        PATIENCE,
    ));
}

#[test]
fn a_conversation_may_come_byte_by_byte() {
    run(async {
        let mut stage = Stage::new().await;
        let mishaps = (0..8).flat_map(|connection| {
            [Way::ToBroker, Way::ToClient].map(|way| Mishap {
                connection,
                way,
                byte: 0,
                trick: Trick::Split,
            })
        });
        stage.talk(mishaps.collect(), PATIENCE).await.unwrap();
        assert!(stage.proxy.struck() >= 4, "two connections, both ways");
    });
}

/// What is sent, by partition.
const RECORDS: [(i32, &str); 5] = [(0, "a0"), (1, "b0"), (0, "a1"), (1, "b1"), (0, "a2")];

/// What a request may take where nothing goes silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a whole conversation may take.
const TALK_MAX: Duration = Duration::from_secs(60);

/// How often the caller tries again.
const TRIES_MAX: usize = 5;
