"""What the clients written in Python share: their flags and their line of result."""

import argparse
import json
import time


def arguments():
    """The flags that every client's script takes; see the README for their meaning."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=("produce", "consume"))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--codec", default="none")
    parser.add_argument("--input", help="produce: the file of records")
    parser.add_argument("--digest", help="consume: where the digest's text goes")
    return parser.parse_args()


def run(client, version, produce, consume):
    """Runs the scenario that the flags name and prints its result as one line of JSON.

    `produce` returns a dict with `records`, `consume` a Digest with the sum of its gaps in offsets.
    """
    args = arguments()
    started = time.monotonic()
    if args.scenario == "produce":
        result = produce(args)
    else:
        digest, gaps = consume(args)
        result = digest.result() | {"offset_gaps": gaps}
        if args.digest:
            with open(args.digest, "w", encoding="utf-8") as out:
                out.write(digest.text())
    seconds = round(time.monotonic() - started, 2)
    head = {"client": client, "version": version, "scenario": args.scenario, "topic": args.topic}
    print(json.dumps(head | result | {"seconds": seconds}))


class Offsets:
    """Checks that each partition's offsets are 0, 1, 2, ... without a hole or a repetition."""

    def __init__(self, partitions):
        self._next = [0] * partitions
        self.gaps = 0

    def see(self, partition, offset):
        self.gaps += offset != self._next[partition]
        self._next[partition] = offset + 1
