//! Metrics: what is counted, and what is looked up.

use std::io::{Read, Write};
use std::net::TcpStream;

use highwater_broker::config::{BrokerConfig, Recording};
use highwater_broker::service::groups::OffsetToCommit;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use highwater_proto::kafka::{ApiRequest, Request, Response};

use crate::format::Scrape;
use crate::get::get;
use crate::kit::{Rig, START, batch, batch_of, idempotent};
use crate::member::{commit_all, faulty, offset_of};

/// A broker with HTTP.
pub(crate) struct Scraped {
    pub(crate) rig: Rig,
    address: highwater_broker::Address,
}

impl Scraped {
    pub(crate) fn new() -> Self {
        Self::over(Rig::new())
    }

    fn over(rig: Rig) -> Self {
        let address = rig.broker.listen_http("127.0.0.1:0").unwrap();
        Self { rig, address }
    }

    pub(crate) fn scrape(&self) -> Scrape {
        let answer = get(&self.address, "/metrics");
        assert_eq!(answer.status, 200);
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(answer.content_type, content_type);
        Scrape::parse(&answer.body)
    }

    async fn ask<R: ApiRequest>(&self, version: i16, request: R) -> Response {
        let answer = self
            .rig
            .broker
            .exchange()
            .send(version, request.into_request())
            .await;
        answer.unwrap().unwrap()
    }
}

#[test]
fn a_fresh_broker_tells_zeros_and_its_version() {
    let broker = Scraped::new();
    let scrape = broker.scrape();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.value("highwater_build_info", &version), Some(1.0));
    for name in [
        "highwater_poisoned",
        "highwater_produced_bytes_total",
        "highwater_connections",
        "highwater_partitions",
        "highwater_partitions_left_out",
        "highwater_groups_left_out",
        "kafka_server_replicamanager_underreplicatedpartitions",
        "kafka_server_replicamanager_isrshrinks_total",
        "kafka_server_replicamanager_isrexpands_total",
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "kafka_server_under_replicated_partitions",
        "highwater_quarantined_ranges",
        "highwater_group_partitions_left_out",
        "highwater_queued_batches_bytes",
        "highwater_queued_requests_bytes",
    ] {
        assert_eq!(scrape.value(name, &[]), Some(0.0), "{name}");
    }
    let requests = scrape.all("highwater_request_duration_seconds_count");
    assert_eq!(requests.count(), 0);
}

#[tokio::test]
async fn requests_are_counted_by_api_with_their_errors() {
    let broker = Scraped::new();
    broker.ask(0, ApiVersionsRequest::default()).await;
    let topics = ["a", "b"].map(|name| MetadataTopic {
        name: Some(name.into()),
        ..MetadataTopic::default()
    });
    let metadata = MetadataRequest {
        topics: Some(topics.to_vec()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    broker.ask(9, metadata.clone()).await;
    broker.ask(9, metadata).await;
    let heartbeat = HeartbeatRequest {
        group_id: "nobody".into(),
        member_id: "nobody".into(),
        generation_id: 1,
        ..HeartbeatRequest::default()
    };
    broker.ask(3, heartbeat).await;

    let scrape = broker.scrape();
    let count = |api| scrape.value("highwater_request_duration_seconds_count", &[("api", api)]);
    assert_eq!(count("ApiVersions"), Some(1.0));
    assert_eq!(count("Metadata"), Some(2.0));
    assert_eq!(count("Heartbeat"), Some(1.0));
    assert_eq!(count("Fetch"), None);
    let errors = |api, error| {
        let labels = [("api", api), ("error", error)];
        scrape.value("highwater_request_errors_total", &labels)
    };
    let unknown = errors("Metadata", "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(unknown, Some(4.0), "one for each topic that was named");
    assert_eq!(errors("Heartbeat", "UNKNOWN_MEMBER_ID"), Some(1.0));
    assert_eq!(scrape.all("highwater_request_errors_total").count(), 2);
}

#[tokio::test]
async fn a_request_that_waits_is_counted_with_its_wait() {
    let broker = Scraped::new();
    let rig = &broker.rig;
    rig.topic("t", 1, &[]).await;
    let partitions = vec![FetchPartition {
        max_bytes: 1000,
        ..FetchPartition::default()
    }];
    let topics = vec![FetchTopic {
        name: "t".into(),
        partitions,
        ..FetchTopic::default()
    }];
    let fetch = FetchRequest {
        max_wait_ms: 250,
        min_bytes: 1,
        topics,
        ..FetchRequest::default()
    };
    let session = rig.broker.exchange();
    let waiting = session.send(4, fetch.into());
    rig.until_parked(1).await;
    // Behind it, on the same connection, so to speak.
    let behind = session.send(0, ApiVersionsRequest::default().into());
    rig.advance_ms(250);
    waiting.await.unwrap();
    behind.await.unwrap();
    let scrape = broker.scrape();
    let buckets = |le| {
        let labels = [("api", "Fetch"), ("le", le)];
        scrape.value("highwater_request_duration_seconds_bucket", &labels)
    };
    // 2^27 and 2^28 nanoseconds, between which 250 ms lie.
    let around = (buckets("0.134217728"), buckets("0.268435456"));
    assert_eq!(around, (Some(0.0), Some(1.0)));
    let sum = scrape.value(
        "highwater_request_duration_seconds_sum",
        &[("api", "Fetch")],
    );
    assert_eq!(sum, Some(0.25));
    assert_eq!(
        scrape.value("highwater_fetches_parked_total", &[]),
        Some(1.0)
    );
    let waited = scrape.value("highwater_fetch_wait_seconds_sum", &[]);
    assert_eq!(waited, Some(0.25));
    let queued = scrape.value("highwater_request_queue_seconds_sum", &[("api", "Fetch")]);
    assert_eq!(queued, Some(0.0), "it was begun at once");
    let behind = [("api", "ApiVersions")];
    let queued = scrape.value("highwater_request_queue_seconds_sum", &behind);
    assert_eq!(queued, Some(0.25), "it had to wait for the fetch");
    let count = scrape.value("highwater_request_queue_seconds_count", &behind);
    assert_eq!(count, Some(1.0));
}

#[tokio::test]
async fn a_request_that_waits_for_the_ones_before_it_was_in_a_queue() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let held = disk.faults.hold_syncs();
    let session = rig.broker.exchange();
    let topics = vec![ProduceTopic {
        name: "t".into(),
        partitions: vec![ProducePartition {
            index: 0,
            records: Some(batch(&["b"])),
        }],
    }];
    let produce = ProduceRequest {
        acks: -1,
        topics,
        ..ProduceRequest::default()
    };
    let produced = session.send(9, produce.into());
    let behind = session.send(0, ApiVersionsRequest::default().into());
    crate::kit::until(|| rig.service.metrics().produced_batches.value() == 1).await;
    crate::kit::until(|| rig.service.metrics().produced_records.value() == 2).await;
    rig.advance_ms(100);
    drop(held);
    produced.await.unwrap();
    behind.await.unwrap();
    let text = rig.broker.metrics_text().await.unwrap();
    let scrape = Scrape::parse(&text);
    let queued = |api| scrape.value("highwater_request_queue_seconds_sum", &[("api", api)]);
    assert_eq!(
        (queued("Produce"), queued("ApiVersions")),
        (Some(0.0), Some(0.1))
    );
    let total = scrape.value(
        "highwater_request_duration_seconds_sum",
        &[("api", "Produce")],
    );
    assert_eq!(total, Some(0.1));
}

#[tokio::test]
async fn what_comes_over_connections_is_counted() {
    let broker = Scraped::new();
    let kafka = broker.rig.broker.listen_kafka("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect((kafka.host.as_str(), kafka.port)).unwrap();
    let frame = Request::from(ApiVersionsRequest::default())
        .encode_frame(0, 1, None)
        .unwrap()
        .into_bytes();
    stream.write_all(&frame).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();

    let scrape = broker.scrape();
    let value = |name| scrape.value(name, &[]).unwrap();
    assert_eq!(value("highwater_connections"), 1.0);
    assert_eq!(value("highwater_connections_accepted_total"), 1.0);
    assert_eq!(value("highwater_received_bytes_total"), frame.len() as f64);
    let sent = (size.len() + answer.len()) as f64;
    assert_eq!(value("highwater_sent_bytes_total"), sent);

    // The end of a client, and one whose bytes are nonsense.
    drop(stream);
    let mut stream = TcpStream::connect((kafka.host.as_str(), kafka.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    let metrics = broker.rig.service.metrics();
    crate::kit::until(|| metrics.closed_connections.value() == 2).await;
    let scrape = broker.scrape();
    assert_eq!(scrape.value("highwater_connections", &[]), Some(0.0));
    let refused = scrape.value("highwater_connections_refused_total", &[]);
    assert_eq!(refused, Some(1.0));
}

#[tokio::test]
async fn records_and_logs_are_told() {
    let broker = Scraped::new();
    let rig = &broker.rig;
    rig.topic("t", 2, &[]).await;
    let first = batch(&["a", "b", "c"]);
    rig.produce("t", first.clone()).await.unwrap();
    rig.produce("t", batch(&["d"])).await.unwrap();
    rig.fetch("t", 1).await.unwrap();

    let scrape = broker.scrape();
    let value = |name| scrape.value(name, &[]).unwrap();
    assert_eq!(value("highwater_produced_batches_total"), 2.0);
    assert_eq!(value("highwater_produced_records_total"), 4.0);
    let bytes = value("highwater_produced_bytes_total");
    assert!(bytes > first.len() as f64);
    assert_eq!(value("highwater_fetches_total"), 1.0);
    assert_eq!(value("highwater_fetched_records_total"), 3.0, "from 1 on");
    assert_eq!(value("highwater_fetched_bytes_total"), bytes);
    assert_eq!(value("highwater_partitions"), 2.0);
    let of = |name, partition| scrape.value(name, &[("topic", "t"), ("partition", partition)]);
    assert_eq!(of("highwater_log_start_offset", "0"), Some(0.0));
    assert_eq!(of("highwater_log_end_offset", "0"), Some(4.0));
    assert_eq!(of("highwater_log_size_bytes", "0"), Some(bytes));
    assert_eq!(of("highwater_log_end_offset", "1"), Some(0.0));
    let by_topic = |name| scrape.value(name, &[("topic", "t")]);
    let topic_bytes = by_topic("highwater_topic_produced_bytes_total");
    assert_eq!(topic_bytes, Some(bytes));
    let fetched = by_topic("highwater_topic_fetched_bytes_total");
    assert_eq!(fetched, Some(bytes));
}

#[tokio::test]
async fn a_commit_is_told_with_its_size_and_the_time_of_its_sync() {
    let broker = Scraped::new();
    let rig = &broker.rig;
    rig.topic("t", 1, &[]).await;
    let before = broker.scrape();
    rig.produce("t", batch(&["a"])).await.unwrap();
    rig.produce("t", batch(&["b"])).await.unwrap();
    let scrape = broker.scrape();
    let grown = |name| scrape.value(name, &[]).unwrap() - before.value(name, &[]).unwrap();
    assert_eq!(grown("highwater_commit_seconds_count"), 2.0);
    assert_eq!(grown("highwater_commit_batches_sum"), 2.0);
    assert_eq!(grown("highwater_commit_logs_sum"), 2.0);
    assert!(grown("highwater_sync_seconds_count") >= 2.0);
    assert_eq!(grown("highwater_sync_errors_total"), 0.0);
}

#[tokio::test]
async fn a_batch_that_comes_twice_is_told_as_a_duplicate() {
    let broker = Scraped::new();
    let rig = &broker.rig;
    rig.topic("t", 1, &[]).await;
    for sequence in [0, 0, 1] {
        let batch = idempotent(7, 0, sequence, &["x"]);
        rig.produce("t", batch).await.unwrap();
    }
    let scrape = broker.scrape();
    let value = |name| scrape.value(name, &[]);
    assert_eq!(value("highwater_produced_batches_total"), Some(3.0));
    assert_eq!(value("highwater_duplicate_batches_total"), Some(1.0));
}

#[tokio::test]
async fn dead_letters_are_told_by_their_topics_names() {
    let broker = Scraped::new();
    let rig = &broker.rig;
    for topic in ["t", "t-dlt", "u.DLQ"] {
        rig.topic(topic, 1, &[]).await;
    }
    let codec = highwater_proto::compress::Codec::None;
    let batch = batch_of(
        codec,
        None,
        &[(START.0, None, "x"), (START.0 + 500, None, "y")],
    );
    rig.produce("t-dlt", batch.clone()).await.unwrap();
    rig.produce("t", batch).await.unwrap();
    rig.advance_ms(2_000);
    let scrape = broker.scrape();
    let of = |name, topic| scrape.value(name, &[("topic", topic)]);
    let told = ["t-dlt", "u.DLQ", "t"].map(|topic| of("highwater_dead_letters", topic));
    assert_eq!(told, [Some(2.0), Some(0.0), None]);
    let name = "highwater_dead_letter_oldest_seconds";
    assert_eq!((of(name, "t-dlt"), of(name, "u.DLQ")), (Some(2.0), None));
}

#[tokio::test]
async fn what_is_not_recorded_stays_at_zero_and_what_is_looked_up_is_told() {
    let config = BrokerConfig {
        metrics_recording_level: Recording::Off,
        ..BrokerConfig::default()
    };
    let broker = Scraped::over(Rig::with(config));
    let rig = &broker.rig;
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    broker.ask(0, ApiVersionsRequest::default()).await;
    let scrape = broker.scrape();
    for name in [
        "highwater_produced_records_total",
        "highwater_commit_seconds_count",
        "highwater_sync_seconds_count",
    ] {
        assert_eq!(scrape.value(name, &[]), Some(0.0), "{name}");
    }
    let requests = scrape.all("highwater_request_duration_seconds_count");
    assert_eq!(requests.count(), 0);
    let labels = [("topic", "t"), ("partition", "0")];
    let end = scrape.value("highwater_log_end_offset", &labels);
    assert_eq!(end, Some(1.0));
}

/// A group that nobody is in, with a name that must be escaped.
#[tokio::test]
async fn the_lag_of_a_group_is_told_in_records_and_in_seconds() {
    let broker = Scraped::new();
    let rig = &broker.rig;
    rig.topic("t", 1, &[]).await;
    let times = [0, 1000, 2000].map(|ms| (START.0 + ms, None, "x"));
    let codec = highwater_proto::compress::Codec::None;
    let batch = batch_of(codec, None, &times);
    rig.produce("t", batch).await.unwrap();
    rig.advance_ms(61_500);
    let group = "g \"\\\n\u{e9}";
    let lag = |scrape: &Scrape| {
        let labels = [("group", group), ("topic", "t"), ("partition", "0")];
        [
            "highwater_group_committed_offset",
            "highwater_group_lag_records",
            "highwater_group_lag_seconds",
        ]
        .map(|name| scrape.value(name, &labels))
    };
    assert_eq!(lag(&broker.scrape()), [None; 3]);
    for (offset, records, seconds) in [(1, 2.0, 60.5), (3, 0.0, 0.0)] {
        let offset = OffsetToCommit {
            topic: "t".to_owned(),
            partition: 0,
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let committed = offset.offset as f64;
        commit_all(&rig.service, group, vec![offset]).await.unwrap();
        let expected = [committed, records, seconds].map(Some);
        assert_eq!(lag(&broker.scrape()), expected);
    }
    let empty = [("state", "Empty")];
    let scrape = broker.scrape();
    assert_eq!(scrape.value("highwater_groups", &empty), Some(1.0));
    let members = scrape.value("highwater_group_members", &[("group", group)]);
    assert_eq!(members, Some(0.0));
}

/// Hostile clients: more topics, groups and partitions than anybody could watch.
#[tokio::test]
async fn no_label_has_more_values_than_a_thousand() {
    let config = BrokerConfig {
        broker_partitions_max: 20_000,
        ..BrokerConfig::default()
    };
    let broker = Scraped::over(Rig::with(config));
    let rig = &broker.rig;
    rig.topic("a-wide", 1_003, &[]).await;
    for number in 0..1_001 {
        rig.topic(&format!("t-{number:04}-dlt"), 1, &[]).await;
    }
    let offsets = [0, 1_002].map(|partition| offset_of("a-wide", partition, 0));
    let hidden = offset_of("t-1000-dlt", 0, 0);
    let offsets = [&offsets[..], &[hidden]].concat();
    for number in 0..1_002 {
        let group = format!("g-{number:04}");
        commit_all(&rig.service, &group, offsets.clone())
            .await
            .unwrap();
    }
    rig.produce("t-1000-dlt", batch(&["a", "b"])).await.unwrap();
    let scrape = broker.scrape();
    let others = scrape.value("highwater_topic_produced_bytes_total", &[("topic", "")]);
    assert!(others > Some(0.0), "the last topic has no name here");
    for (label, count) in scrape.label_values() {
        assert!(count <= 1_000, "{label} has {count} values");
    }
    let value = |name| scrape.value(name, &[]);
    // Three partitions of the wide topic, and the last topics of one each: that of the groups'
    // offsets takes a place, too.
    assert_eq!(value("highwater_partitions_left_out"), Some(6.0));
    assert_eq!(value("highwater_groups_left_out"), Some(2.0));
    assert_eq!(value("highwater_group_partitions_left_out"), Some(2_000.0));
    let labels = [("group", "g-0999")];
    assert_eq!(scrape.value("kafka_consumer_lag_sum", &labels), Some(2.0));
}

#[tokio::test]
async fn an_overview_has_a_limit_and_says_what_it_left_out() {
    let broker = Scraped::new();
    broker.rig.topic("b", 2, &[]).await;
    broker.rig.topic("a", 2, &[]).await;
    let (told, count) = broker.rig.service.partitions_overview(3);
    let names: Vec<_> = told
        .iter()
        .map(|one| (one.topic.as_str(), one.partition))
        .collect();
    assert_eq!((names, count), (vec![("a", 0), ("a", 1), ("b", 0)], 4));
}

#[tokio::test]
async fn the_time_that_a_certificate_has_left_runs_by_the_brokers_clock() {
    let broker = Scraped::new();
    let left = || {
        broker
            .scrape()
            .value("highwater_tls_certificate_left_seconds", &[])
    };
    assert_eq!(left(), None, "nobody needs one");
    let end_ms = &broker.rig.service.metrics().certificate_end_ms;
    end_ms.set(Some(START.0 + 90_000));
    assert_eq!(left(), Some(90.0));
    broker.rig.advance_ms(91_000);
    assert_eq!(left(), Some(-1.0));
}
