"""Six requests of the Kafka protocol by hand: what the drivers themselves must do and ask.

Independent of every client under test: topics are made and removed with it, and the codec of the
stored batches is read from their headers. All in versions that every broker of today knows and
that have no tagged fields: CreateTopics 2, DeleteTopics 1, Fetch 4, ListOffsets 1, OffsetFetch 1.
"""

import socket
import struct
import time

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

FETCH, LIST_OFFSETS, OFFSET_FETCH, CREATE_TOPICS, DELETE_TOPICS = 1, 2, 9, 19, 20
LATEST = -1
BATCH_HEADER_BYTES = 61
TIMEOUT_S = 30


class WireError(Exception):
    """The broker said no, or something that is not the protocol."""


class Connection:
    """One connection, one request at a time."""

    def __init__(self, host, port):
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self._correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def create_topic(self, name, partitions, configs):
        body = struct.pack(">i", 1) + _string(name) + struct.pack(">ihi", partitions, 1, 0)
        body += struct.pack(">i", len(configs))
        for key, value in configs.items():
            body += _string(key) + _string(value)
        body += struct.pack(">i?", TIMEOUT_S * 1000, False)
        answer = self._ask(CREATE_TOPICS, 2, body)
        _check(answer, f"the topic {name} was not created")
        self._wait_for(name, partitions)

    def delete_topic(self, name):
        body = struct.pack(">i", 1) + _string(name) + struct.pack(">i", TIMEOUT_S * 1000)
        answer = self._ask(DELETE_TOPICS, 1, body)
        _check(answer, f"the topic {name} was not deleted")

    def stored_codecs(self, topic, partitions, bytes_max=1 << 20):
        """Records by codec in the first megabyte of each partition, from the batches' headers."""
        counts = dict.fromkeys(CODECS, 0)
        for partition in range(partitions):
            for codec, records in _batches(self._fetch(topic, partition, bytes_max)):
                counts[codec] += records
        return {codec: records for codec, records in counts.items() if records}

    def end_offsets(self, topic, partitions):
        """The end of each partition."""
        body = struct.pack(">ii", -1, 1) + _string(topic) + struct.pack(">i", partitions)
        for partition in range(partitions):
            body += struct.pack(">iq", partition, LATEST)
        answer = self._ask(LIST_OFFSETS, 1, body)
        at = 4 + 4 + 2 + len(topic.encode()) + 4
        found = {}
        for partition, code, _, offset in struct.iter_unpack(">ihqq", answer[at:]):
            if code:
                raise WireError(f"no end of {topic}-{partition}: Kafka error {code}")
            found[partition] = offset
        return [found[partition] for partition in range(partitions)]

    def committed(self, group, topic, partitions):
        """The offset that the group has committed for each partition, -1 for none."""
        body = _string(group) + struct.pack(">i", 1) + _string(topic)
        body += struct.pack(f">i{partitions}i", partitions, *range(partitions))
        answer = self._ask(OFFSET_FETCH, 1, body)
        at = 4 + 4 + 2 + len(topic.encode()) + 4
        found = {}
        for _ in range(partitions):
            partition, offset, noted = struct.unpack_from(">iqh", answer, at)
            at += 14 + max(noted, 0)
            code = struct.unpack_from(">h", answer, at)[0]
            at += 2
            if code:
                raise WireError(f"no committed offset of {topic}-{partition}: Kafka error {code}")
            found[partition] = offset
        return [found[partition] for partition in range(partitions)]

    def _wait_for(self, topic, partitions):
        """Until every partition can be read: Kafka answers before its topic is there, and a
        producer that must then retry may change the order within a key."""
        given_up_at = time.monotonic() + TIMEOUT_S
        for partition in range(partitions):
            while True:
                try:
                    self._fetch(topic, partition, 1, max_wait_ms=0)
                    break
                except WireError:
                    if time.monotonic() > given_up_at:
                        raise
                    time.sleep(0.02)

    def _fetch(self, topic, partition, bytes_max, max_wait_ms=500):
        body = struct.pack(">iiiib", -1, max_wait_ms, 1, bytes_max, 0)
        body += struct.pack(">i", 1) + _string(topic)
        body += struct.pack(">iiqi", 1, partition, 0, bytes_max)
        answer = self._ask(FETCH, 4, body)
        at = _topic_answer(answer)
        _, _, code, _, _, aborted = struct.unpack_from(">iihqqi", answer, at)
        if code:
            raise WireError(f"fetching {topic}-{partition} failed: Kafka error {code}")
        at += 30 + 16 * max(aborted, 0)
        size = struct.unpack_from(">i", answer, at)[0]
        return answer[at + 4 : at + 4 + size]

    def _ask(self, key, version, body):
        self._correlation += 1
        frame = struct.pack(">hhi", key, version, self._correlation) + _string("matrix") + body
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", self._read(4))[0]
        answer = self._read(size)
        correlation = struct.unpack_from(">i", answer)[0]
        if correlation != self._correlation:
            raise WireError(f"answer {correlation} came to request {self._correlation}")
        return answer

    def _read(self, size):
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise WireError("the broker closed the connection")
            parts += part
        return bytes(parts)


def _string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def _check(answer, failure):
    code = struct.unpack_from(">h", answer, _topic_answer(answer))[0]
    if code:
        raise WireError(f"{failure}: Kafka error {code}")


def _topic_answer(answer):
    """The position after the one topic's name; correlation and throttle time come before it."""
    count, length = struct.unpack_from(">ih", answer, 8)
    if count != 1:
        raise WireError(f"one topic was asked for, {count} were answered")
    return 14 + length


def _batches(data):
    """(codec, records) of each batch whose header lies in `data`."""
    at = 0
    while at + BATCH_HEADER_BYTES <= len(data):
        _, length, _, magic, _, attributes = struct.unpack_from(">qiibIh", data, at)
        if magic != 2:
            raise WireError(f"a batch of magic {magic} is stored")
        records = struct.unpack_from(">i", data, at + 57)[0]
        yield CODECS[attributes & 7], records
        at += 12 + length
