//! Retries and dead letters against a real broker in this process: handed over typed, and over TCP.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod letters;
mod redrive;
mod seed;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::{
    Attempt, Backoff, Client, ConsumerConfig, DeadLetter, Handler, HandlerError, HandlerSummary,
    Handling, NewTopic, OffsetReset, Order, ProducerConfig, Record, StartAt, SystemClock,
    handler_fn,
};
use highwater_proto::clock::Clock as _;
use tokio::sync::watch;

/// Runs a test on both ways to a broker, each with one of its own.
fn both<F: Future<Output = ()>>(test: impl Fn(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let start = || {
        let config = BrokerConfig {
            group_initial_rebalance_delay_ms: 0,
            group_min_session_timeout_ms: 100,
            ..BrokerConfig::default()
        };
        let broker = Broker::builder().in_memory().config(config).start();
        let broker = Arc::new(broker.unwrap());
        broker.listen_kafka("127.0.0.1:0").unwrap();
        broker
    };
    let broker = start();
    let sessions = broker.sessions();
    runtime.block_on(test(Client::in_process(sessions)));
    let broker = start();
    let servers = broker.bootstrap_servers();
    runtime.block_on(async { test(Client::connect(&servers).await.unwrap()).await });
}

async fn topic(client: &Client, name: &str, partitions: i32) {
    let topic = NewTopic::named(name).partitions(partitions);
    client.admin().create_topic(&topic).await.unwrap();
}

/// Stores records of these keys in a partition, with their numbers as values.
async fn fill(client: &Client, topic: &str, partition: i32, keys: &[&'static str]) {
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for (number, key) in (0..).zip(keys) {
        let record = Record::to(topic).partition(partition).key(*key);
        producer
            .send(record.value(i32::to_string(&number)))
            .await
            .unwrap();
    }
    producer.flush().await;
}

/// A handler's group with short pauses.
fn group(client: &Client, topic: &str) -> Handling {
    let config = ConsumerConfig::new()
        .auto_offset_reset(OffsetReset::Earliest)
        .heartbeat_interval_ms(20)
        .auto_commit_interval_ms(20);
    client
        .handler("g")
        .topics([topic])
        .consumer(config)
        .retry(Backoff::fixed(Duration::from_millis(20)).max_attempts(4))
        .concurrency(4)
}

/// What handlers were called with.
#[derive(Clone)]
struct Seen {
    calls: Arc<watch::Sender<Vec<Call>>>,
    member: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    member: u8,
    partition: i32,
    offset: i64,
    attempt: u32,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            calls: Arc::new(watch::Sender::new(Vec::new())),
            member: 0,
        }
    }
}

impl Seen {
    fn note(&self, attempt: &Attempt) {
        let call = Call {
            member: self.member,
            partition: attempt.record.partition,
            offset: attempt.record.offset,
            attempt: attempt.number,
        };
        self.calls.send_modify(|calls| calls.push(call));
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// The offsets of a partition in the order of their calls.
    fn offsets(&self, partition: i32) -> Vec<i64> {
        let calls = self.calls();
        let calls = calls.iter().filter(|call| call.partition == partition);
        calls.map(|call| call.offset).collect()
    }

    /// Waits until the calls are as they should be.
    async fn until(&self, is_enough: impl Fn(&[Call]) -> bool) {
        let mut calls = self.calls.subscribe();
        calls.wait_for(|calls| is_enough(calls)).await.unwrap();
    }

    /// A handler that notes its calls, and answers by the offset.
    fn handler<A>(&self, answer: A) -> impl Handler + use<A>
    where
        A: Fn(&Attempt) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        let seen = self.clone();
        handler_fn(move |attempt: Attempt| {
            seen.note(&attempt);
            std::future::ready(answer(&attempt))
        })
    }
}

/// How far the group has committed partition 0.
async fn committed(client: &Client, topic: &str) -> Option<i64> {
    let offsets = client.admin().group_offsets("g", Some(&[(topic, 0)])).await;
    offsets.unwrap().first().map(|it| it.offset)
}

/// Ends when the group has committed partition 0 up to there.
async fn committed_up_to(client: &Client, topic: &str, offset: i64) {
    while committed(client, topic).await.is_none_or(|it| it < offset) {
        tokio::task::yield_now().await;
    }
}

/// So many dead letters, with the partitions that they are in.
async fn letters(client: &Client, topic: &str, count: usize) -> Vec<(i32, DeadLetter)> {
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer
        .assign_topic(topic, StartAt::Earliest)
        .await
        .unwrap();
    let mut letters = Vec::new();
    while letters.len() < count {
        let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
        assert!(
            !records.is_empty(),
            "only {} dead letters of {count}",
            letters.len()
        );
        letters.extend(
            records
                .iter()
                .map(|it| (it.partition, DeadLetter::read(it).unwrap())),
        );
    }
    assert_eq!(letters.len(), count);
    letters
}

fn ended_well(summary: &HandlerSummary) {
    assert_eq!(summary.error, None, "{summary:?}");
}

#[test]
fn one_key_waits_while_others_go_on_and_nothing_is_overtaken() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 0, &["a", "b", "a", "c", "b"]).await;
        let seen = Seen::default();
        let handler = seen.handler(|attempt| match (attempt.record.offset, attempt.number) {
            (0, 1..=3) => Err(HandlerError::retry("not yet")),
            _ => Ok(()),
        });
        let summary = group(&client, "t")
            .run(handler, committed_up_to(&client, "t", 5))
            .await;
        ended_well(&summary);
        assert_eq!(
            (summary.handled, summary.failures, summary.dead_letters),
            (5, 3, 0)
        );
        assert_eq!((summary.abandoned, summary.committed[0].offset), (0, 5));
        let offsets = seen.offsets(0);
        let at = |offset: i64| offsets.iter().rposition(|it| *it == offset);
        assert!(at(0) < at(2), "the key's order: {offsets:?}");
        assert!(
            at(3) < at(0) && at(4) < at(0),
            "the others go on: {offsets:?}"
        );
        let attempts = seen.calls().into_iter().filter(|call| call.offset == 0);
        assert_eq!(
            attempts.map(|call| call.attempt).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
    });
}

#[test]
fn a_shutdown_interrupts_a_delay_and_the_record_comes_again() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 0, &["a", "b"]).await;
        let seen = Seen::default();
        let handler = seen.handler(|attempt| match attempt.record.offset {
            0 => Err(HandlerError::retry_after(
                Duration::from_secs(3_600),
                "later",
            )),
            _ => Ok(()),
        });
        let both_seen = seen.until(|calls| calls.len() >= 2);
        let summary = group(&client, "t").run(handler, both_seen).await;
        ended_well(&summary);
        assert_eq!(
            (summary.failures + summary.handled, summary.abandoned),
            (2, 1)
        );
        assert_eq!(committed(&client, "t").await, Some(0));

        // Above the committed offset records come again: at least once.
        let seen = Seen::default();
        let handler = seen.handler(|_| Ok(()));
        let summary = group(&client, "t")
            .run(handler, committed_up_to(&client, "t", 2))
            .await;
        ended_well(&summary);
        let mut offsets = seen.offsets(0);
        offsets.sort_unstable();
        assert_eq!(offsets, [0, 1]);
    });
}

#[test]
fn a_new_member_takes_partitions_over_and_nothing_is_handled_twice() {
    both(|client| async move {
        topic(&client, "t", 4).await;
        for partition in 0..4 {
            fill(&client, "t", partition, &["a", "b", "c", "d", "e"]).await;
        }
        let first = Seen::default();
        let second = Seen {
            member: 1,
            ..first.clone()
        };
        let is_over = watch::Sender::new(false);
        let stop = || {
            let mut is_over = is_over.subscribe();
            async move { drop(is_over.wait_for(|it| *it).await) }
        };
        let (one, two) = (first.handler(|_| Ok(())), second.handler(|_| Ok(())));
        let second_run = async {
            first.until(|calls| calls.len() >= 20).await;
            group(&client, "t").run(two, stop()).await
        };
        let more = async {
            let mut count = 20;
            first.until(|calls| calls.len() >= count).await;
            // Until the second one has partitions, whichever they are.
            while first.calls().iter().all(|call| call.member == 0) {
                for partition in 0..4 {
                    fill(&client, "t", partition, &["a"]).await;
                }
                count += 4;
                first.until(|calls| calls.len() >= count).await;
            }
            is_over.send_replace(true);
        };
        let first_run = group(&client, "t").run(one, stop());
        let (one, two, ()) = tokio::join!(first_run, second_run, more);
        ended_well(&one);
        ended_well(&two);
        for partition in 0..4 {
            let mut offsets = first.offsets(partition);
            offsets.sort_unstable();
            let expected: Vec<i64> = (0..).take(offsets.len()).collect();
            assert_eq!(offsets, expected, "each once, of partition {partition}");
        }
        assert!(two.handled > 0, "{two:?}");
    });
}

#[test]
fn in_an_outage_the_dead_letters_stay_empty() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 0, &["a", "b", "c", "d", "e", "f", "g", "h"]).await;
        let seen = Seen::default();
        let calls = Arc::new(Mutex::new(0));
        let handler = seen.handler(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1..=5 => Err(HandlerError::retry("the database is down")),
                _ => Ok(()),
            }
        });
        let twice = Backoff::fixed(Duration::from_millis(200)).max_attempts(2);
        let handling = group(&client, "t").retry(twice).concurrency(1);
        let summary = handling
            .run(handler, committed_up_to(&client, "t", 8))
            .await;
        ended_well(&summary);
        assert_eq!(
            (summary.handled, summary.failures, summary.dead_letters),
            (8, 5, 0)
        );
    });
}

#[test]
fn a_handler_without_topics_or_with_settings_that_cannot_be_right_says_so() {
    both(|client| async move {
        let never = std::future::pending::<()>;
        let handler = || Seen::default().handler(|_| Ok(()));
        let summary = client.handler("g").run(handler(), never()).await;
        let error = summary.result().unwrap_err().to_string();
        assert_eq!(error, "subscribe to at least one topic, or unsubscribe");
        let summary = client
            .handler("")
            .topics(["t"])
            .run(handler(), never())
            .await;
        let error = summary.result().unwrap_err().to_string();
        assert_eq!(error, "a group is needed: set group.id");
    });
}

#[test]
fn a_partition_in_order_waits_as_a_whole() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 0, &["a", "b", "c"]).await;
        let seen = Seen::default();
        let handler = seen.handler(|attempt| match (attempt.record.offset, attempt.number) {
            (1, 1..=2) => Err(HandlerError::retry("not yet")),
            _ => Ok(()),
        });
        let handling = group(&client, "t").order(Order::Partition);
        let summary = handling
            .run(handler, committed_up_to(&client, "t", 3))
            .await;
        ended_well(&summary);
        assert_eq!(seen.offsets(0), [0, 1, 1, 1, 2]);
    });
}

/// Runs a test on a clock that jumps whenever everybody waits, with a broker on the same clock.
fn jumping<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::new());
        let broker = Broker::builder().in_memory().clock(clock).simulate(7).await;
        let sessions = broker.unwrap();
        test(Client::in_process(sessions.sessions())).await;
    });
}

#[test]
fn minutes_of_back_off_take_no_time_on_a_clock_that_jumps() {
    jumping(|client| async move {
        topic(&client, "t", 1).await;
        topic(&client, "t-dlt", 1).await;
        fill(&client, "t", 0, &["a", "b"]).await;
        let seen = Seen::default();
        let clock = SystemClock::new();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let times = Arc::clone(&calls);
        let handler = seen.handler(move |attempt| match attempt.record.offset {
            0 => {
                times.lock().unwrap().push(clock.now().mono);
                Err(HandlerError::retry("not yet"))
            }
            _ => Ok(()),
        });
        let minute = Duration::from_secs(60);
        let policy = Backoff::exponential(minute).cap(5 * minute);
        let handling = client.handler("g").topics(["t"]).retry(policy);
        // Waits for the clock, as everybody does: else it would not jump.
        let recorded = async {
            let mut consumer = client.consumer(ConsumerConfig::default());
            consumer
                .assign("t-dlt", 0, StartAt::Earliest)
                .await
                .unwrap();
            while consumer.poll(minute).await.unwrap().is_empty() {}
        };
        let summary = handling.run(handler, recorded).await;
        ended_well(&summary);
        assert_eq!(
            (summary.handled, summary.failures, summary.dead_letters),
            (1, 4, 1)
        );
        let calls = calls.lock().unwrap();
        let pauses: Vec<u64> = calls
            .windows(2)
            .map(|it| it[1].since(it[0]).as_secs())
            .collect();
        assert_eq!(pauses, [60, 120, 240]);
    });
}
