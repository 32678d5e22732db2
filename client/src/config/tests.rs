//! The tables against Kafka's documentation, and what they refuse.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::table::Settings;
use crate::error::ClientError;

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Invalid(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

/// The names and defaults that Kafka 4 documents, of those that both have.
const KAFKA_CLIENT: &str = "
    reconnect.backoff.ms=50
    reconnect.backoff.max.ms=1000
    request.timeout.ms=30000
    default.api.timeout.ms=60000
    metadata.max.age.ms=300000
    retry.backoff.ms=100
    retry.backoff.max.ms=1000
    socket.connection.setup.timeout.ms=10000
    connections.max.idle.ms=540000
    security.protocol=PLAINTEXT
    bootstrap.servers=";

const KAFKA_PRODUCER: &str = "
    acks=all
    batch.size=16384
    linger.ms=5
    compression.type=none
    buffer.memory=33554432
    max.block.ms=60000
    max.request.size=1048576
    max.in.flight.requests.per.connection=5
    delivery.timeout.ms=120000
    request.timeout.ms=30000
    retry.backoff.ms=100
    retry.backoff.max.ms=1000
    partitioner.ignore.keys=false";

const KAFKA_CONSUMER: &str = "
    session.timeout.ms=45000
    heartbeat.interval.ms=3000
    max.poll.interval.ms=300000
    enable.auto.commit=true
    auto.commit.interval.ms=5000
    metadata.max.age.ms=300000
    exclude.internal.topics=true
    allow.auto.create.topics=true
    fetch.min.bytes=1
    fetch.max.bytes=52428800
    fetch.max.wait.ms=500
    max.partition.fetch.bytes=1048576
    max.poll.records=500
    auto.offset.reset=latest
    check.crcs=true
    request.timeout.ms=30000
    default.api.timeout.ms=60000
    retry.backoff.ms=100
    retry.backoff.max.ms=1000
    partition.assignment.strategy=range,cooperative-sticky";

/// Names without a default in Kafka, or with one of our own; the files of TLS are named as in
/// librdkafka.
const OURS: [&str; 11] = [
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "client.id",
    "enable.idempotence",
    "group.id",
    "group.instance.id",
    "decompressed.bytes.max",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
];

#[test]
fn names_and_defaults_are_those_of_kafka() {
    let tables = [
        (KAFKA_CLIENT, ClientConfig::new().properties()),
        (KAFKA_PRODUCER, ProducerConfig::new().properties()),
        (KAFKA_CONSUMER, ConsumerConfig::new().properties()),
    ];
    for (kafka, ours) in tables {
        let kafka: BTreeMap<&str, &str> = kafka
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .collect();
        let ours: BTreeMap<&str, String> = ours
            .into_iter()
            .filter(|it| !OURS.contains(&it.name))
            .map(|it| (it.name, it.value.unwrap_or_default()))
            .collect();
        let ours: BTreeMap<&str, &str> = ours.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(ours, kafka);
    }
}

/// Another value than the default, for each name.
fn another(name: &str, default: Option<&str>) -> String {
    match (name, default) {
        ("acks", _) => "1".to_owned(),
        ("compression.type", _) => "zstd".to_owned(),
        ("security.protocol", _) => "ssl".to_owned(),
        ("sasl.mechanism", _) => "SCRAM-SHA-512".to_owned(),
        ("auto.offset.reset", _) => "earliest".to_owned(),
        ("partition.assignment.strategy", _) => "sticky, roundrobin".to_owned(),
        (_, Some("true")) => "FALSE".to_owned(),
        (_, Some("false")) => "True".to_owned(),
        ("enable.idempotence", _) => "false".to_owned(),
        (_, Some(number)) if number.parse::<i32>().is_ok() => format!("{number}7"),
        _ => "else:1".to_owned(),
    }
}

fn each_name_sets_itself_alone<C: Settings + Default>(properties: impl Fn(&C) -> Vec<Property>) {
    let default = properties(&C::default());
    assert_eq!(
        default.iter().map(|it| it.name).collect::<Vec<_>>(),
        C::NAMES
    );
    for property in &default {
        assert!(property.is_default);
        let mut config = C::default();
        let value = another(property.name, property.value.as_deref());
        config.put(property.name, &value).unwrap().unwrap();
        let changed: Vec<Property> = properties(&config)
            .into_iter()
            .filter(|it| !it.is_default)
            .collect();
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert_eq!(changed[0].name, property.name);
        assert_ne!(changed[0].value, property.value);
    }
}

#[test]
fn each_property_sets_its_field_alone() {
    each_name_sets_itself_alone(ClientConfig::properties);
    each_name_sets_itself_alone(ProducerConfig::properties);
    each_name_sets_itself_alone(ConsumerConfig::properties);
}

#[test]
fn setters_set_what_they_are_called() {
    let producer = ProducerConfig::new()
        .linger_ms(20)
        .enable_idempotence(false);
    assert_eq!((producer.linger_ms, producer.is_idempotent()), (20, false));
    let consumer = ConsumerConfig::new()
        .group_id("g")
        .partition_assignment_strategy([AssignmentStrategy::Sticky])
        .max_poll_records(7);
    assert_eq!(consumer.group().unwrap(), "g");
    assert_eq!(
        consumer.partition_assignment_strategy,
        [AssignmentStrategy::Sticky]
    );
    assert_eq!(consumer.max_poll_records, 7);
}

proptest! {
    #[test]
    fn what_properties_gives_from_properties_takes(
        linger_ms in any::<u32>(),
        request_ms in 1..=u64::from(u32::MAX),
        batch_size in 1..=1_048_576_usize,
        acks in prop::sample::select(vec![Acks::None, Acks::Leader, Acks::All]),
        idempotence in any::<Option<bool>>(),
        max_in_flight in 1..9_usize,
        partitioner_ignore_keys in any::<bool>(),
        group in prop::option::of("[a-z]{1,9}"),
        strategies in prop::sample::subsequence(AssignmentStrategy::ALL.to_vec(), 1..=4),
        fetch_min_bytes in 0..i32::MAX,
    ) {
        let producer = ProducerConfig {
            linger_ms: linger_ms.into(),
            request_timeout_ms: request_ms,
            delivery_timeout_ms: u64::from(linger_ms) + request_ms,
            enable_idempotence: idempotence
                .filter(|on| !on || (acks == Acks::All && max_in_flight <= 5)),
            batch_size, acks, max_in_flight, partitioner_ignore_keys,
            ..ProducerConfig::default()
        };
        let consumer = ConsumerConfig {
            group_id: group,
            partition_assignment_strategy: strategies,
            fetch_min_bytes,
            fetch_max_bytes: fetch_min_bytes + 1,
            ..ConsumerConfig::default()
        };
        let pairs = |properties: Vec<Property>| -> Vec<(&str, String)> {
            properties.into_iter().map(|it| (it.name, it.value.unwrap_or_default())).collect()
        };
        let read = ProducerConfig::from_properties(pairs(producer.properties()));
        prop_assert_eq!(read, Ok(producer));
        let read = ConsumerConfig::from_properties(pairs(consumer.properties()));
        prop_assert_eq!(read, Ok(consumer));
    }

    #[test]
    fn any_text_is_read_or_refused(
        name in "\\PC{0,80}",
        value in "\\PC{0,40}",
        known in prop::sample::select(ConsumerConfig::NAMES),
    ) {
        let _ = Properties::parse(&format!("{name}={value}"));
        let _ = ProducerConfig::from_properties([(&name, &value)]);
        let _ = ClientConfig::new().bootstrap_servers(&value).check_addresses();
        let _ = Properties::split([(known, &value)]);
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refused = |config: ProducerConfig, what: &str| {
        let why = refusal(config.validated());
        assert!(why.contains(what), "{why}");
    };
    let new = ProducerConfig::new;
    refused(
        new().batch_size(0),
        "batch.size must be from 1 to 2147483647, not 0",
    );
    refused(
        new().max_in_flight(0),
        "max.in.flight.requests.per.connection must be at least 1",
    );
    refused(
        new().enable_idempotence(true).acks(Acks::None),
        "needs acks=all",
    );
    refused(
        new().enable_idempotence(true).max_in_flight(6),
        "at most 5, not 6",
    );
    refused(
        new().delivery_timeout_ms(30_004),
        "linger.ms + request.timeout.ms = 30005",
    );
    refused(new().batch_size(1_048_577), "max.request.size");
    refused(new().buffer_memory(16_383), "buffer.memory");

    let refused = |config: ConsumerConfig, what: &str| {
        let why = refusal(config.validated());
        assert!(why.contains(what), "{why}");
    };
    let new = || ConsumerConfig::new().group_id("g");
    refused(
        new().heartbeat_interval_ms(45_000),
        "heartbeat.interval.ms must be below",
    );
    refused(
        new().heartbeat_interval_ms(0),
        "heartbeat.interval.ms must be at least 1, not 0",
    );
    refused(
        new().session_timeout_ms(-1),
        "session.timeout.ms must be at least 1",
    );
    refused(
        new().fetch_min_bytes(2).fetch_max_bytes(1),
        "fetch.min.bytes=2 is more than",
    );
    refused(new().partition_assignment_strategy([]), "at least one");
    let twice = [AssignmentStrategy::Range, AssignmentStrategy::Range];
    refused(new().partition_assignment_strategy(twice), "twice");
    refused(new().group_instance_id(""), "group.instance.id is 1 to 249");
    refused(new().group_instance_id("a/b"), "\"a/b\"");
    refused(
        ConsumerConfig::new().group_instance_id("a"),
        "set group.id too",
    );
    assert_eq!(
        refusal(ConsumerConfig::new().group()),
        "a group is needed: set group.id"
    );

    let why = refusal(ClientConfig::new().request_timeout_ms(60_001).validated());
    assert!(
        why.contains("default.api.timeout.ms=60000 is less"),
        "{why}"
    );
}

#[test]
fn idempotence_that_nobody_asked_for_gives_way() {
    let config = ProducerConfig::new();
    assert!(config.is_idempotent());
    for gives_way in [config.clone().acks(Acks::Leader), config.max_in_flight(6)] {
        assert!(!gives_way.validated().unwrap().is_idempotent());
    }
}

/// Every other name of Kafka 4's producers and consumers.
const JAVA: &str = "key.serializer value.serializer key.deserializer value.deserializer \
    partitioner.class partitioner.adaptive.partitioning.enable \
    partitioner.availability.timeout.ms retries transactional.id transaction.timeout.ms \
    transaction.two.phase.commit.enable compression.gzip.level compression.lz4.level \
    compression.zstd.level isolation.level group.protocol group.remote.assignor \
    share.acknowledgement.mode client.rack security.protocol security.providers \
    ssl.truststore.location ssl.keystore.location sasl.mechanism sasl.jaas.config \
    client.dns.lookup \
    metadata.recovery.strategy metadata.recovery.rebootstrap.trigger.ms \
    socket.connection.setup.timeout.max.ms metadata.max.idle.ms send.buffer.bytes \
    receive.buffer.bytes interceptor.classes config.providers metric.reporters \
    metrics.num.samples metrics.recording.level metrics.sample.window.ms enable.metrics.push \
    bootstrap.controllers";

#[test]
fn a_name_of_java_is_told_why_it_means_nothing() {
    for name in JAVA.split_whitespace() {
        let why = refusal(Properties::split([(name, "x")]));
        assert!(why.starts_with(&format!("{name}: ")), "{why}");
        let why = refusal(ConsumerConfig::from_properties([(name, "x")]));
        assert!(!why.contains("nearest"), "{why}");
    }
    let anyway = [
        ("security.protocol", "plaintext"),
        ("isolation.level", "read_uncommitted"),
        ("ssl.endpoint.identification.algorithm", "https"),
        ("enable.ssl.certificate.verification", "true"),
        ("retries", "2147483647"),
    ];
    assert_eq!(Properties::split(anyway), Ok(Properties::default()));
}

#[test]
fn a_name_is_given_to_its_owner() {
    let why = refusal(ProducerConfig::from_properties([(
        "bootstrap.servers",
        "a:1",
    )]));
    assert!(why.contains("of the client, not of the producer"), "{why}");
    let why = refusal(ClientConfig::from_properties([("group.id", "g")]));
    assert!(why.contains("of the consumer, not of the client"), "{why}");
    let all = Properties::split([("request.timeout.ms", "7"), ("acks", "1")]).unwrap();
    assert_eq!(all.client.request_timeout_ms, 7);
    assert_eq!(
        all.producer,
        ProducerConfig::new()
            .request_timeout_ms(7)
            .acks(Acks::Leader)
    );
    assert_eq!(all.consumer, ConsumerConfig::new().request_timeout_ms(7));
}

#[test]
fn a_misspelt_name_is_told_the_nearest() {
    for (name, nearest) in [
        ("linger_ms", "linger.ms"),
        ("LINGER.MS", "linger.ms"),
        ("bathc.size", "batch.size"),
        ("group", "group.id"),
        ("bootstrap.server", "bootstrap.servers"),
    ] {
        let why = refusal(Properties::split([(name, "1")]));
        assert!(
            why.ends_with(&format!("the nearest name is {nearest}")),
            "{why}"
        );
    }
}

#[test]
fn a_value_is_refused_with_its_name() {
    for (name, value, what) in [
        (
            "linger.ms",
            "soon",
            "linger.ms: \"soon\" is no whole number from 0",
        ),
        ("linger.ms", "-1", "linger.ms: \"-1\" is no whole number"),
        ("acks", "2", "acks: acks is 0, 1 or all, not 2"),
        (
            "compression.type",
            "brotli",
            "compression.type: no codec is called",
        ),
        (
            "check.crcs",
            "yes",
            "check.crcs: \"yes\" is neither true nor false",
        ),
        (
            "auto.offset.reset",
            "by_duration:P1D",
            "none of earliest, latest and none",
        ),
        (
            "partition.assignment.strategy",
            "best",
            "none of range, roundrobin, sticky",
        ),
    ] {
        let why = refusal(Properties::split([(name, value)]));
        assert!(why.contains(what), "{why}");
    }
    let java = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor,range";
    let strategy = [("partition.assignment.strategy", java)];
    let config = ConsumerConfig::from_properties(strategy).unwrap();
    assert_eq!(
        config.partition_assignment_strategy,
        [
            AssignmentStrategy::CooperativeSticky,
            AssignmentStrategy::Range
        ]
    );
}

#[test]
fn a_file_is_read_by_lines() {
    let text = "# comment\n! comment\n\n linger.ms = 9 \r\nlinger.ms=10\nclient.id=a=b\n";
    let properties = Properties::parse(text).unwrap();
    assert_eq!(properties.producer.linger_ms, 10);
    assert_eq!(properties.client.client_id, "a=b");
    assert_eq!(
        refusal(Properties::parse("\nacks")),
        "line 2: it is not name=value"
    );
    assert!(refusal(Properties::parse("client.id=a\\")).contains("line 1: escapes"));
}

#[test]
fn an_address_is_a_host_and_a_port() {
    let check = |servers: &str| {
        ClientConfig::new()
            .bootstrap_servers(servers)
            .check_addresses()
    };
    assert_eq!(check(" kafka-1:9092 ,[::1]:9093,,10.0.0.1:1"), Ok(()));
    for (servers, what) in [
        ("", "no bootstrap address"),
        (" , ", "no bootstrap address"),
        ("kafka", "write kafka:9092"),
        ("[::1]", "write [::1]:9092"),
        ("::1", "in brackets"),
        (":9092", "has no host"),
        ("kafka:http", "from 1 to 65535"),
        ("kafka:0", "from 1 to 65535"),
        ("kafka:65536", "from 1 to 65535"),
        (
            "PLAINTEXT://kafka:9092",
            "write kafka:9092 without PLAINTEXT://",
        ),
    ] {
        let why = refusal(check(servers));
        assert!(why.contains(what), "{servers}: {why}");
    }
}
