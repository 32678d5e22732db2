"""Apache Kafka's own command line tools against a broker: each case a call, or a few, and what
their output must hold. The jars are those of the Java client (`install java`)."""

import json
import re
import subprocess
import time

import clients

LIBRARY = clients.CACHE / "java/lib"
TOOL_MAX_S = 120
PACKAGE = "org.apache.kafka.tools"


class ToolError(Exception):
    """A tool failed, or printed something else than it must."""


class Session:
    """Runs tools against one broker, with a topic of its own, and keeps what they said."""

    def __init__(self, address, work, out):
        self.address = address
        self.topic = f"tools-{time.time_ns()}"
        self.group = f"g-{self.topic}"
        self.work = work
        self._out = out

    def tool(self, name, *words, fails=False, given=None):
        """The standard output of a tool; its failure is an error unless it must fail."""
        java = [
            "java", "-Xmx256m", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{LIBRARY}/*",
        ]  # fmt: skip
        name = name if "." in name and name.startswith(("kafka.", "org.")) else f"{PACKAGE}.{name}"
        command = [*java, name, *map(str, words)]
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=TOOL_MAX_S
        )
        self._out.write(f"$ {name} {' '.join(map(str, words))}\n{done.stdout}{done.stderr}\n")
        if (done.returncode != 0) != fails:
            raise ToolError(f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + (done.stderr if fails else "")

    def served(self, name, *words, **more):
        """The same with `--bootstrap-server`."""
        return self.tool(name, "--bootstrap-server", self.address, *words, **more)

    def create(self, partitions=3):
        self.served(
            "TopicCommand", "--create", "--topic", self.topic, "--partitions", partitions,
            "--replication-factor", 1,
        )  # fmt: skip

    def fill(self, count):
        """Numbered records, round robin, by the verifiable producer; each is acknowledged."""
        said = self.served(
            "VerifiableProducer", "--topic", self.topic, "--max-messages", count, "--acks", -1
        )
        acknowledged = sum(event["name"] == "producer_send_success" for event in _events(said))
        _expect(acknowledged, count, "records that were acknowledged")

    def read(self, count):
        """As many records by the console consumer, in the group, which it leaves committed."""
        said = self.served(
            "consumer.ConsoleConsumer", "--topic", self.topic, "--group", self.group,
            "--from-beginning", "--max-messages", count, "--timeout-ms", 30_000,
        )  # fmt: skip
        _expect(len(said.split()), count, "records that were read")


def _events(said):
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def _expect(found, wanted, what):
    if found != wanted:
        raise ToolError(f"{what}: {found!r}, expected {wanted!r}")


def _find(pattern, said):
    found = re.search(pattern, said, re.MULTILINE)
    if not found:
        raise ToolError(f"/{pattern}/ is not in: {said}")
    return found


def topics(session):
    """Create, refuse a second one, list, describe, grow, delete."""
    session.create()
    said = session.served(
        "TopicCommand", "--create", "--topic", session.topic, "--partitions", 3, fails=True
    )
    _find("TopicExistsException", said)
    _find(rf"^{session.topic}$", session.served("TopicCommand", "--list"))
    session.served("TopicCommand", "--alter", "--topic", session.topic, "--partitions", 5)
    said = session.served("TopicCommand", "--describe", "--topic", session.topic)
    _find(rf"Topic: {session.topic}\s.*PartitionCount: 5\s+ReplicationFactor: 1", said)
    _expect(len(re.findall(r"\tPartition: \d+\tLeader: 1\tReplicas: 1\tIsr: 1", said)), 5, said)
    session.served("TopicCommand", "--delete", "--topic", session.topic)
    if re.search(rf"^{session.topic}$", session.served("TopicCommand", "--list"), re.MULTILINE):
        raise ToolError("the topic is listed after it was deleted")


def configs(session):
    """Topic configs set, described, and put back; the broker's described."""
    session.create()
    of_topic = ["--entity-type", "topics", "--entity-name", session.topic]
    command = "kafka.admin.ConfigCommand"
    change = "retention.ms=3600000,cleanup.policy=delete"
    session.served(command, "--alter", *of_topic, "--add-config", change)
    said = session.served(command, "--describe", *of_topic)
    _find(r"retention\.ms=3600000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:", said)
    session.served(command, "--alter", *of_topic, "--delete-config", "retention.ms")
    said = session.served(command, "--describe", "--all", *of_topic)
    _find(r"retention\.ms=604800000 sensitive=false", said)
    refused = ["--add-config", "retention.ms=never"]
    session.served(command, "--alter", *of_topic, *refused, fails=True)
    broker = ["--entity-type", "brokers", "--entity-name", "1", "--all"]
    _find(r"num\.partitions=\d+", session.served(command, "--describe", *broker))


def consumer_groups(session):
    """Listed, described with its lag, reset, offsets deleted, deleted."""
    command = "consumer.group.ConsumerGroupCommand"
    session.create(1)
    session.fill(100)
    session.read(40)
    session.served("GetOffsetShell", "--topic", session.topic)
    _find(rf"^{session.group}$", session.served(command, "--list"))
    said = session.served(command, "--describe", "--group", session.group)
    _find(rf"{session.group}\s+{session.topic}\s+0\s+40\s+100\s+60\s+-\s+-\s+-", said)
    said = session.served(command, "--describe", "--group", session.group, "--state")
    _find(rf"{session.group}\s.*\sEmpty\s+0", said)
    reset = ["--reset-offsets", "--to-offset", "7", "--topic", session.topic, "--execute"]
    said = session.served(command, "--group", session.group, *reset)
    _find(rf"{session.topic}\s+0\s+7", said)
    session.served(
        command, "--delete-offsets", "--group", session.group, "--topic", session.topic
    )
    session.served(command, "--delete", "--group", session.group)
    if session.group in session.served(command, "--list"):
        raise ToolError("the group is listed after it was deleted")


def get_offsets(session):
    """First and last offsets, and those of a time."""
    session.create(2)
    session.fill(50)
    for when, wanted in (("-2", 0), ("-1", 50), ("0", 0)):
        said = session.served("GetOffsetShell", "--topic", session.topic, "--time", when)
        found = re.findall(rf"^{session.topic}:\d:(\d+)$", said, re.MULTILINE)
        _expect(sum(map(int, found)), wanted, f"offsets at {when}")


def delete_records(session):
    """The log start moves to the offset that the file names."""
    session.create(1)
    session.fill(50)
    wanted = {"version": 1, "partitions": [{"topic": session.topic, "partition": 0, "offset": 20}]}
    path = session.work / "delete-records.json"
    path.write_text(json.dumps(wanted), encoding="utf-8")
    said = session.served("DeleteRecordsCommand", "--offset-json-file", path)
    _find(rf"partition: {session.topic}-0\s+low_watermark: 20", said)
    said = session.served("GetOffsetShell", "--topic", session.topic, "--time", "-2")
    _find(rf"^{session.topic}:0:20$", said)


def verifiable(session):
    """The verifiable producer's records, all read and committed by the verifiable consumer."""
    session.create(3)
    session.fill(1000)
    said = session.served(
        "VerifiableConsumer", "--topic", session.topic, "--group-id", session.group,
        "--max-messages", 1000, "--reset-policy", "earliest",
    )  # fmt: skip
    events = _events(said)
    read = sum(event["count"] for event in events if event["name"] == "records_consumed")
    _expect(read, 1000, "records that were consumed")
    committed = [event for event in events if event["name"] == "offsets_committed"]
    _expect(all(event["success"] for event in committed), True, "whether all commits succeeded")
    _expect(any(event["name"] == "shutdown_complete" for event in events), True, "a clean end")


def console(session):
    """Lines into the console producer come out of the console consumer, keys and headers too."""
    session.create(1)
    line = "name:highwater\tkey-1\tvalue-1\n"
    properties = ["parse.headers=true", "parse.key=true"]
    session.served(
        "ConsoleProducer", "--topic", session.topic,
        *(word for one in properties for word in ("--reader-property", one)), given=line,
    )  # fmt: skip
    shown = ["print.headers=true", "print.key=true", "print.offset=true"]
    said = session.served(
        "consumer.ConsoleConsumer", "--topic", session.topic, "--from-beginning",
        "--max-messages", 1, "--timeout-ms", 30_000,
        *(word for one in shown for word in ("--formatter-property", one)),
    )  # fmt: skip
    _find("Offset:0\tname:highwater\tkey-1\tvalue-1", said)


def producer_perf(session):
    """A tenth of a million records with the documented tuning for throughput."""
    session.create(3)
    said = session.tool(
        "ProducerPerformance", "--topic", session.topic, "--num-records", 100_000,
        "--record-size", 100, "--throughput", -1, "--producer-props",
        f"bootstrap.servers={session.address}", "acks=all", "batch.size=32768", "linger.ms=20",
        "compression.type=lz4",
    )  # fmt: skip
    _find(r"^100000 records sent, .* 99\.9th", said)


def consumer_perf(session):
    """As many records read as the verifiable producer has written."""
    session.create(3)
    session.fill(5000)
    said = session.served(
        "ConsumerPerformance", "--topic", session.topic, "--messages", 5000,
        "--show-detailed-stats",
    )  # fmt: skip
    rows = [line.split(", ") for line in said.splitlines() if line.count(", ") >= 8]
    if not rows:
        raise ToolError(f"no statistics in: {said}")


def cluster(session):
    """The cluster's id, the versions of its APIs, and its features."""
    _find(r"Cluster ID: \S{22}", session.tool(
        "ClusterTool", "cluster-id", "--bootstrap-server", session.address
    ))  # fmt: skip
    said = session.served("BrokerApiVersionsCommand")
    for api in ("Produce(0): 0", "JoinGroup(11): 0", "OffsetFetch(9): 1"):
        _find(re.escape(api), said)


def log_dirs(session):
    """The folder of the logs, with each partition and its size."""
    session.create(2)
    session.fill(100)
    said = session.served("LogDirsCommand", "--describe", "--topic-list", session.topic)
    answer = next(event for event in _events(said) if "brokers" in event)
    found = answer["brokers"][0]["logDirs"][0]["partitions"]
    _expect(sorted(one["partition"] for one in found), [f"{session.topic}-{p}" for p in (0, 1)], "")
    _expect(sum(one["size"] for one in found) > 0, True, "whether the logs have a size")


CASES = {
    "kafka-topics": topics,
    "kafka-configs": configs,
    "kafka-consumer-groups": consumer_groups,
    "kafka-get-offsets": get_offsets,
    "kafka-delete-records": delete_records,
    "kafka-verifiable": verifiable,
    "kafka-console": console,
    "kafka-producer-perf-test": producer_perf,
    "kafka-consumer-perf-test": consumer_perf,
    "kafka-cluster": cluster,
    "kafka-log-dirs": log_dirs,
}


def run(case, address, work, out):
    """Runs one case; what every tool said goes into `out`."""
    try:
        CASES[case](Session(address, work, out))
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{error.cmd[6]} did not end within {TOOL_MAX_S} s") from None
