"""The records of a run, and the digest by which what was written and what was read are compared.

A run's records stand in a text file, one a line: `key TAB value`, or `value` alone for a record
with a null key. JSON text holds no raw tab and no raw line end, so every client can read the file
without a parser, and the value's bytes are exactly those of the input's line.

The digest is a text with one line a key, in the order of the keys' bytes:

    k:KEY TAB partitions TAB count TAB sha256 of (length, value) of each value in order of offset
    null  TAB *          TAB count TAB sha256 of the sorted sha256s of the values

It is sensitive to the order within a key and to the partition of a key; not to the order between
keys, nor to where null keys went, for every client spreads those in its own way.
"""

import functools
import gzip
import hashlib
import json
import lzma

HASH_MASK = 0xFFFFFFFF


class Digest:
    """Takes the records of each partition in order of offset; gives the canonical digest."""

    def __init__(self):
        self.records = 0
        self.bytes = 0
        self._keys = {}
        self._null_values = []

    def add(self, partition, key, value):
        """`key` is bytes or None, `value` bytes; `partition` an int or the text of one."""
        self.records += 1
        self.bytes += len(value) + len(key or b"")
        if key is None:
            self._null_values.append(hashlib.sha256(value).digest())
            return
        entry = self._keys.get(key)
        if entry is None:
            entry = self._keys[key] = [{partition}, 0, hashlib.sha256()]
        entry[0].add(partition)
        entry[1] += 1
        entry[2].update(len(value).to_bytes(4, "big") + value)

    def text(self):
        lines = []
        for key in sorted(self._keys):
            partitions, count, values = self._keys[key]
            where = "+".join(str(p) for p in sorted(partitions))
            lines.append(f"k:{key.decode()}\t{where}\t{count}\t{values.hexdigest()}\n")
        if self._null_values:
            values = hashlib.sha256(b"".join(sorted(self._null_values)))
            lines.append(f"null\t*\t{len(self._null_values)}\t{values.hexdigest()}\n")
        return "".join(lines)

    def result(self):
        """What a reader's line of JSON says about what it read."""
        return {
            "records": self.records,
            "bytes": self.bytes,
            "keys": len(self._keys),
            "null_keys": len(self._null_values),
            "digest": hashlib.sha256(self.text().encode()).hexdigest(),
        }


def murmur2(data):
    """The hash of Java's default partitioner, as an unsigned 32-bit number."""
    m = 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & HASH_MASK
        k = (k ^ (k >> 24)) * m & HASH_MASK
        h = (h * m & HASH_MASK) ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & HASH_MASK
    h = (h ^ (h >> 13)) * m & HASH_MASK
    return h ^ (h >> 15)


@functools.lru_cache(maxsize=1 << 16)
def partition_of(key, partitions):
    """Where Java's default partitioner puts a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def records(path):
    """The records of a run's file: (key or None, value), both bytes."""
    with open(path, "rb") as lines:
        for line in lines:
            key, tab, value = line.rstrip(b"\n").partition(b"\t")
            yield (key, value) if tab else (None, key)


def prepare(source, key_field, count, target):
    """Writes a run's file from JSON lines (plain, .gz or .xz) and returns how many it wrote.

    `count` limits the records; None takes all. A key that is JSON's null stays a null key; one
    that is not a string is written as its JSON text.
    """
    open_source = {"gz": gzip.open, "xz": lzma.open}.get(source.rsplit(".", 1)[-1], open)
    written = 0
    with open_source(source, "rb") as lines, open(target, "wb") as out:
        for line in lines:
            if written == count:
                break
            value = line.rstrip(b"\r\n")
            if not value:
                continue
            out.write(_prefix(value, key_field, written + 1) + value + b"\n")
            written += 1
    return written


def _prefix(value, key_field, number):
    event = json.loads(value)
    if b"\t" in value or key_field not in event:
        raise ValueError(f"record {number} of the input has a raw tab or no field {key_field!r}")
    key = event[key_field]
    if key is None:
        return b""
    text = key if isinstance(key, str) else json.dumps(key)
    if not text or "\t" in text or "\n" in text:
        raise ValueError(f"record {number} of the input has a key that no line can hold: {text!r}")
    return text.encode() + b"\t"


def expected(path, partitions):
    """The digest that every reader must come to, computed from the input alone."""
    digest = Digest()
    for key, value in records(path):
        digest.add("*" if key is None else partition_of(key, partitions), key, value)
    return digest


def first_difference(expected_text, found_text):
    """One sentence on the first key in which two digests differ, or None."""
    wanted = {line.split("\t", 1)[0]: line for line in expected_text.splitlines()}
    found = {line.split("\t", 1)[0]: line for line in found_text.splitlines()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            want = wanted.get(key, f"{key}\tabsent").split("\t")[1:]
            have = found.get(key, f"{key}\tabsent").split("\t")[1:]
            return (
                f"{key}: expected partition, count, hash {' '.join(w[:12] for w in want)}, "
                f"read {' '.join(h[:12] for h in have)}"
            )
    return None
