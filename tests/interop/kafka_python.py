#!/usr/bin/env python3
"""kafka-python from PyPI: produces (idempotent by default), reads by assignment, is a member of
groups (eager and cooperative, static too), and administers.

Its default partitioner puts keyed records where Java's does, and null keys at random.
"""

import sys
import time

import kafka
from kafka import admin as kafka_admin
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

import flights
import scenario
from scenario import expect, expect_error, until

QUIET_MAX_S = 30
ASSIGNORS = {"range": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}


def produce(args):
    producer = kafka.KafkaProducer(
        bootstrap_servers=args.bootstrap,
        client_id="interop-kafka-python",
        compression_type=None if args.codec == "none" else args.codec,
        acks="all",
        linger_ms=5,
        batch_size=65536,
    )
    futures = [producer.send(args.topic, value, key) for key, value in flights.records(args.input)]
    producer.flush(QUIET_MAX_S * 4)
    for future in futures:
        future.get(0)
    producer.close()
    return {"records": len(futures)}


def consume(args):
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=args.bootstrap,
        client_id="interop-kafka-python",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    partitions = [kafka.TopicPartition(args.topic, p) for p in range(args.partitions)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    digest = flights.Digest()
    offsets = scenario.Offsets(args.partitions)
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        found = consumer.poll(QUIET_MAX_S * 1000, max_records=5000)
        if not found:
            sys.exit(f"nothing for {QUIET_MAX_S} s")
        for records in found.values():
            for record in records:
                offsets.see(record.partition, record.offset)
                digest.add(record.partition, record.key, record.value)
    consumer.close()
    return digest, offsets.gaps


class _Listener(kafka.ConsumerRebalanceListener):
    """Tells the driver; eager assignors give back everything first."""

    def __init__(self, told):
        self._told = told

    def on_partitions_assigned(self, assigned):
        self._told.gains(one.partition for one in assigned)

    def on_partitions_revoked(self, revoked):
        self._told.loses(one.partition for one in revoked)

    def on_partitions_lost(self, lost):
        self._told.loses(one.partition for one in lost)


def member(args):
    scenario.run_members(args, _member)


def _member(args, told, stop):
    consumer = _grouped(
        args,
        session_timeout_ms=args.session,
        heartbeat_interval_ms=1000,
        partition_assignment_strategy=[ASSIGNORS[args.assignor]],
        group_instance_id=told.instance,
    )
    consumer.subscribe([args.topic], listener=_Listener(told))
    while not stop.is_set():
        found = consumer.poll(100)
        for place, records in found.items():
            told.read(place.partition, records[0].offset, records[-1].offset)
        if found:
            try:
                consumer.commit()
            except KafkaError as error:
                told.commit_failed(error)
    consumer.close()


def _grouped(args, **more):
    """A consumer in the group, which commits only when told to."""
    return kafka.KafkaConsumer(
        bootstrap_servers=args.bootstrap,
        client_id="interop-kafka-python",
        group_id=args.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **more,
    )


def offsets(args, steps):
    _produce_timed(args)
    place = kafka.TopicPartition(args.topic, 0)
    with steps.step("commit"):
        consumer = _grouped(args)
        consumer.subscribe([args.topic])
        expect(_next(consumer).offset, 0, "the first offset")
        consumer.commit({place: kafka.OffsetAndMetadata(10, scenario.NOTE, -1)})
    with steps.step("committed"):
        found = consumer.committed(place, metadata=True)
        expect((found.offset, found.metadata), (10, scenario.NOTE), "what is committed")
        consumer.close()
    with steps.step("resume"):
        consumer = _grouped(args, max_poll_records=1)
        consumer.subscribe([args.topic])
        expect(_next(consumer).offset, 10, "the first offset after the commit")
    with steps.step("seek"):
        consumer.seek(place, 50)
        expect(_next(consumer).offset, 50, "the offset after seek")
    with steps.step("seek_time"):
        found = consumer.offsets_for_times({place: scenario.TIMED_FROM_MS + 69_500})[place]
        expect(found.offset, 70, "the offset at that time")
        consumer.seek(place, found.offset)
        expect(_next(consumer).value, b"70", "the value at that time")
    with steps.step("pause"):
        consumer.pause(place)
        expect(consumer.poll(700), {}, "what a paused partition gives")
        consumer.resume(place)
        expect(_next(consumer).offset, 71, "the offset after the pause")
    consumer.close()


def _produce_timed(args):
    producer = kafka.KafkaProducer(bootstrap_servers=args.bootstrap, linger_ms=5)
    for number in range(scenario.TIMED_RECORDS):
        at = scenario.TIMED_FROM_MS + number * 1000
        producer.send(args.topic, str(number).encode(), partition=0, timestamp_ms=at)
    producer.flush(QUIET_MAX_S)
    producer.close()


def _next(consumer):
    given_up_at = time.monotonic() + QUIET_MAX_S
    while time.monotonic() < given_up_at:
        for records in consumer.poll(500).values():
            return records[0]
    raise AssertionError(f"no record within {QUIET_MAX_S} s")


def admin(args, steps):
    client = kafka_admin.KafkaAdminClient(bootstrap_servers=args.bootstrap)
    new = {args.topic: {"num_partitions": 3, "replication_factor": 1}}
    with steps.step("create"):
        client.create_topics(new, wait_for_metadata=True)
    with steps.step("exists"):
        expect_error("TopicAlreadyExists", lambda: client.create_topics(new))
    described = lambda name: client.describe_topics([name])[0]  # noqa: E731
    with steps.step("describe"):
        expect(len(described(args.topic)["partitions"]), 3, "the number of partitions")
    with steps.step("unknown"):
        expect(described(args.topic + "-absent")["error_code"], 3, "the error")
    with steps.step("configs"):
        found = _config(client, args.topic)
        expect((found["value"], found["config_source"]), DEFAULT, "retention.ms")
    with steps.step("alter"):
        change = {"retention.ms": "3600000"}
        client.alter_configs([kafka_admin.ConfigResource("TOPIC", args.topic, change)])
        until(lambda: _config(client, args.topic)["value"] == "3600000", "the new value")
    with steps.step("grow"):
        client.create_partitions({args.topic: 5})
        until(lambda: len(described(args.topic)["partitions"]) == 5, "five partitions")
    with steps.step("delete_records"):
        _produce_timed(args)
        place = kafka.TopicPartition(args.topic, 0)
        client.delete_records({place: 5})
        oldest = client.list_partition_offsets({place: kafka_admin.OffsetSpec.EARLIEST})
        expect(oldest[place].offset, 5, "the first offset")
    _admin_of_groups(args, steps, client)
    with steps.step("delete"):
        client.delete_topics([args.topic])
        until(lambda: args.topic not in client.list_topics(), "the topic is gone")


DEFAULT = ("604800000", "DEFAULT_CONFIG")


def _config(client, topic):
    asked = kafka_admin.ConfigResource("TOPIC", topic, {"retention.ms": None})
    found = client.describe_configs([asked], config_filter="all")
    return found["topic"][topic]["retention.ms"]


def _admin_of_groups(args, steps, client):
    listed = lambda: [group["group_id"] for group in client.list_groups()]  # noqa: E731
    described = lambda: client.describe_groups([args.group])[args.group]  # noqa: E731
    consumer = _grouped(args)
    consumer.subscribe([args.topic])
    expect(_next(consumer).offset, 5, "the first offset that is left")
    consumer.commit()
    with steps.step("list_groups"):
        expect(args.group in listed(), True, "whether the group is listed")
    with steps.step("describe_group"):
        found = described()
        expect(found["group_state"], "Stable", "the state")
        members = found["members"]
        expect([one["client_id"] for one in members], ["interop-kafka-python"], "the members")
        owned = members[0]["member_assignment"]["assigned_partitions"]
        expect([sorted(one["partitions"]) for one in owned], [list(range(5))], "what it owns")
    with steps.step("delete_busy_group"):
        found = client.delete_groups([args.group])
        expect("NonEmptyGroup" in str(found), True, f"whether {found} is the error")
        consumer.close()
    with steps.step("delete_group"):
        expect(described()["group_state"], "Empty", "the state")
        client.delete_groups([args.group])
        expect(args.group in listed(), False, "whether the group is listed")


if __name__ == "__main__":
    scenario.run(
        "kafka-python", kafka.__version__, produce, consume, member, offsets, admin
    )
