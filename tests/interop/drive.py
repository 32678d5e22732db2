"""The scenarios of groups and of administration, with one client at a time, against one broker.

What a group must do is checked here, from outside: by what each member says it owns and reads, and
by what the broker answers to requests that are written by hand. Four processes of three members
each make the group of twelve on twelve partitions; a process is a death that takes three.
"""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import clients
import scenario
import wire

PARTITIONS = 12
PROCESSES = 4
MEMBERS = 3
SESSION_MS = 6000
START_MAX_S = 40
# From the last heartbeat of a dead member to the group without it, above its session timeout:
# the expiry itself, one heartbeat interval of the others (1 s), and a machine that is busy.
DEATH_SLACK_S = 6
RECORDS = 2400

SCENARIOS = ("groups", "static", "cooperative", "offsets", "admin")


class DriveError(Exception):
    """The scenario did not go as it must; the text says what was different."""


def run(name, client, address, work):
    """Runs a scenario; returns what each step took, by name, or raises DriveError."""
    topic = f"{name}-{client.name}-{time.time_ns()}"
    if name in scenario.STEPS:
        return _scripted(name, client, address, topic)
    cooperative = name == "cooperative"
    with wire.Connection(*_split(address)) as connection:
        connection.create_topic(topic, PARTITIONS, {})
        group = Group(client, address, topic, connection, work, cooperative)
        try:
            return _static(group) if name == "static" else _life(group, cooperative)
        finally:
            group.end()


def _scripted(name, client, address, topic):
    if name == "offsets":
        with wire.Connection(*_split(address)) as connection:
            connection.create_topic(topic, 1, {})
    process = client.start(name, bootstrap=address, topic=topic, group=f"g-{topic}")
    try:
        result = client.result(process)
    finally:
        clients.end(process)
    wanted = [step for step in scenario.STEPS[name] if step not in client.lacks]
    if result["steps"] != wanted:
        raise DriveError(f"steps {result['steps']}, expected {wanted}")
    return {"all": result["seconds"]}


def _life(group, cooperative):
    """Join, read, leave, kill, rejoin, end; each partition has one owner after each."""
    took = {}
    group.produce()
    for _ in range(PROCESSES):
        group.start()
    took["join"] = group.settles(START_MAX_S, "joining")
    took["read"] = group.reads_all()
    group.stop(0)
    took["leave"] = group.settles(SESSION_MS / 1000 - 1, "leaving")
    kept = {who: owned for who, owned in group.owners().items() if len(owned) == 1}
    group.kill(1)
    took["kill"] = group.settles(SESSION_MS / 1000 + DEATH_SLACK_S, "a death")
    if took["kill"] < SESSION_MS / 1000 - 2:
        raise DriveError(f"members without a heartbeat for {took['kill']:.1f} s were given up")
    if cooperative and not kept:
        raise DriveError("no member kept a single partition over a leave")
    group.produce()
    took["read more"] = group.reads_all()
    group.start()
    group.start()
    took["rejoin"] = group.settles(START_MAX_S, "joining again")
    group.produce()
    group.reads_all()
    group.stop_all()
    group.has_committed_all()
    return took


def _static(group):
    """A static member that is killed and comes back within its session: nobody else notices."""
    took = {}
    group.produce()
    for number in range(PROCESSES):
        group.start(instance=f"static-{number}-")
    took["join"] = group.settles(START_MAX_S, "joining")
    group.reads_all()
    before = group.owners()
    quiet = group.events()
    group.kill(2)
    group.start(instance="static-2-", slot=2)
    took["back"] = group.settles(START_MAX_S, "coming back")
    if group.events(but=2) != quiet - group.told_by_dead:
        raise DriveError("the other members were rebalanced when a static member came back")
    if set(map(tuple, before.values())) != set(map(tuple, group.owners().values())):
        raise DriveError("a static member did not get its partitions back")
    group.produce()
    took["read"] = group.reads_all()
    group.stop_all()
    group.has_committed_all()
    return took


class Group:
    """The processes of one group, and what they have said so far."""

    def __init__(self, client, address, topic, connection, work, cooperative):
        self.client = client
        self.address = address
        self.topic = topic
        self.name = f"g-{topic}"
        self.told_by_dead = 0
        self._connection = connection
        self._records = pathlib.Path(work) / f"{topic}.tsv"
        self._assignor = "cooperative" if cooperative else "range"
        self._processes = {}
        self._lock = threading.Lock()
        self._owned = {}
        self._rebalances = {}
        self._seen = [set() for _ in range(PARTITIONS)]

    def produce(self):
        """The same records once more, by the same client."""
        if not self._records.exists():
            lines = "".join(f"key-{n % 97}\tvalue-{n}\n" for n in range(RECORDS))
            self._records.write_text(lines, encoding="utf-8")
        process = self.client.start(
            "produce", bootstrap=self.address, topic=self.topic, input=self._records
        )
        try:
            self.client.result(process)
        finally:
            clients.end(process)

    def start(self, instance="", slot=None):
        """One more process of members."""
        slot = len(self._rebalances) if slot is None else slot
        process = self.client.start(
            "member",
            bootstrap=self.address,
            topic=self.topic,
            group=self.name,
            count=MEMBERS,
            instance=instance,
            assignor=self._assignor,
            session=SESSION_MS,
        )
        errors = []
        readers = [
            threading.Thread(target=self._listen, args=(slot, process), daemon=True),
            threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True),
        ]
        with self._lock:
            self._rebalances.setdefault(slot, 0)
            self._processes[slot] = (process, readers, errors)
        for reader in readers:
            reader.start()

    def _listen(self, slot, process):
        """Takes in what one process says, until it ends."""
        for line in process.stdout:
            event = json.loads(line) if line.startswith('{"member"') else {}
            with self._lock:
                if self._processes[slot][0] is not process:
                    return
                if "owns" in event:
                    self._owned[slot, event["member"]] = event["owns"]
                    self._rebalances[slot] += 1
                if "read" in event:
                    partition, first, last = event["read"]
                    self._seen[partition].update(range(first, last + 1))

    def stop(self, slot):
        """SIGTERM: the members leave the group."""
        process, readers, errors = self._processes[slot]
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            raise DriveError("a process of members did not end within 30 s of SIGTERM") from None
        for reader in readers:
            reader.join(5)
        if code:
            raise DriveError(f"members ended with {code}: {''.join(errors)[-600:]}")
        self._forget(slot)

    def kill(self, slot):
        process = self._processes[slot][0]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.told_by_dead = self._rebalances[slot]
        self._forget(slot)

    def _forget(self, slot):
        with self._lock:
            del self._processes[slot]
            for who in [who for who in self._owned if who[0] == slot]:
                del self._owned[who]

    def stop_all(self):
        for slot in list(self._processes):
            self.stop(slot)

    def end(self):
        """Leaves no process behind, and no file."""
        for process, _, _ in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._records.unlink(missing_ok=True)

    def owners(self):
        with self._lock:
            return {who: list(owned) for who, owned in self._owned.items()}

    def events(self, but=None):
        """How often the members have been given or have lost partitions."""
        with self._lock:
            return sum(count for slot, count in self._rebalances.items() if slot != but)

    def settles(self, seconds, what):
        """Until every partition has one owner and the load is even; returns how long that took."""
        members = len(self._processes) * MEMBERS
        most = -(-PARTITIONS // members)
        since = time.monotonic()
        stable_from = None
        while True:
            owned = self.owners()
            held = sorted(partition for one in owned.values() for partition in one)
            even = all(len(one) <= most for one in owned.values()) and len(owned) == members
            now = time.monotonic()
            if held == list(range(PARTITIONS)) and even:
                stable_from = stable_from or now
                if now - stable_from > 0.5:
                    return round(stable_from - since, 2)
            else:
                stable_from = None
            self._check_alive()
            if now - since > seconds + 0.5:
                raise DriveError(f"after {what}, {seconds:.0f} s: {members} members own {owned}")
            time.sleep(0.02)

    def reads_all(self, seconds=20):
        """Until every record that is stored was read by some member."""
        ends = self._connection.end_offsets(self.topic, PARTITIONS)
        since = time.monotonic()
        while True:
            with self._lock:
                left = [
                    (partition, len(set(range(end)) - self._seen[partition]))
                    for partition, end in enumerate(ends)
                    if not self._seen[partition].issuperset(range(end))
                ]
            if not left:
                return round(time.monotonic() - since, 2)
            self._check_alive()
            if time.monotonic() - since > seconds:
                raise DriveError(f"(partition, records that nobody read): {left}")
            time.sleep(0.02)

    def has_committed_all(self):
        """After all have left, what the broker says is committed is the end of each partition."""
        ends = self._connection.end_offsets(self.topic, PARTITIONS)
        committed = self._connection.committed(self.name, self.topic, PARTITIONS)
        if committed != ends:
            raise DriveError(f"committed {committed}, but the ends are {ends}")

    def _check_alive(self):
        for process, readers, errors in self._processes.values():
            if process.poll() is not None:
                readers[1].join(2)
                said = "".join(errors)[-600:]
                raise DriveError(f"members ended by themselves ({process.returncode}): {said}")


def _split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)

