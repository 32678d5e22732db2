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
        "SaslHandshake",
        "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; ILLEGAL_SASL_STATE on a listener without SASL",
    ),
    (
        "DescribeAcls",
        "SECURITY_DISABLED: there are no access lists",
    ),
    ("CreateAcls", "SECURITY_DISABLED"),
    ("DeleteAcls", "SECURITY_DISABLED"),
    (
        "AlterConfigs",
        "topics, and those of the broker that are not read at its start",
    ),
    (
        "AlterReplicaLogDirs",
        "one directory: to itself, or LOG_DIR_NOT_FOUND",
    ),
    (
        "SaslAuthenticate",
        "sessions last `connections.max.reauth.ms`; the same user and mechanism when it is proved again",
    ),
    ("ElectLeaders", "ELECTION_NOT_NEEDED: one broker leads all"),
    (
        "IncrementalAlterConfigs",
        "topics, and those of the broker that are not read at its start",
    ),
    (
        "AlterPartitionReassignments",
        "one broker: to itself, or INVALID_REPLICA_ASSIGNMENT",
    ),
    ("ListPartitionReassignments", "nothing is ever on its way"),
    ("DescribeClientQuotas", "finds none"),
    (
        "AlterClientQuotas",
        "UNSUPPORTED_VERSION: a quota would limit nobody",
    ),
    (
        "AlterUserScramCredentials",
        "4096 to 100000 iterations (Kafka: 16384)",
    ),
    (
        "DescribeQuorum",
        "one voter; the offsets are those of the metadata log",
    ),
    (
        "JoinGroup",
        "ids above `group.id.max.bytes` and metadata above `group.member.max.bytes` are refused",
    ),
    ("OffsetFetch", "without transactions every offset is stable"),
    (
        "FindCoordinator",
        "groups: this broker; transactions: COORDINATOR_NOT_AVAILABLE, there are none yet",
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
        "100 ms and 64 MiB, for `page-cache` topics",
        "the window that a power cut may take is bounded",
    ),
    (
        "leader epoch",
        "grows by one after each unclean start",
        "clients detect a lost tail, as after a change of leaders",
    ),
    (
        "names of topics that differ by case alone",
        "collide, as those that differ by `.` against `_` do",
        "file systems and metric systems would take them for one",
    ),
    (
        "creating and deleting topics",
        "finished when the answer comes",
        "one node; there is nobody to wait for",
    ),
    (
        "configs of the broker",
        "Highwater's own, under Kafka's names where Kafka has them; read at the start, but for the \
         defaults of topics (`log.*`, `message.max.bytes` ...), which change at once",
        "what cannot change while the broker runs is refused, not stored for later",
    ),
    (
        "broker configs for threads, cleaners, throttles of replicas and Kerberos",
        "`background.threads`, `num.io.threads`, `num.recovery.threads.per.data.dir`, \
         `num.replica.fetchers`, `log.cleaner.*` but for the defaults of topics, \
         `{leader,follower}.replication.throttled.rate`, \
         `replica.alter.log.dirs.io.max.bytes.per.second`, `sasl.kerberos.ticket.renew.*` and \
         `sasl.kerberos.min.time.before.relogin` are kept and echoed, without effect",
        "what they would set does not exist here; tools that set them go on working",
    ),
    (
        "configs of broker loggers, groups and client metrics",
        "none: described as empty, refused when altered",
        "what they would set does not exist here",
    ),
    (
        "taking back a config of a topic that does not exist",
        "INVALID_CONFIG; Kafka says nothing",
        "a name that is written wrong should not look as if it had worked",
    ),
    (
        "`cleanup.policy` without a policy",
        "INVALID_CONFIG; Kafka 4.1 and newer accept it",
        "`retention.ms=-1` says the same",
    ),
    (
        "topics with `append.conditional=true` (a config of Highwater)",
        "retention, compaction, DeleteRecords and `on.full=drop-oldest` are refused unless \
         `allow.history.loss=true`; CreatePartitions is refused always",
        "an event store that forgets is none, and a key has one partition",
    ),
    (
        "client quotas",
        "refused",
        "a quota that is stored and limits nobody would be a lie",
    ),
    (
        "fetch sessions",
        "an idle one gives way after two minutes, a used one never; \
         `fetch.session.partitions.max` bounds them all",
        "a large session of one client does not push out that of another; memory is bounded",
    ),
    (
        "`__consumer_offsets`",
        "made, enlarged and deleted by the broker alone",
        "the groups in it would be lost",
    ),
    (
        "partitions and segments of `__consumer_offsets`",
        "1 and 16 MiB by default (Kafka: 50 and 100 MiB)",
        "one log, one sync; the segment bounds what a start replays",
    ),
    (
        "`group.initial.rebalance.delay.ms`",
        "0 when embedded and in `serve --dev`; else 3000, as in Kafka",
        "a test should not wait for members that do not come",
    ),
    (
        "a group named twice in one DescribeGroups or OffsetFetch",
        "INVALID_REQUEST the second time; Kafka answers twice",
        "a short request must not ask for a large answer many times",
    ),
    (
        "`auto.create.topics.enable`",
        "`true`, as in Kafka; printed at the start",
        "first runs should work",
    ),
];
