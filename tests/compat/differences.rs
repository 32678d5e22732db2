//! What a user of Apache Kafka meets that is not as there, each with its reason.

use std::fmt::Write as _;

/// Appends the section of intended differences.
pub(crate) fn render(out: &mut String) {
    out.push_str("\n## Intended differences from Apache Kafka\n\n");
    out.push_str("| what | here | why |\n|---|---|---|\n");
    for (what, here, why) in DIFFERENCES {
        writeln!(out, "| {what} | {here} | {why} |").expect("a string can be written to");
    }
}

/// What there is to say about one API.
pub(crate) fn note(api: &str) -> &'static str {
    NOTES
        .iter()
        .find(|(name, _)| *name == api)
        .map_or("", |(_, note)| note)
}

const NOTES: &[(&str, &str)] = &[
    (
        "Produce",
        "versions below 3 are advertised because librdkafka looks for them, and refused",
    ),
    (
        "Fetch",
        "without fetch sessions: every answer has session id 0",
    ),
    (
        "FindCoordinator",
        "answers COORDINATOR_NOT_AVAILABLE: groups are not built yet",
    ),
    (
        "InitProducerId",
        "idempotent producers; a transactional id is refused",
    ),
];

const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "high watermark",
        "the durable mark",
        "there are no replicas: what a consumer has read must not vanish in a power cut",
    ),
    (
        "`acks=all`",
        "answered after fdatasync (`durability=fsync`, the default)",
        "Kafka answers before; its replicas are its durability",
    ),
    (
        "replication factor",
        "stored as 1, with a line in the log (`replication.factor.clamp`)",
        "one node; scripts that ask for 3 go on working",
    ),
    (
        "`compression.type` of a topic",
        "kept and echoed; nothing is recompressed",
        "the bytes that a producer sent are the bytes on the disk",
    ),
    (
        "largest timestamp of a batch",
        "taken from its header, not corrected",
        "the same reason",
    ),
    (
        "`index.interval.bytes`",
        "32768 by default (Kafka: 4096)",
        "an eighth of the index for at most 32 KiB of scanning",
    ),
    (
        "retention by time",
        "counts from max(record time, seal time)",
        "a wild clock of a producer or of the machine must not delete data",
    ),
    (
        "`flush.ms`, `flush.bytes`",
        "100 ms and 1 MiB, for `page-cache` topics",
        "the window that a power cut may take is bounded",
    ),
    (
        "leader epoch",
        "grows by one after each unclean start",
        "clients detect a lost tail, as after a change of leaders",
    ),
    (
        "creating and deleting topics",
        "finished when the answer comes",
        "one node; there is nobody to wait for",
    ),
    (
        "`auto.create.topics.enable`",
        "`true`, as in Kafka; printed at the start",
        "first runs should work",
    ),
];
