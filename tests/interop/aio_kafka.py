#!/usr/bin/env python3
"""aiokafka from PyPI: produces (idempotent), reads by assignment, is a member of groups (eager,
static too), and administers as far as it has calls: it cannot delete groups.

Its default partitioner puts keyed records where Java's does, and null keys at random.
"""

import asyncio
import signal
import sys
import time

import aiokafka
from aiokafka import admin as kafka_admin
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

import flights
import scenario
from scenario import expect

QUIET_MAX_S = 30


def produce(args):
    return asyncio.run(_produce(args))


async def _produce(args):
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=args.bootstrap,
        client_id="interop-aiokafka",
        compression_type=None if args.codec == "none" else args.codec,
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=65536,
    )
    await producer.start()
    try:
        sent = [
            await producer.send(args.topic, value, key)
            for key, value in flights.records(args.input)
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return {"records": len(sent)}


def consume(args):
    return asyncio.run(_consume(args))


async def _consume(args):
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=args.bootstrap,
        client_id="interop-aiokafka",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    await consumer.start()
    try:
        partitions = [aiokafka.TopicPartition(args.topic, p) for p in range(args.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        left = {partition: end for partition, end in ends.items() if end}
        digest = flights.Digest()
        offsets = scenario.Offsets(args.partitions)
        while left:
            found = await consumer.getmany(timeout_ms=QUIET_MAX_S * 1000, max_records=5000)
            if not found:
                sys.exit(f"nothing for {QUIET_MAX_S} s")
            for place, records in found.items():
                for record in records:
                    offsets.see(record.partition, record.offset)
                    digest.add(record.partition, record.key, record.value)
                if records[-1].offset + 1 >= ends[place]:
                    left.pop(place, None)
    finally:
        await consumer.stop()
    return digest, offsets.gaps


class _Listener(aiokafka.ConsumerRebalanceListener):
    """Tells the driver; this client gives back everything first."""

    def __init__(self, told):
        self._told = told

    async def on_partitions_assigned(self, assigned):
        self._told.owns(one.partition for one in assigned)

    async def on_partitions_revoked(self, revoked):
        self._told.loses(one.partition for one in revoked)


def member(args):
    asyncio.run(_members(args))


async def _members(args):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    members = [scenario.Member(args, index) for index in range(args.count)]
    await asyncio.gather(*(_member(args, told, stop) for told in members))


async def _member(args, told, stop):
    consumer = _grouped(
        args,
        session_timeout_ms=args.session,
        heartbeat_interval_ms=1000,
        group_instance_id=told.instance,
    )
    consumer.subscribe([args.topic], listener=_Listener(told))
    await consumer.start()
    try:
        while not stop.is_set():
            found = await consumer.getmany(timeout_ms=100)
            for place, records in found.items():
                told.read(place.partition, records[0].offset, records[-1].offset)
            if found:
                try:
                    await consumer.commit()
                except KafkaError as error:
                    told.commit_failed(error)
    finally:
        await consumer.stop()


def _grouped(args, **more):
    """A consumer in the group, which commits only when told to."""
    return aiokafka.AIOKafkaConsumer(
        bootstrap_servers=args.bootstrap,
        client_id="interop-aiokafka",
        group_id=args.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **more,
    )


def offsets(args, steps):
    asyncio.run(_offsets(args, steps))


async def _offsets(args, steps):
    await _produce_timed(args)
    place = aiokafka.TopicPartition(args.topic, 0)
    with steps.step("commit"):
        consumer = await _started(args)
        expect((await _next(consumer)).offset, 0, "the first offset")
        await consumer.commit({place: aiokafka.structs.OffsetAndMetadata(10, scenario.NOTE)})
    with steps.step("committed"):
        expect(await consumer.committed(place), 10, "what is committed")
        client = await _administration(args)
        found = (await client.list_consumer_group_offsets(args.group))[place]
        expect((found.offset, found.metadata), (10, scenario.NOTE), "what is committed")
        await client.close()
        await consumer.stop()
    with steps.step("resume"):
        consumer = await _started(args)
        expect((await _next(consumer)).offset, 10, "the first offset after the commit")
    with steps.step("seek"):
        consumer.seek(place, 50)
        expect((await _next(consumer)).offset, 50, "the offset after seek")
    with steps.step("seek_time"):
        asked = {place: scenario.TIMED_FROM_MS + 69_500}
        found = (await consumer.offsets_for_times(asked))[place]
        expect(found.offset, 70, "the offset at that time")
        consumer.seek(place, found.offset)
        expect((await _next(consumer)).value, b"70", "the value at that time")
    with steps.step("pause"):
        consumer.pause(place)
        expect(await consumer.getmany(timeout_ms=700), {}, "what a paused partition gives")
        consumer.resume(place)
        expect((await _next(consumer)).offset, 71, "the offset after the pause")
    await consumer.stop()


async def _started(args):
    consumer = _grouped(args)
    consumer.subscribe([args.topic])
    await consumer.start()
    return consumer


async def _produce_timed(args):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=args.bootstrap, linger_ms=5)
    await producer.start()
    sent = []
    for number in range(scenario.TIMED_RECORDS):
        at = scenario.TIMED_FROM_MS + number * 1000
        sent.append(
            await producer.send(args.topic, str(number).encode(), partition=0, timestamp_ms=at)
        )
    await asyncio.gather(*sent)
    await producer.stop()


async def _next(consumer):
    return await asyncio.wait_for(consumer.getone(), QUIET_MAX_S)


async def _administration(args):
    client = kafka_admin.AIOKafkaAdminClient(bootstrap_servers=args.bootstrap)
    await client.start()
    return client


def admin(args, steps):
    asyncio.run(_admin(args, steps))


async def _admin(args, steps):
    client = await _administration(args)
    new = kafka_admin.NewTopic(args.topic, 3, 1)
    with steps.step("create"):
        expect(await _create(client, new), "NoError", "the error")
    with steps.step("exists"):
        expect(await _create(client, new), "TopicAlreadyExistsError", "the error")
    with steps.step("describe"):
        await _until(lambda: _partitions(client, args.topic, 3), "three partitions")
    with steps.step("unknown"):
        found = (await client.describe_topics([args.topic + "-absent"]))[0]
        expect(found["error_code"], 3, "the error")
    with steps.step("configs"):
        expect(await _retention(client, args.topic), "604800000", "retention.ms")
    with steps.step("alter"):
        change = {"retention.ms": "3600000"}
        await client.alter_configs([_topic_config(args.topic, change)])
        changed = lambda: _retention_is(client, args.topic, "3600000")  # noqa: E731
        await _until(changed, "the new value")
    with steps.step("grow"):
        await client.create_partitions({args.topic: kafka_admin.NewPartitions(5)})
        await _until(lambda: _partitions(client, args.topic, 5), "five partitions")
    with steps.step("delete_records"):
        await _produce_timed(args)
        place = aiokafka.TopicPartition(args.topic, 0)
        await client.delete_records({place: kafka_admin.RecordsToDelete(5)})
        consumer = await _started(args)
        expect((await consumer.beginning_offsets([place]))[place], 5, "the first offset")
    with steps.step("list_groups"):
        expect((await _next(consumer)).offset, 5, "the first offset that is left")
        listed = [group[0] for group in await client.list_consumer_groups()]
        expect(args.group in listed, True, "whether the group is listed")
    with steps.step("describe_group"):
        found = (await client.describe_consumer_groups([args.group]))[0].to_object()["groups"][0]
        expect(found["state"], "Stable", "the state")
        clients = [one["client_id"] for one in found["members"]]
        expect(clients, ["interop-aiokafka"], "the members")
    await consumer.stop()
    with steps.step("delete"):
        await client.delete_topics([args.topic])
        await _until(lambda: _is_gone(client, args.topic), "the topic is gone")
    await client.close()


async def _create(client, topic):
    answer = await client.create_topics([topic])
    return for_code(answer.topic_errors[0][1]).__name__


async def _partitions(client, topic, count):
    return len((await client.describe_topics([topic]))[0]["partitions"]) == count


def _topic_config(topic, configs=None):
    return ConfigResource(ConfigResourceType.TOPIC, topic, configs)


async def _retention(client, topic):
    answer = (await client.describe_configs([_topic_config(topic)]))[0]
    entries = answer.resources[0][4]
    return next(entry[1] for entry in entries if entry[0] == "retention.ms")


async def _retention_is(client, topic, value):
    return await _retention(client, topic) == value


async def _is_gone(client, topic):
    return topic not in await client.list_topics()


async def _until(condition, what, seconds=10):
    given_up_at = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > given_up_at:
            raise AssertionError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    scenario.run(
        "aiokafka", aiokafka.__version__, produce, consume, member, offsets, admin
    )
