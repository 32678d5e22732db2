#!/usr/bin/env python3
"""kcat, Debian's package on an old librdkafka: produces, and reads by assignment.

Null keys: a line without the delimiter is a record with a null key. Such records go anywhere
(`murmur2_random`); keyed ones where Java's default partitioner puts them. kcat counts nothing, so
the number of records sent is that of the lines; it exits with an error if one was not delivered.

It produces with many requests in flight and without idempotence, so a retry could change the order
within a key: retries are off, and a broker that makes one necessary fails the cell.
"""

import re
import subprocess
import sys

import flights
import scenario

KEY_DELIMITER = "\t"


def produce(args):
    command = [
        "kcat", "-P", "-b", args.bootstrap, "-t", args.topic, "-z", args.codec,
        "-K", KEY_DELIMITER, "-X", "topic.partitioner=murmur2_random", "-X", "acks=all",
        "-X", "retries=0", "-X", "linger.ms=5", "-l", args.input,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return {"records": sum(1 for _ in flights.records(args.input))}


def consume(args):
    """All partitions from the beginning; `-e` ends at the end of the last one."""
    command = [
        "kcat", "-C", "-b", args.bootstrap, "-t", args.topic, "-o", "beginning", "-e", "-q",
        "-X", "check.crcs=true", "-f", "%p %o %K %S\\n%k%s",
    ]  # fmt: skip
    digest = flights.Digest()
    offsets = scenario.Offsets(args.partitions)
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=1 << 20) as kcat:
        while header := kcat.stdout.readline():
            partition, offset, key_length, length = map(int, header.split())
            key = kcat.stdout.read(key_length) if key_length >= 0 else None
            offsets.see(partition, offset)
            digest.add(partition, key, kcat.stdout.read(length))
    if kcat.returncode:
        sys.exit(f"kcat ended with {kcat.returncode}")
    return digest, offsets.gaps


def version():
    said = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
    kcat = re.search(r"Version (\S+)", said)
    library = re.search(r"librdkafka (\S+)", said)
    return f"{kcat.group(1)} librdkafka {library.group(1)}" if kcat and library else "unknown"


if __name__ == "__main__":
    scenario.run("kcat", version(), produce, consume)
