#!/usr/bin/env python3
"""confluent-kafka from PyPI, on a current librdkafka: produces (idempotent), reads by assignment,
is a member of groups (eager and cooperative, static too), and administers.

Null keys: sent with key None; they go anywhere (`murmur2_random`), keyed records where Java's
default partitioner puts them. The consumer needs a group's name but never joins: it is assigned
all partitions from their beginning, commits nothing, and stops at the end of the last one. A
broker without groups makes it log that it found no coordinator; that is no failure here.
"""

import sys
import time

import confluent_kafka as kafka
from confluent_kafka import admin as kafka_admin

import flights
import scenario
from scenario import expect, expect_error, until

QUIET_MAX_S = 30


def produce(args):
    failures = []
    acknowledged = 0

    def delivered(error, _message):
        nonlocal acknowledged
        if error is None:
            acknowledged += 1
        elif len(failures) < 3:
            failures.append(str(error))

    producer = kafka.Producer(
        {
            "bootstrap.servers": args.bootstrap,
            "client.id": "interop-confluent",
            "compression.type": args.codec,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
        }
    )
    for key, value in flights.records(args.input):
        while True:
            try:
                producer.produce(args.topic, value, key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.5)
        producer.poll(0)
    left = producer.flush(QUIET_MAX_S * 2)
    if failures or left:
        sys.exit(f"{left} records unanswered; failures: {failures}")
    return {"records": acknowledged}


def consume(args):
    errors = []
    consumer = kafka.Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "client.id": "interop-confluent",
            "group.id": "interop-assigned",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "error_cb": lambda error: errors.append(str(error)),
        }
    )
    consumer.assign(
        [
            kafka.TopicPartition(args.topic, p, kafka.OFFSET_BEGINNING)
            for p in range(args.partitions)
        ]
    )
    digest = flights.Digest()
    offsets = scenario.Offsets(args.partitions)
    open_partitions = set(range(args.partitions))
    while open_partitions:
        message = consumer.poll(QUIET_MAX_S)
        if message is None:
            sys.exit(f"nothing for {QUIET_MAX_S} s, not at the end of {open_partitions}: {errors}")
        error = message.error()
        if error is None:
            offsets.see(message.partition(), message.offset())
            digest.add(message.partition(), message.key(), message.value())
        elif error.code() == kafka.KafkaError._PARTITION_EOF:
            open_partitions.discard(message.partition())
        elif error.code() < 0 or error.retriable():
            errors.append(str(error))
        else:
            sys.exit(f"partition {message.partition()}: {error}")
    consumer.close()
    return digest, offsets.gaps


def member(args):
    scenario.run_members(args, _member)


def _member(args, told, stop):
    consumer = _grouped(
        args,
        {
            "session.timeout.ms": args.session,
            "heartbeat.interval.ms": 1000,
            "partition.assignment.strategy": ASSIGNORS[args.assignor],
        }
        | ({"group.instance.id": told.instance} if told.instance else {}),
    )
    consumer.subscribe(
        [args.topic],
        on_assign=lambda _, given: told.gains(p.partition for p in given),
        on_revoke=lambda _, taken: told.loses(p.partition for p in taken),
        on_lost=lambda _, taken: told.loses(p.partition for p in taken),
    )
    while not stop.is_set():
        by_partition = {}
        for message in consumer.consume(500, 0.1):
            if message.error() is None:
                by_partition.setdefault(message.partition(), []).append(message.offset())
            elif not message.error().retriable():
                raise kafka.KafkaException(message.error())
        for partition, offsets in by_partition.items():
            told.read(partition, offsets[0], offsets[-1])
        if by_partition:
            try:
                consumer.commit(asynchronous=False)
            except kafka.KafkaException as error:
                told.commit_failed(error)
    consumer.close()


ASSIGNORS = {"range": "range", "cooperative": "cooperative-sticky"}


def _grouped(args, more=None):
    """A consumer in the group, which commits only when told to."""
    return kafka.Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "client.id": "interop-confluent",
            "group.id": args.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        | (more or {})
    )


def offsets(args, steps):
    _produce_timed(args)
    place = kafka.TopicPartition(args.topic, 0)
    with steps.step("commit"):
        consumer = _grouped(args)
        consumer.subscribe([args.topic])
        expect(_next(consumer).offset(), 0, "the first offset")
        noted = kafka.TopicPartition(args.topic, 0, 10, metadata=scenario.NOTE)
        consumer.commit(offsets=[noted], asynchronous=False)
    with steps.step("committed"):
        found = consumer.committed([place], 10)[0]
        expect((found.offset, found.metadata), (10, scenario.NOTE), "what is committed")
        consumer.close()
    with steps.step("resume"):
        consumer = _grouped(args)
        consumer.subscribe([args.topic])
        expect(_next(consumer).offset(), 10, "the first offset after the commit")
    with steps.step("seek"):
        consumer.seek(kafka.TopicPartition(args.topic, 0, 50))
        expect(_next(consumer).offset(), 50, "the offset after seek")
    with steps.step("seek_time"):
        when = scenario.TIMED_FROM_MS + 69_500
        found = consumer.offsets_for_times([kafka.TopicPartition(args.topic, 0, when)], 10)[0]
        expect(found.offset, 70, "the offset at that time")
        consumer.seek(found)
        expect(_next(consumer).value(), b"70", "the value at that time")
    with steps.step("pause"):
        consumer.pause([place])
        expect(consumer.poll(0.7), None, "what a paused partition gives")
        consumer.resume([place])
        expect(_next(consumer).offset(), 71, "the offset after the pause")
    consumer.close()


def _produce_timed(args):
    producer = kafka.Producer({"bootstrap.servers": args.bootstrap, "linger.ms": 5})
    for number in range(scenario.TIMED_RECORDS):
        at = scenario.TIMED_FROM_MS + number * 1000
        producer.produce(args.topic, str(number), partition=0, timestamp=at)
    expect(producer.flush(QUIET_MAX_S), 0, "records without an answer")


def _next(consumer):
    given_up_at = time.monotonic() + QUIET_MAX_S
    while time.monotonic() < given_up_at:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            return message
    raise AssertionError(f"no record within {QUIET_MAX_S} s")


def admin(args, steps):
    client = kafka_admin.AdminClient({"bootstrap.servers": args.bootstrap})
    done = lambda futures: [future.result(20) for future in futures.values()]  # noqa: E731
    new = kafka_admin.NewTopic(args.topic, 3, 1)
    with steps.step("create"):
        done(client.create_topics([new]))
    with steps.step("exists"):
        expect_error("TOPIC_ALREADY_EXISTS", lambda: done(client.create_topics([new])))
    names = lambda name: kafka.TopicCollection([name])  # noqa: E731
    with steps.step("describe"):
        found = done(client.describe_topics(names(args.topic)))[0]
        expect(len(found.partitions), 3, "the number of partitions")
    with steps.step("unknown"):
        ask = lambda: done(client.describe_topics(names(args.topic + "-absent")))  # noqa: E731
        expect_error("UNKNOWN_TOPIC_OR_PART", ask)
    resource = kafka_admin.ConfigResource(kafka_admin.ConfigResource.Type.TOPIC, args.topic)
    with steps.step("configs"):
        found = done(client.describe_configs([resource]))[0]["retention.ms"]
        expect((found.value, found.is_default), ("604800000", True), "retention.ms")
    with steps.step("alter"):
        change = kafka_admin.ConfigEntry(
            "retention.ms", "3600000", incremental_operation=kafka_admin.AlterConfigOpType.SET
        )
        altered = kafka_admin.ConfigResource(
            kafka_admin.ConfigResource.Type.TOPIC, args.topic, incremental_configs=[change]
        )
        done(client.incremental_alter_configs([altered]))
        found = lambda: done(client.describe_configs([resource]))[0]["retention.ms"]  # noqa: E731
        until(lambda: (found().value, found().is_default) == ("3600000", False), "the new value")
    with steps.step("grow"):
        done(client.create_partitions([kafka_admin.NewPartitions(args.topic, 5)]))
        found = lambda: done(client.describe_topics(names(args.topic)))[0]  # noqa: E731
        until(lambda: len(found().partitions) == 5, "five partitions")
    with steps.step("delete_records"):
        _produce_timed(args)
        done(client.delete_records([kafka.TopicPartition(args.topic, 0, 5)]))
        oldest = {kafka.TopicPartition(args.topic, 0): kafka_admin.OffsetSpec.earliest()}
        expect(done(client.list_offsets(oldest))[0].offset, 5, "the first offset")
    _admin_of_groups(args, steps, client, done)
    with steps.step("delete"):
        done(client.delete_topics([args.topic]))
        until(lambda: args.topic not in client.list_topics(timeout=10).topics, "the topic is gone")


def _admin_of_groups(args, steps, client, done):
    groups = lambda: client.list_consumer_groups().result(20).valid  # noqa: E731
    listed = lambda: [one.group_id for one in groups()]  # noqa: E731
    described = lambda: done(client.describe_consumer_groups([args.group]))[0]  # noqa: E731
    delete = lambda: done(client.delete_consumer_groups([args.group]))  # noqa: E731
    consumer = _grouped(args)
    consumer.subscribe([args.topic])
    expect(_next(consumer).offset(), 5, "the first offset that is left")
    consumer.commit(asynchronous=False)
    with steps.step("list_groups"):
        expect(args.group in listed(), True, "whether the group is listed")
    with steps.step("describe_group"):
        found = described()
        expect(found.state.name, "STABLE", "the state")
        clients = [one.client_id for one in found.members]
        expect(clients, ["interop-confluent"], "the members")
        owned = found.members[0].assignment.topic_partitions
        expect(sorted(one.partition for one in owned), list(range(5)), "what the member owns")
    with steps.step("delete_busy_group"):
        expect_error("NON_EMPTY_GROUP", delete)
        consumer.close()
    with steps.step("delete_group"):
        expect(described().state.name, "EMPTY", "the state")
        delete()
        expect(args.group in listed(), False, "whether the group is listed")


def version():
    return f"{kafka.__version__} librdkafka {kafka.libversion()[0]}"


if __name__ == "__main__":
    scenario.run("confluent", version(), produce, consume, member, offsets, admin)
