"""The suites: which cases each has, what broker it wants, and how one case is run."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import board

CACHE = pathlib.Path(os.environ.get("HW_CACHE", board.ROOT / "target/conformance"))
INTEROP = board.ROOT / "tests/interop"
SAID_MAX = 200
# The name and the password that the test of rskafka has in its source.
USERS = {"admin": "admin-secret"}

sys.path.insert(0, os.fspath(INTEROP))
import clients  # noqa: E402
import drive  # noqa: E402
import tools  # noqa: E402
import wire  # noqa: E402


class Suite:
    """One suite. A case gives `(outcome, reason)`; what it printed goes to `log`."""

    name = ""
    case_max_s = 180
    settings = {"group.initial.rebalance.delay.ms": "0"}
    # Where the broker listens; None for a free port.
    port = None
    # Cases, or tests of which they are parts, whose broker lets in nobody but USERS.
    with_users = ()

    def settings_of(self, case):
        """What the broker of a case must be set to."""
        return self.settings

    def users_of(self, case):
        """Whom the broker of a case lets in; all, if nobody is named."""
        return USERS if case.split("/")[0] in self.with_users else {}

    def identity(self):
        """What a result depends on besides the broker and the case."""
        return self.settings

    def missing(self):
        """What is not there, or None."""
        raise NotImplementedError

    def absent(self):
        """Parts of the suite that are not there, by name."""
        return []

    def cases(self):
        raise NotImplementedError

    def run(self, case, address, work, log):
        raise NotImplementedError

    def execute(self, command, environment, cwd, log):
        """The exit code, or None after too long a time. Whatever was started is gone then."""
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=os.environ | environment,
                start_new_session=True,
            )
            try:
                return process.wait(self.case_max_s)
            except subprocess.TimeoutExpired:
                return None
            finally:
                end_group(process)


def end_group(process):
    """Ends a case with all that it started: it leads a process group of its own."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait()


class Librdkafka(Suite):
    """librdkafka's own test runner, one of its tests at a time.

    Not in its quick mode, which leaves out most parts of many tests and calls them passed.
    """

    case_max_s = 600
    # Tests of many parts, each of which is a case of its own here: what the names of the parts
    # hold, or the source whose functions they are.
    parted = {
        "0055_producer_latency": (
            "standard settings",
            "low linger.ms (0ms)",
            "microsecond linger.ms (0.001ms)",
            "high linger.ms (3000ms)",
            "linger.ms < 1000 (500ms)",
            "no acks (0ms)",
            "idempotence (10ms)",
            "transactions (35ms)",
        ),
        "0061_consumer_lag": ("without transactions", "with transactions"),
        "0081_admin": "0081-admin.c",
        "0113_cooperative_rebalance": "0113-cooperative_rebalance.cpp",
        "0137_barrier_batch_consume": "0137-barrier_batch_consume.c",
        "0142_reauthentication": (
            "test consumer message loss while reauthenticating",
            "test producer message loss while reauthenticating",
            "test reauth in the middle of a txn, txn is committed",
            "test reauth in the middle of a txn, txn is aborted",
            "test reauthentication with oauthbearer",
            "test reauth failure with wrong credentials for reauth",
        ),
    }
    # Cases whose consumers must all be there before the first assignment.
    patient = {
        "0089_max_poll_interval",
        "0091_max_poll_interval_timeout",
        "0102_static_group_rebalance",
        "0113_cooperative_rebalance/l_unsubscribe",
        "0113_cooperative_rebalance/n_wildcard",
        "0113_cooperative_rebalance/t_max_poll_interval_exceeded",
        "0118_commit_rebalance",
    }

    with_users = {"0135_sasl_credentials", "0142_reauthentication"}

    def __init__(self, name, flags=None, scenario="default", auto_create=True):
        self.name = name
        self._flags = flags or []
        self._scenario = scenario
        self.settings = Suite.settings | {
            "num.partitions": "4",
            "auto.create.topics.enable": "true" if auto_create else "false",
        }
        self._tests = CACHE / "librdkafka/tests"

    def settings_of(self, case):
        settings = dict(self.settings)
        if case in self.patient:
            settings["group.initial.rebalance.delay.ms"] = "3000"
        if case.startswith("0142_reauthentication"):
            settings["connections.max.reauth.ms"] = "10000"
        return settings

    def identity(self):
        return [self.settings, self._flags, self._scenario]

    def missing(self):
        made = CACHE / "librdkafka/.made-from"
        return None if made.exists() else "librdkafka: run tests/conformance/install"

    def cases(self):
        """The tests that need a broker, of this scenario, out of the table in test.c."""
        table = (self._tests / "test.c").read_text(encoding="utf-8")
        for entry in table[table.index("struct test tests[]") :].split(" _TEST(")[1:]:
            name, rest = entry.split("{NULL}")[0].split(",", 1)
            scenario = re.search(r'\.scenario = "([^"]*)"', rest)
            scenarios = scenario[1].split(",") if scenario else ["default"]
            local = "TEST_F_LOCAL" in rest or "TEST_F_MANUAL" in rest
            if not local and self._scenario in scenarios:
                yield from self._parts(name)

    def _parts(self, name):
        if name not in self.parted:
            yield name
            return
        parts = self.parted[name]
        if isinstance(parts, tuple):
            yield from (f"{name}/{part}" for part in parts)
            return
        source = (self._tests / parts).read_text(encoding="utf-8")
        functions = re.split(r"\nstatic \w[\w\s*]*?\b(\w+)\s*\(", source)
        for function, body in zip(functions[1::2], functions[2::2]):
            if re.search(r"\bSUB_TEST(_QUICK)?\(", body):
                yield f"{name}/{function}"

    def run(self, case, address, work, log):
        conf, report = work / "test.conf", work / "report.json"
        self._write_conf(conf, case, address)
        case, _, part = case.partition("/")
        if isinstance(self.parted.get(case), str):
            part += ":"  # A function's name is followed by its line.
        report.unlink(missing_ok=True)
        libraries = CACHE / "librdkafka"
        environment = {
            "LD_LIBRARY_PATH": f"{libraries / 'src'}:{libraries / 'src-cpp'}",
            "RDKAFKA_TEST_CONF": os.fspath(conf),
            "TEST_KAFKA_VERSION": "4.0.0",
            "TEST_REPORT": os.fspath(report),
            "TESTS": case,
            **({"SUBTESTS": part} if part else {}),
            "KAFKA_PATH": os.fspath(kafka_path()),
            "BROKERS": address,
        }
        command = ["./test-runner", "-p1", "-L", "-s", self._scenario, *self._flags]
        code = self.execute(command, environment, self._tests, log)
        for stats in self._tests.glob(f"stats_{case}_*.json"):
            stats.unlink()
        outcome = self._outcome(case, code, report, log)
        if part and outcome[0] == "pass":
            return self._outcome_of_part(part, log)
        return outcome

    def _write_conf(self, path, case, address):
        settings = {"bootstrap.servers": address}
        for user, password in self.users_of(case).items():
            settings |= {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": user,
                "sasl.password": password,
            }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        path.write_text("".join(lines), encoding="utf-8")

    def _outcome_of_part(self, part, log):
        """The runner passes a test of which it ran no part."""
        said = log.read_text(encoding="utf-8", errors="replace")
        part = re.escape(part)
        if re.search(rf"\[ .*{part}.*: PASS \(", said):
            return "pass", ""
        return "skip", first_after(said, rf"\[ .*{part}.*: SKIP: (.*)\]", "it ran no part of it")

    def _outcome(self, case, code, report, log):
        said = log.read_text(encoding="utf-8", errors="replace")
        if code is None:
            return "fail", f"no end within {self.case_max_s} s"
        try:
            tests = json.loads(report.read_text(encoding="utf-8"))["tests"]
            states = {name: test["state"] for name, test in tests.items()}
            state = states[case]
        except (OSError, ValueError, KeyError):
            return "fail", last_words(said, f"no report, exit code {code}")
        if state == "PASSED":
            # Tests of one number can only be run together.
            good = code == 0 or not {"PASSED", "SKIPPED"}.issuperset(states.values())
            return ("pass", "") if good else ("fail", f"passed, then exit code {code}")
        if state == "SKIPPED":
            pattern = rf"\[{case} .*SKIPPING TEST: (.*)"
            return "skip", first_after(said, pattern, "skipped by itself")
        pattern = r"failed at (.*?) at .*?: ###\n(?:\x1b\[0m)?(.*)"
        found = re.search(pattern, said)
        return "fail", plain(f"{found[1]} {found[2]}" if found else last_words(said, state))


class RustTests(Suite):
    """The integration tests of a published crate: each test function is a case.

    Those of rdkafka expect broker 0 on Kafka's own port.
    """

    with_users = {"client::test_sasl"}
    # Counts on it that what it sends cannot be written within 100 ms, to a topic that is made for it.
    without_topics = {"test_low_producers::test_base_producer_timeout"}

    def __init__(self, name, settings, environment, port=None):
        self.name = name
        self.port = port
        self.settings = Suite.settings | settings
        self._environment = environment

    def identity(self):
        return [self.settings, self._environment]

    def missing(self):
        made = CACHE / self.name / ".made-from"
        return None if made.exists() else f"{self.name}: run tests/conformance/install"

    def settings_of(self, case):
        off = {"auto.create.topics.enable": "false"} if case in self.without_topics else {}
        return self.settings | off

    def cases(self):
        for program, path in self._programs().items():
            listed = subprocess.run(
                [path, "--list", "--format", "terse"], capture_output=True, text=True, check=True
            )
            for line in listed.stdout.splitlines():
                if line.endswith(": test"):
                    yield f"{program}::{line.removesuffix(': test')}"

    def _programs(self):
        lines = (CACHE / self.name / "programs").read_text(encoding="utf-8").splitlines()
        return dict(line.split("\t") for line in lines)

    def run(self, case, address, work, log):
        program, test = case.split("::", 1)
        environment = {
            name: value.replace("ADDRESS", address) for name, value in self._environment.items()
        }
        command = [self._programs()[program], "--exact", test, "--nocapture", "--test-threads=1"]
        code = self.execute(command, environment, CACHE / self.name, log)
        said = log.read_text(encoding="utf-8", errors="replace")
        if code is None:
            return "fail", f"no end within {self.case_max_s} s"
        if code or "test result: ok. 1 passed" not in said:
            found = re.search(r"panicked at ([^\n]*)\n([^\n]*)", said)
            return "fail", plain(f"{found[1]} {found[2]}" if found else last_words(said, "failed"))
        skipped = re.search(r"^(?:Skipping|skipping|SKIP).*$", said, re.MULTILINE)
        return ("skip", plain(skipped[0])) if skipped else ("pass", "")


class Scenarios(Suite):
    """Our scripts for foreign clients: each scenario of each client is a case."""

    name = "clients"
    settings = Suite.settings | {"auto.create.topics.enable": "false"}

    def identity(self):
        return [self.settings, hash_of(INTEROP)]

    def missing(self):
        return None

    def absent(self):
        """Clients that are not installed."""
        known = clients.all_clients().values()
        return [client.name for client in known if client.drives and client.missing()]

    def cases(self):
        for client in clients.all_clients().values():
            if not client.missing():
                yield from (f"{client.name}/{scenario}" for scenario in client.drives)

    def run(self, case, address, work, log):
        name, scenario = case.split("/")
        client = clients.all_clients()[name]
        try:
            took = drive.run(scenario, client, address, work)
        except (drive.DriveError, clients.ClientError, wire.WireError, OSError) as error:
            log.write_text(str(error), encoding="utf-8")
            return "fail", plain(str(error))
        log.write_text(json.dumps(took), encoding="utf-8")
        return "pass", ""


class Tools(Suite):
    """Apache Kafka's own command line tools, each with what it must print."""

    name = "tools"
    settings = Suite.settings | {"auto.create.topics.enable": "false"}

    def identity(self):
        return [self.settings, hash_of(INTEROP)]

    def missing(self):
        made = INTEROP / ".cache/java/.made-from"
        return None if made.exists() else "Java: run tests/interop/install java"

    def cases(self):
        return list(tools.CASES)

    def run(self, case, address, work, log):
        with open(log, "w", encoding="utf-8") as out:
            try:
                tools.run(case, address, work, out)
            except (tools.ToolError, OSError) as error:
                return "fail", plain(str(error))
        return "pass", ""


class Spring(Suite):
    """A small service as one writes it with Spring Boot."""

    name = "spring"
    settings = Suite.settings | {"auto.create.topics.enable": "false"}
    _made = INTEROP / ".cache/spring"

    def identity(self):
        return [self.settings, hash_of(INTEROP / "spring")]

    def missing(self):
        made = self._made / ".made-from"
        return None if made.exists() else "Spring: run tests/interop/install spring"

    def cases(self):
        return ["listener-and-dead-letters"]

    def run(self, case, address, work, log):
        path = f"{self._made / 'classes'}:{self._made / 'lib'}/*"
        words = {
            "spring.main.web-application-type": "none",
            "spring.kafka.bootstrap-servers": address,
            "spring.kafka.consumer.auto-offset-reset": "earliest",
            "spring.main.banner-mode": "off",
        }
        flags = [f"--{name}={value}" for name, value in words.items()]
        java = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", path]
        command = [*java, "shop.Service", *flags]
        code = self.execute(command, {}, work, log)
        said = log.read_text(encoding="utf-8", errors="replace")
        if code == 0 and "taken 500 of 500, refused 1 of 1" in said:
            return "pass", ""
        return "fail", last_words(said, f"exit code {code}")


def hash_of(folder):
    """Of everything in a folder that can change a result."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        hidden = any(part in (".cache", "__pycache__", "node_modules") for part in path.parts)
        if path.is_file() and not hidden and path.suffix != ".md":
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def kafka_path():
    """A folder laid out as Apache Kafka's distribution: our scripts, the jars of tests/interop."""
    folder = CACHE / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in (("bin", board.HERE / "kafka/bin"), ("libs", INTEROP / ".cache/java/lib")):
        if not (folder / name).exists():
            (folder / name).symlink_to(target)
    return folder


def first_after(said, pattern, otherwise):
    found = re.search(pattern, said)
    return plain(found[1]) if found else otherwise


def last_words(said, otherwise):
    lines = [line for line in said.splitlines() if line.strip()]
    return plain(f"{otherwise}: {lines[-1]}" if lines else otherwise)


def plain(text):
    """One line without colours and tabs, not too long."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return " ".join(text.split())[:SAID_MAX]


def all_suites():
    """By name, in the order of the board."""
    suites = [
        Librdkafka("librdkafka"),
        Librdkafka("librdkafka-idempotent", flags=["-P"]),
        Librdkafka("librdkafka-noautocreate", scenario="noautocreate", auto_create=False),
        RustTests(
            "rdkafka",
            {"num.partitions": "3", "auto.create.topics.enable": "true", "node.id": "0"},
            {"KAFKA_HOST": "ADDRESS", "KAFKA_VERSION": "4.0"},
            port=9092,
        ),
        RustTests(
            "rskafka",
            {"auto.create.topics.enable": "false"},
            {
                "TEST_INTEGRATION": "1",
                "TEST_BROKER_IMPL": "kafka",
                "TEST_JAVA_INTEROPT": "1",
                "KAFKA_CONNECT": "ADDRESS",
                "KAFKA_SASL_CONNECT": "ADDRESS",
            },
        ),
        Scenarios(),
        Tools(),
        Spring(),
    ]
    return {suite.name: suite for suite in suites}
