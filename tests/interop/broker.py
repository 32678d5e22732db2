"""The broker under test, as a process: started, killed, stopped, and always ended."""

import os
import signal
import socket
import subprocess
import time

READY_MAX_S = 60
STOP_MAX_S = 30
MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]
SASL = {"sasl.enabled.mechanisms": ",".join(MECHANISMS), "allow.plaintext.password": "true"}


class BrokerError(Exception):
    """The broker did not start, ended by itself, or did not stop."""


class Broker:
    """`BINARY serve --data-dir DIR --kafka HOST:PORT [--set NAME=VALUE]...`.

    Its log goes to one file for all starts. With `users`, names and their passwords, it lets in
    nobody else (SASL, in plain): they are made by `BINARY user add` before the first start.
    """

    def __init__(self, binary, data_dir, log_path, settings=None, port=None, users=None):
        self.binary = binary
        self.users = users or {}
        self.settings = settings or {}
        self.data_dir = data_dir
        self.log_path = log_path
        self.host = "127.0.0.1"
        self.port = port or _free_port()
        self._process = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        """Starts it on the same folder and port as before; returns the seconds until it listens."""
        listener, settings = self.address, self.settings
        if self.users:
            listener, settings = f"{listener},protocol=SASL_PLAINTEXT", settings | SASL
            self._add_users()
        command = [self.binary, "serve", "--data-dir", self.data_dir, "--kafka", listener]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        if self._listens():
            raise BrokerError(f"something listens on {self.address} already")
        started = time.monotonic()
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while not self._listens():
            self.check_alive()
            if time.monotonic() - started > READY_MAX_S:
                raise BrokerError(f"the broker does not listen after {READY_MAX_S} s")
            time.sleep(0.02)
        return time.monotonic() - started

    def _add_users(self):
        if os.path.exists(self.data_dir):
            return
        for name, password in self.users.items():
            command = [self.binary, "user", "add", name, "--data-dir", self.data_dir]
            subprocess.run(
                [os.fspath(word) for word in command], input=f"{password}\n", text=True, check=True
            )

    def running(self):
        return self._process is not None and self._process.poll() is None

    def check_alive(self):
        if self._process.poll() is not None:
            raise BrokerError(f"the broker ended by itself ({self._process.returncode})")

    def kill(self):
        """kill -9, then waits until the process is gone."""
        self.check_alive()
        self._process.kill()
        self._process.wait()

    def stop(self):
        """A clean end by SIGTERM. A JVM that ended cleanly gives 143."""
        self.check_alive()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            self.end()
            raise BrokerError(f"the broker did not stop within {STOP_MAX_S} s") from None
        if code not in (0, 143):
            raise BrokerError(f"the broker ended with {code} after SIGTERM")

    def end(self):
        """Leaves no process behind, however the run ended."""
        if self.running():
            self._process.kill()
            self._process.wait()

    def log_tail(self, lines=15):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def _listens(self):
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
            return True
        except OSError:
            return False


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
