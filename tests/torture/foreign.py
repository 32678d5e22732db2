#!/usr/bin/env python3
"""Foreign clients of one life of the torture: confluent-kafka, on librdkafka.

    foreign.py BOOTSTRAP FIRST_PROCESS GROUP TOPIC:PARTITIONS...

Four processes of a history, numbered from FIRST_PROCESS: an idempotent producer, one with acks=1,
and two members of the group number GROUP. It says `ready`, is told the time of the history in
microseconds, works until it is told `end`, and prints its operations as lines of JSON.

The time comes through a pipe, so each operation begins a little too early and ends a little too
late: that hides an anomaly of some microseconds and never makes one.
"""

import json
import random
import sys
import threading
import time

import confluent_kafka as kafka

MASK = (1 << 64) - 1
WAITING_MAX = 200
SURELY_NOT = {"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS"}


class Rng:
    """SplitMix64, as the test kit has it."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)


def payload(value):
    """The bytes of a record with this value: process/scene.rs has the same."""
    rng = Rng(value)
    kind = rng.bits() % 200
    more = 30_000 if kind == 0 else 2_000 if kind < 10 else rng.bits() % 150
    chunks = (more + 7) // 8
    return value.to_bytes(8, "big") + b"".join(rng.bits().to_bytes(8, "big") for _ in range(chunks))


class Scene:
    """The clock and the partitions of the history, and whether it is over."""

    def __init__(self, bootstrap, topics):
        self.bootstrap = bootstrap
        self.places = [(name, p) for name, count in topics for p in range(count)]
        self.index = {place: index for index, place in enumerate(self.places)}
        self.topics = [name for name, _ in topics]
        self.over = threading.Event()
        before = time.monotonic_ns()
        print("ready", flush=True)
        told = int(sys.stdin.readline())
        after = time.monotonic_ns()
        self.early_us, self.late_us = told - after // 1000, told - before // 1000 + 1

    def begun(self):
        return max(0, time.monotonic_ns() // 1000 + self.early_us)

    def ended(self):
        return time.monotonic_ns() // 1000 + self.late_us


def operation(process, start, end, result, steps):
    body = {"process": process, "start_us": start, "end_us": end, "result": result, "steps": steps}
    return {"operation": body}


def produce(scene, process, config, done):
    producer = kafka.Producer(
        {
            "bootstrap.servers": scene.bootstrap,
            "linger.ms": 2,
            "message.timeout.ms": 60_000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "retry.backoff.ms": 20,
        }
        | config
    )
    chance = random.Random(process)
    count = waiting = 0

    def answered(start, send):
        def told(error, message):
            nonlocal waiting
            waiting -= 1
            if error is None and message.offset() is not None:
                send["offset"] = message.offset()
            result = "info" if error else "ok"
            done.append(operation(process, start, scene.ended(), result, [{"send": send}]))

        return told

    while not scene.over.is_set():
        count += 1
        value = process << 40 | count
        place = chance.randrange(len(scene.places))
        topic, partition = scene.places[place]
        send = {"partition": place, "value": value, "offset": None}
        start = scene.begun()
        producer.produce(
            topic, payload(value), partition=partition, on_delivery=answered(start, send)
        )
        waiting += 1
        producer.poll(0.002 if count % 20 == 0 else 0)
        while waiting >= WAITING_MAX:
            producer.poll(0.05)
    if producer.flush(60):
        sys.exit(f"process {process}: {waiting} sends wait a minute after the end")


class Member:
    """A member of a group: its reads and commits."""

    def __init__(self, scene, process, group, done):
        self.scene, self.process, self.group, self.done = scene, process, group, done
        self.handed = {}
        self.reads = []
        self.start = scene.begun()
        self.consumer = kafka.Consumer(
            {
                "bootstrap.servers": scene.bootstrap,
                "group.id": f"group-{group}",
                "session.timeout.ms": 2_000,
                "heartbeat.interval.ms": 150,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
            }
        )
        self.consumer.subscribe(
            scene.topics, on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked
        )

    def note(self, start, result, steps):
        self.done.append(operation(self.process, start, self.scene.ended(), result, steps))

    def polled(self):
        self.note(self.start, "ok", [{"poll": self.reads}])
        self.reads = []
        self.start = self.scene.begun()

    def assigned(self, _, given):
        self.polled()
        self.handed.clear()
        places = [[self.scene.index[p.topic, p.partition], None] for p in given]
        self.note(self.start, "ok", [{"assign": places}])

    def revoked(self, consumer, _):
        self.assigned(consumer, [])

    def run(self):
        while not self.scene.over.is_set():
            self.start = self.scene.begun()
            for _ in range(100):
                message = self.consumer.poll(0.05)
                if message is None:
                    break
                if message.error() is None:
                    self.read(message)
            self.polled()
            if self.handed and random.random() < 0.3:
                self.commit()
        self.consumer.close()

    def read(self, message):
        place = self.scene.index[message.topic(), message.partition()]
        value = int.from_bytes(message.value()[:8], "big")
        if payload(value) != message.value():
            sys.exit(f"O11: nobody sent what was read from {message.topic()}@{message.offset()}")
        self.reads.append([place, message.offset(), value])
        self.handed[place] = message.offset() + 1

    def commit(self):
        asked = [
            kafka.TopicPartition(*self.scene.places[place], offset)
            for place, offset in self.handed.items()
        ]
        steps = [
            {"commit": {"group": self.group, "partition": place, "offset": offset}}
            for place, offset in self.handed.items()
        ]
        start = self.scene.begun()
        result = "ok"
        try:
            kept = self.consumer.commit(offsets=asked, asynchronous=False)
            if any(place.error for place in kept):
                result = "info"
        except kafka.KafkaException as error:
            result = "fail" if error.args[0].name() in SURELY_NOT else "info"
        self.note(start, result, steps)
        if result == "ok":
            self.handed.clear()


def main():
    bootstrap, first, group, *topics = sys.argv[1:]
    first, group = int(first), int(group)
    topics = [(name, int(count)) for name, count in (topic.split(":") for topic in topics)]
    scene = Scene(bootstrap, topics)
    done, failed = [], []

    def part(work):
        def run():
            try:
                work()
            except BaseException as error:  # the thread's last words
                failed.append(repr(error))

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    sure = {"acks": "all", "enable.idempotence": True}
    threads = [
        part(lambda: produce(scene, first, sure, done)),
        part(lambda: produce(scene, first + 1, {"acks": 1}, done)),
        part(lambda: Member(scene, first + 2, group, done).run()),
        part(lambda: Member(scene, first + 3, group, done).run()),
    ]
    sys.stdin.readline()
    scene.over.set()
    for thread in threads:
        thread.join()
    for line in done:
        print(json.dumps(line))
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
