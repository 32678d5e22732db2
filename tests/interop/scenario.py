"""What the clients written in Python share: their flags, their lines of result and of events."""

import argparse
import contextlib
import json
import signal
import sys
import threading
import time

SCENARIOS = ("produce", "consume", "member", "offsets", "admin")
# The steps of `offsets` and `admin`; a client says which of them it has no call for.
STEPS = {
    "offsets": ("commit", "committed", "resume", "seek", "seek_time", "pause"),
    "admin": (
        "create",
        "exists",
        "describe",
        "unknown",
        "configs",
        "alter",
        "grow",
        "delete_records",
        "list_groups",
        "describe_group",
        "delete_busy_group",
        "delete_group",
        "delete",
    ),
}
# `offsets` writes this many records into partition 0, a second apart.
TIMED_RECORDS = 100
TIMED_FROM_MS = 1_600_000_000_000
NOTE = "note-10"


def arguments():
    """The flags that every client's script takes; see the README for their meaning."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--codec", default="none")
    parser.add_argument("--input", help="produce: the file of records")
    parser.add_argument("--digest", help="consume: where the digest's text goes")
    parser.add_argument("--group", help="member, offsets, admin: the group")
    parser.add_argument("--count", type=int, default=3, help="member: how many in this process")
    parser.add_argument("--instance", default="", help="member: static members, by this prefix")
    parser.add_argument("--assignor", default="range", help="member: range or cooperative")
    parser.add_argument("--session", type=int, default=6000, help="member: the timeout in ms")
    return parser.parse_args()


def run(client, version, produce, consume, member=None, offsets=None, admin=None):
    """Runs the scenario that the flags name and prints its result as one line of JSON.

    `produce` returns a dict with `records`, `consume` a Digest with the sum of its gaps in offsets.
    `member` runs until SIGTERM and prints events; `offsets` and `admin` are given `Steps`.
    """
    args = arguments()
    started = time.monotonic()
    if args.scenario == "produce":
        result = produce(args)
    elif args.scenario == "consume":
        digest, gaps = consume(args)
        result = digest.result() | {"offset_gaps": gaps}
        if args.digest:
            with open(args.digest, "w", encoding="utf-8") as out:
                out.write(digest.text())
    elif args.scenario == "member":
        member(args)
        result = {}
    else:
        steps = Steps()
        {"offsets": offsets, "admin": admin}[args.scenario](args, steps)
        result = {"steps": steps.done}
    seconds = round(time.monotonic() - started, 2)
    head = {"client": client, "version": version, "scenario": args.scenario, "topic": args.topic}
    print(json.dumps(head | result | {"seconds": seconds}), flush=True)


class Offsets:
    """Checks that each partition's offsets are 0, 1, 2, ... without a hole or a repetition."""

    def __init__(self, partitions):
        self._next = [0] * partitions
        self.gaps = 0

    def see(self, partition, offset):
        self.gaps += offset != self._next[partition]
        self._next[partition] = offset + 1


class Steps:
    """The steps of a scenario, by name; the first that fails ends it."""

    def __init__(self):
        self.done = []

    @contextlib.contextmanager
    def step(self, name):
        try:
            yield
        except Exception as error:
            sys.exit(f"step {name}: {type(error).__name__}: {error}")
        self.done.append(name)


def expect(found, wanted, what):
    """An assertion that says what it found."""
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, expected {wanted!r}")


def expect_error(name, call):
    """The call must fail, and the failure must speak of this error of Kafka."""
    try:
        call()
    except Exception as error:
        if name.lower() not in f"{type(error).__name__} {error}".lower():
            raise
        return
    raise AssertionError(f"{name} was expected, and there was no error")


def until(condition, what, seconds=10):
    """Waits for a condition that another process brings about."""
    given_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > given_up_at:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Member:
    """What one member of a group tells the driver: one line of JSON an event."""

    _lock = threading.Lock()

    def __init__(self, args, index):
        self.instance = f"{args.instance}{index}" if args.instance else None
        self._index = index
        self._owned = set()

    def owns(self, partitions):
        self._owned = set(partitions)
        self._say(owns=sorted(self._owned))

    def gains(self, partitions):
        self.owns(self._owned | set(partitions))

    def loses(self, partitions):
        self.owns(self._owned - set(partitions))

    def read(self, partition, first, last):
        self._say(read=[partition, first, last])

    def commit_failed(self, error):
        self._say(commit_failed=f"{type(error).__name__}: {error}"[:200])

    def _say(self, **event):
        with self._lock:
            print(json.dumps({"member": self._index} | event), flush=True)


def run_members(args, member):
    """`member(args, Member, stop)` in a thread each; SIGTERM sets `stop`, and all must end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    failures = []

    def body(index):
        try:
            member(args, Member(args, index), stop)
        except Exception as error:
            failures.append(f"member {index}: {type(error).__name__}: {error}")
            stop.set()

    threads = [threading.Thread(target=body, args=(i,), daemon=True) for i in range(args.count)]
    for thread in threads:
        thread.start()
    while not stop.wait(0.1):
        pass
    for thread in threads:
        thread.join(20)
        if thread.is_alive():
            failures.append("a member did not end within 20 s")
    if failures:
        sys.exit("; ".join(failures))
