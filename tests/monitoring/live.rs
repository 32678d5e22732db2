//! A real Prometheus watches a broker: a consumer stops, the alert comes; it returns, and the alert
//! goes.
//!
//! The rules are those of `ops`, all of them, by this substitution: every `for:` is `0s`, every
//! window of minutes has 4 s; a scrape and an evaluation come every second. promtool tests the real
//! durations.

use std::path::Path;
use std::time::Duration;

use highwater::{
    Broker, Client, ConsumerConfig, EmbeddedClient, NewTopic, OffsetReset, ProducerConfig, Record,
};

use crate::alertmanager::Alertmanager;
use crate::has;
use crate::process::Prometheus;
use crate::read;

#[test]
fn an_alert_fires_when_a_consumer_stops_and_clears_when_it_returns() {
    if !has("prometheus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::builder().in_memory();
    let broker = broker.listen_http("127.0.0.1:0".parse().unwrap()).start();
    let broker = broker.unwrap();
    let alertmanager = Alertmanager::start();
    let http = broker.http_addresses()[0].to_string();
    configure(folder.path(), &http, &alertmanager.address.to_string());
    let prometheus = Prometheus::start(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::embedded(&broker);

    runtime.block_on(async {
        let topic = NewTopic::named(TOPIC).partitions(1);
        client.admin().create_topic(&topic).await.unwrap();
        send(&client, 10).await;
        consume(&client, 10).await;
    });
    // Prometheus knows the group, and finds nothing wrong.
    let lag = format!("kafka_consumer_lag_sum{{group=\"{GROUP}\",job=\"highwater\"}}");
    while prometheus.query(&lag) != [0.0] {}
    assert_eq!(prometheus.query("ALERTS"), [0.0; 0]);
    assert!(prometheus.query("scrape_samples_scraped")[0] > 100.0);

    // The consumer is gone, its records go on coming.
    runtime.block_on(send(&client, 5));
    let fired = alertmanager.next();
    assert_eq!((fired.name.as_str(), fired.group.as_str()), (ALERT, GROUP));
    let summary = format!("{GROUP} reads nothing any more, 5 records wait");
    assert_eq!(fired.summary, summary);
    let firing = format!("ALERTS{{alertname=\"{ALERT}\",alertstate=\"firing\",group=\"{GROUP}\"}}");
    assert_eq!(prometheus.query(&firing), [1.0]);

    // It returns.
    runtime.block_on(consume(&client, 5));
    let cleared = alertmanager.next();
    assert_eq!(
        (cleared.name.as_str(), cleared.group.as_str()),
        (ALERT, GROUP)
    );
    // What fires is sent as true for minutes; this is over.
    assert!(
        cleared.ends_at < fired.ends_at,
        "{cleared:?} after {fired:?}"
    );
    assert_eq!(prometheus.query("ALERTS"), [0.0; 0]);
    drop(prometheus);
    runtime.block_on(broker.shutdown()).unwrap();
}

async fn send(client: &Client, count: usize) {
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for number in 0..count {
        let record = Record::to(TOPIC).value(number.to_string());
        producer.send(record).await.unwrap();
    }
    let report = producer.close(PATIENCE).await;
    assert_eq!(report.stored, count as u64, "{report:?}");
}

/// Joins the group, reads so many records, commits and leaves.
async fn consume(client: &Client, count: usize) {
    let config = ConsumerConfig::new().group_id(GROUP);
    let config = config.auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = client.consumer(config);
    consumer.subscribe([TOPIC]).unwrap();
    let mut read = 0;
    while read < count {
        read += consumer.poll(PATIENCE).await.unwrap().len();
    }
    assert_eq!(read, count);
    consumer.commit().await.unwrap();
    consumer.close(PATIENCE).await.result().unwrap();
}

fn configure(dir: &Path, broker: &str, alertmanager: &str) {
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [alerts.yml]\n\
         alerting: {{ alertmanagers: [ static_configs: [ targets: ['{alertmanager}'] ] ] }}\n\
         scrape_configs:\n  - job_name: highwater\n    \
         static_configs: [ targets: ['{broker}'] ]\n"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let rules = quick(&read("ops/prometheus/alerts.yml"));
    std::fs::write(dir.join("alerts.yml"), rules).unwrap();
}

/// The rules without their patience.
fn quick(rules: &str) -> String {
    let mut quick = String::new();
    for line in rules.lines() {
        if let Some((before, _)) = line.split_once(" for: ") {
            quick += &format!("{before} for: 0s\n");
            continue;
        }
        let mut parts = line.split('[');
        quick += parts.next().unwrap_or_default();
        for part in parts {
            match part.split_once("m]") {
                Some((minutes, rest)) if minutes.parse::<u32>().is_ok() => {
                    quick += &format!("[4s]{rest}");
                }
                _ => quick += &format!("[{part}"),
            }
        }
        quick.push('\n');
    }
    quick
}

#[test]
fn only_durations_are_substituted() {
    let rules = "        for: 5m\n  expr: rate(x{y=~\".+[-._]\"}[10m]) > 0 offset 10m\n";
    let expected = "        for: 0s\n  expr: rate(x{y=~\".+[-._]\"}[4s]) > 0 offset 10m\n";
    assert_eq!(quick(rules), expected);
}

const TOPIC: &str = "order-events";
const GROUP: &str = "payment-service";
const ALERT: &str = "HighwaterConsumerStopped";
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);
