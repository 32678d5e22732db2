"""The clients under test: how each is called, and whether its tool is here."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE / ".cache"
RUN_MAX_S = 600


class ClientError(Exception):
    """A client failed, hung, or printed no result."""


class Client:
    """One client. Each produces.

    `consumes` says whether it also reads everything, `drives` which of the scenarios of drive.py it
    plays, and `lacks` for which of their steps it has no call.
    """

    def __init__(self, name, command, needs, consumes=True, drives=(), lacks=(), environment=None):
        self.name = name
        self.consumes = consumes
        self.drives = drives
        self.lacks = lacks
        self._command = [os.fspath(word) for word in command]
        self._needs = needs
        self._environment = environment or {}

    def missing(self):
        """What is not there, or None."""
        for need in self._needs:
            if not (pathlib.Path(need).exists() or shutil.which(os.fspath(need))):
                return os.fspath(need)
        return None

    def start(self, scenario, **flags):
        """Starts a scenario; `result` waits for it."""
        command = [*self._command, scenario]
        for name, value in flags.items():
            command += [
                f"--{name}",
                os.fspath(value) if isinstance(value, os.PathLike) else str(value),
            ]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | self._environment,
            start_new_session=True,
        )

    def result(self, process):
        """The line of JSON that the client ends with, as a dict."""
        try:
            out, err = process.communicate(timeout=RUN_MAX_S)
        except subprocess.TimeoutExpired:
            end(process)
            raise ClientError(f"{self.name} did not end within {RUN_MAX_S} s") from None
        if process.returncode:
            tail = "\n".join((out + err).strip().splitlines()[-12:])
            raise ClientError(f"{self.name} ended with {process.returncode}:\n{tail}")
        try:
            return json.loads(out.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise ClientError(
                f"{self.name} printed no result: {out[-200:]!r} {err[-400:]!r}"
            ) from None


def end(process):
    """Ends a client with whatever it started: it leads a process group of its own."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.communicate()


def _java(name):
    """The Java client of one generation of Apache Kafka."""
    path = f"{CACHE / name / 'classes'}:{CACHE / name / 'lib'}/*"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return Client(
        name,
        ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", quiet, "-cp", path, "Interop"],
        ["java", CACHE / name / ".made-from"],
        drives=("groups", "static", "cooperative", "offsets", "admin"),
    )


def _go(name, program, drives):
    return Client(name, [CACHE / "go" / program], [CACHE / "go/.made-from"], drives=drives)


def all_clients():
    """By name, in the order of the table."""
    clients = [
        Client("kcat", [sys.executable, HERE / "kcat.py"], ["kcat"]),
        Client(
            "confluent",
            [CACHE / "venv/bin/python", HERE / "confluent.py"],
            [CACHE / "venv/.made-from"],
            drives=("groups", "static", "cooperative", "offsets", "admin"),
        ),
        Client(
            "kafka-python",
            [CACHE / "venv/bin/python", HERE / "kafka_python.py"],
            [CACHE / "venv/.made-from"],
            drives=("groups", "static", "cooperative", "offsets", "admin"),
        ),
        Client(
            "aiokafka",
            [CACHE / "venv/bin/python", HERE / "aio_kafka.py"],
            [CACHE / "venv/.made-from"],
            drives=("groups", "static", "offsets", "admin"),
            lacks=("delete_busy_group", "delete_group"),
        ),
        Client(
            "kafkajs",
            ["node", HERE / "kafkajs/client.js"],
            ["node", CACHE / "kafkajs/.made-from"],
            drives=("groups", "offsets", "admin"),
            environment={"NODE_PATH": os.fspath(CACHE / "kafkajs/node_modules")},
        ),
        _java("java"),
        _java("java39"),
        _go("franz-go", "franz", drives=("groups", "static", "cooperative", "offsets", "admin")),
        _go("sarama", "sarama", drives=("groups", "static", "offsets", "admin")),
    ]
    return {client.name: client for client in clients}
