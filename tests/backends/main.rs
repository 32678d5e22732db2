//! One body of client tests over four brokers: Highwater in this process, in memory and on disk,
//! Highwater over TCP, and a real Apache Kafka over TCP.
//!
//! `tests/backends/run` starts Apache Kafka and runs this with its address in `HIGHWATER_KAFKA`.
//! Without it the fourth is skipped, loudly; with `REQUIRE_CLIENTS=1` that is a failure.
//!
//! Invariants
//! - Every assertion holds for all four. What is not so, on purpose, is in `Kind` and nowhere else.
//! - All names are of one run alone, so that a broker may serve it that has seen others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step of a test ends it"
)]

mod admin;
mod errors;
mod groups;
mod records;

use std::time::Duration;

use highwater::broker::clock::SystemClock;
use highwater::broker::config::BrokerConfig;
use highwater::{Broker, Client, ConsumerRecord, EmbeddedClient, NewTopic, ProducerConfig, Record};
use highwater_proto::clock::Clock;

#[test]
fn embedded_in_memory() {
    let broker = start(Broker::builder().in_memory());
    let client = async || Client::embedded(&broker);
    run(Kind::Highwater, "memory", client);
}

#[test]
fn embedded_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(Broker::builder().data_dir(folder.path()));
    let client = async || Client::embedded(&broker);
    run(Kind::Highwater, "disk", client);
}

#[test]
fn highwater_over_tcp() {
    let broker = start(Broker::builder().in_memory());
    broker.listen_kafka("127.0.0.1:0").unwrap();
    let client = async || Client::connect(&broker.bootstrap_servers()).await.unwrap();
    run(Kind::Highwater, "tcp", client);
}

#[test]
fn apache_kafka_over_tcp() {
    let Ok(address) = std::env::var("HIGHWATER_KAFKA") else {
        let is_required = std::env::var("REQUIRE_CLIENTS").is_ok_and(|it| it == "1");
        assert!(
            !is_required,
            "REQUIRE_CLIENTS=1, but HIGHWATER_KAFKA names no broker"
        );
        println!("SKIPPED: HIGHWATER_KAFKA is not set; run tests/backends/run");
        return;
    };
    let client = async || Client::connect(&address).await.unwrap();
    run(Kind::Kafka, "kafka", client);
}

/// Who answers. The only place that knows in what the two differ, of what the body looks at; the
/// reasons stand in COMPAT.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Highwater,
    Kafka,
}

impl Kind {
    /// The default of `index.interval.bytes`.
    const fn index_interval_bytes(self) -> &'static str {
        match self {
            Self::Highwater => "32768",
            Self::Kafka => "4096",
        }
    }

    /// How many copies there are of a topic for which three are asked for: one node clamps it, and
    /// Kafka refuses.
    const fn copies_of_three(self) -> Option<usize> {
        match self {
            Self::Highwater => Some(1),
            Self::Kafka => None,
        }
    }
}

/// What a part of the body gets.
struct Stage {
    client: Client,
    kind: Kind,
    /// What the names of this part begin with.
    prefix: String,
}

impl Stage {
    /// A name that nobody else has.
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// A new topic, ready to be used.
    async fn topic(&self, name: &str, partitions: i32) -> String {
        let name = self.name(name);
        self.create(&NewTopic::named(&name).partitions(partitions))
            .await;
        name
    }

    /// Creates a topic and waits until everybody may use it: Kafka answers before that.
    async fn create(&self, topic: &NewTopic) {
        let admin = self.client.admin();
        admin.create_topic(topic).await.unwrap();
        eventually(async || admin.describe_topic(&topic.name).await.is_ok()).await;
    }

    /// Stores `count` records with the numbers from 0 as values in each partition.
    async fn fill(&self, topic: &str, partitions: i32, count: usize) {
        let producer = self.client.producer(ProducerConfig::default()).unwrap();
        for number in 0..count {
            for partition in 0..partitions {
                let record = Record::to(topic)
                    .partition(partition)
                    .value(number.to_string());
                producer.send(record).await.unwrap();
            }
        }
        let report = producer.close(PATIENCE).await;
        let expected = count * usize::try_from(partitions).unwrap();
        assert_eq!(
            usize::try_from(report.stored).unwrap(),
            expected,
            "{report:?}"
        );
    }
}

/// The body: every part of it, over one broker.
fn run(kind: Kind, name: &str, connect: impl AsyncFn() -> Client) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stage = async |part: &str| Stage {
        client: connect().await,
        kind,
        prefix: format!("backends.{}.{part}", std::process::id()),
    };
    runtime.block_on(async {
        step(
            name,
            "produce_and_read",
            records::produce_and_read(stage("records").await),
        )
        .await;
        step(name, "seek", records::seek(stage("seek").await)).await;
        step(name, "share", groups::share(stage("share").await)).await;
        step(
            name,
            "cooperate",
            groups::cooperate(stage("cooperate").await),
        )
        .await;
        step(name, "pattern", groups::pattern(stage("pattern").await)).await;
        step(
            name,
            "administer",
            groups::administer(stage("groups").await),
        )
        .await;
        step(name, "topics", admin::topics(stage("topics").await)).await;
        step(name, "configs", admin::configs(stage("configs").await)).await;
        step(
            name,
            "delete_records",
            admin::delete_records(stage("delete").await),
        )
        .await;
        step(name, "cluster", admin::cluster(stage("cluster").await)).await;
        step(name, "unknown", errors::unknown(stage("unknown").await)).await;
        step(name, "too_large", errors::too_large(stage("large").await)).await;
        step(name, "closed", errors::closed(stage("closed").await)).await;
    });
}

/// One part of the body, within its time.
async fn step(broker: &str, part: &str, body: impl Future<Output = ()>) {
    let clock = SystemClock::new();
    let begun = clock.now().mono;
    tokio::select! {
        () = body => {}
        () = clock.sleep_until(begun.plus(PART_MAX)) => panic!("{broker}: {part} does not end"),
    }
    println!(
        "{broker}: {part} in {} ms",
        clock.now().mono.since(begun).as_millis()
    );
}

/// A broker set up as `tests/interop/reference_broker` sets up Kafka.
fn start(builder: highwater::Builder) -> Broker {
    let config = BrokerConfig {
        auto_create_topics_enable: false,
        group_initial_rebalance_delay_ms: 0,
        ..BrokerConfig::default()
    };
    builder.config(config).start().unwrap()
}

/// Asks until it is so: for what a broker may answer before it is done. `step` limits the wait.
async fn eventually(is_so: impl AsyncFn() -> bool) {
    while !is_so().await {
        tokio::task::yield_now().await;
    }
}

/// The payload as text.
fn text(record: &ConsumerRecord) -> &str {
    std::str::from_utf8(record.value.as_deref().unwrap_or_default()).unwrap()
}

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one part may take.
const PART_MAX: Duration = Duration::from_secs(120);
