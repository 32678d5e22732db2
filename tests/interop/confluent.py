#!/usr/bin/env python3
"""confluent-kafka from PyPI, on a current librdkafka: produces (idempotent), reads by assignment.

Null keys: sent with key None; they go anywhere (`murmur2_random`), keyed records where Java's
default partitioner puts them. The consumer needs a group's name but never joins: it is assigned
all partitions from their beginning, commits nothing, and stops at the end of the last one. A
broker without groups makes it log that it found no coordinator; that is no failure here.
"""

import sys

import confluent_kafka as kafka

import flights
import scenario

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


def version():
    return f"{kafka.__version__} librdkafka {kafka.libversion()[0]}"


if __name__ == "__main__":
    scenario.run("confluent", version(), produce, consume)
