//! Names of properties: whose they are, and what is said about a name that is nobody's.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - No name is passed over in silence: a setting that would have no effect is an error.
//! - A name that Java's clients know is told why it means nothing here; any other, which known name
//!   is nearest.

use super::client::ClientConfig;
use super::consumer::ConsumerConfig;
use super::producer::ProducerConfig;
use super::table::Settings;
use crate::error::ClientError;

/// Gives a property to a config, which must know it.
pub(super) fn put<C: Settings>(config: &mut C, name: &str, value: &str) -> Result<(), ClientError> {
    let (name, value) = (name.trim(), value.trim());
    match config.put(name, value) {
        Some(put) => put.map_err(|why| ClientError::Invalid(format!("{name}: {why}"))),
        None => without_effect(C::OWNER, C::NAMES, name, value),
    }
}

/// Fine if the value says what happens anyway, else why nobody takes it.
pub(super) fn without_effect(
    owner: &str,
    names: &[&'static str],
    name: &str,
    value: &str,
) -> Result<(), ClientError> {
    if let Some((_, anyway, why)) = elsewhere(name) {
        if anyway.is_some_and(|anyway| anyway.eq_ignore_ascii_case(value)) {
            return Ok(());
        }
        let or = anyway.map_or_else(String::new, |anyway| format!(" (only {anyway} is taken)"));
        return Err(ClientError::Invalid(format!("{name}: {why}{or}")));
    }
    let owners: Vec<&str> = OWNED
        .into_iter()
        .filter(|(_, names)| names.contains(&name))
        .map(|(owner, _)| owner)
        .collect();
    let why = if owners.is_empty() {
        let nearest = names.iter().min_by_key(|known| distance(known, name));
        let nearest = nearest.copied().unwrap_or_default();
        format!("the {owner} has no setting {name:?}; the nearest name is {nearest}")
    } else {
        format!(
            "{name} is a setting of the {}, not of the {owner}: `Properties` gives each its own",
            owners.join(" and the ")
        )
    };
    Err(ClientError::Invalid(why))
}

/// What Java's clients have and this one has not: the value that is taken, since it says what
/// happens anyway, and why no other is.
fn elsewhere(name: &str) -> Option<(&'static str, Option<&'static str>, &'static str)> {
    let row = ELSEWHERE.iter().find(|(names, ..)| {
        names.split(' ').any(|known| {
            let family = known.strip_suffix('*');
            known == name || family.is_some_and(|family| name.starts_with(family))
        })
    });
    row.copied()
}

/// How many letters have to be added, taken away or replaced to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    // A name that somebody typed has an end; what is longer than any name is equally far from all.
    let b = &b[..b.floor_char_boundary(NAME_BYTES_MAX)];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (right, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(!left.eq_ignore_ascii_case(&right));
            diagonal = *cell;
            before = replaced.min(before + 1).min(diagonal + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Bytes of a name that are compared.
const NAME_BYTES_MAX: usize = 64;

/// Whose settings there are.
pub(super) const OWNED: [(&str, &[&str]); 3] = [
    (ClientConfig::OWNER, ClientConfig::NAMES),
    (ProducerConfig::OWNER, ProducerConfig::NAMES),
    (ConsumerConfig::OWNER, ConsumerConfig::NAMES),
];

/// Names, or beginnings of names with a star; the value that says what happens anyway; why.
const ELSEWHERE: [(&str, Option<&str>, &str); 22] = [
    (
        "key.serializer value.serializer",
        None,
        "records are bytes here: make them with `Record::key` and `Record::value`, or with the \
         typed `Record::json` and `Record::protobuf`",
    ),
    (
        "key.deserializer value.deserializer",
        None,
        "records are bytes here: read `key` and `value`, or the typed `ConsumerRecord::json` and \
         `ConsumerRecord::protobuf`",
    ),
    (
        "partitioner.class",
        None,
        "a partitioner is no class name here: give one to `Client::producer_with`",
    ),
    (
        "partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms",
        None,
        "records without a key go to one partition for a batch and then to another, whatever the \
         brokers' loads: leave it away",
    ),
    (
        "retries",
        Some("2147483647"),
        "there is no number of retries: delivery.timeout.ms says how long they go on",
    ),
    (
        "transactional.id transaction.*",
        None,
        "this client has no transactions yet: leave it away",
    ),
    (
        "compression.gzip.level compression.lz4.level compression.zstd.level",
        None,
        "each codec has one level here: leave it away",
    ),
    (
        "isolation.level",
        Some("read_uncommitted"),
        "this client has no transactions yet, and reads everything below the high watermark",
    ),
    (
        "group.protocol",
        Some("classic"),
        "members of a group speak the classic protocol here",
    ),
    (
        "group.remote.assignor",
        None,
        "the leader of a group deals out: set partition.assignment.strategy",
    ),
    (
        "share.*",
        None,
        "this client has no share groups: leave it away",
    ),
    (
        "client.rack",
        None,
        "records are read from the leader of a partition, whatever its rack: leave it away",
    ),
    (
        "enable.ssl.certificate.verification",
        Some("true"),
        "a broker's certificate is always verified: set ssl.ca.location to who has signed it",
    ),
    (
        "ssl.endpoint.identification.algorithm",
        Some("https"),
        "that a broker's certificate is for its host is always verified",
    ),
    (
        "ssl.* sasl.* security.*",
        None,
        "certificates are PEM files here: set ssl.ca.location, ssl.certificate.location and \
         ssl.key.location",
    ),
    (
        "client.dns.lookup",
        Some("use_all_dns_ips"),
        "every address of a host name is tried",
    ),
    (
        "metadata.recovery.strategy",
        Some("rebootstrap"),
        "when no known broker answers, the bootstrap addresses are asked again",
    ),
    (
        "metadata.recovery.rebootstrap.trigger.ms socket.connection.setup.timeout.max.ms \
         metadata.max.idle.ms",
        None,
        "this client has no such limit: leave it away",
    ),
    (
        "send.buffer.bytes receive.buffer.bytes",
        Some("-1"),
        "the operating system sizes the socket's buffers",
    ),
    (
        "interceptor.classes config.providers config.providers.*",
        None,
        "a class of Java cannot be loaded here: call your code around `send` and `poll`",
    ),
    (
        "metric.reporters metrics.* auto.include.jmx.reporter enable.metrics.push",
        None,
        "there are no metrics by JMX here: `tracing` tells what happens; leave it away",
    ),
    (
        "log4j.* bootstrap.controllers",
        None,
        "it is none of a client's settings: leave it away",
    ),
];
