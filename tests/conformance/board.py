"""The board: what each case did here and on the reference broker, and what it is held to.

`docs/results/conformance.tsv` is the board that is committed. A case that passes there must pass.
`reasons.tsv` says why a case is not run, or why it fails; no other case may fail.
"""

import dataclasses
import fnmatch
import json
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BOARD = ROOT / "docs/results/conformance.tsv"
REASONS = HERE / "reasons.tsv"
COLUMNS = ("suite", "case", "reference", "outcome", "seconds", "reason")


@dataclasses.dataclass
class Row:
    """One case. `reference` and `outcome`: pass, fail, skip, or `-` for never run."""

    suite: str
    case: str
    reference: str = "-"
    outcome: str = "-"
    seconds: str = "-"
    reason: str = ""

    @property
    def key(self):
        return (self.suite, self.case)


def load(path=BOARD):
    """The committed board, by suite and case."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise ValueError(f"{path} does not begin with the columns {', '.join(COLUMNS)}")
    rows = [Row(*line.split("\t")) for line in lines[1:]]
    return {row.key: row for row in rows}


def save(rows, path=BOARD):
    """Writes the board, sorted, so that a change of one case is one line."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(dataclasses.astuple(rows[key])) for key in sorted(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Reasons:
    """Why a case is out of scope (never run), or is known to fail or to skip itself."""

    KINDS = ("scope", "fail", "skip")

    def __init__(self, path=REASONS):
        self._entries = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            cells = line.split("\t")
            if len(cells) != 4 or cells[2] not in self.KINDS:
                kinds = ", ".join(self.KINDS)
                raise ValueError(f"{path}:{number}: not SUITE TAB CASE TAB {kinds} TAB REASON")
            self._entries.append(cells)

    def find(self, suite, case, kind):
        """The reason, or None. Suites and cases may be patterns, as of a shell."""
        for for_suite, for_case, for_kind, reason in self._entries:
            matches = fnmatch.fnmatchcase(suite, for_suite) and fnmatch.fnmatchcase(case, for_case)
            if matches and for_kind == kind:
                return reason
        return None

    def unused(self, keys):
        """Entries that no case has: the case was renamed, or is gone."""
        return [
            f"{for_suite} {for_case}"
            for for_suite, for_case, _, _ in self._entries
            if not any(
                fnmatch.fnmatchcase(suite, for_suite) and fnmatch.fnmatchcase(case, for_case)
                for suite, case in keys
            )
        ]


def verdict(row, committed, reasons):
    """What is wrong with a case that was run, as a sentence, or None."""
    was = committed.get(row.key)
    if row.outcome == "pass":
        return None
    if was is not None and was.outcome == "pass":
        return f"{row.suite} {row.case} passed before and does not any more: {row.reason}"
    if row.outcome == "skip" and reasons.find(row.suite, row.case, "scope"):
        return None
    if reasons.find(row.suite, row.case, row.outcome) is None:
        return f"{row.suite} {row.case} has the outcome {row.outcome} and no reason: {row.reason}"
    return None


class Ledger:
    """One line of JSON a case that ran; only appended to, so that a run can go on later."""

    def __init__(self, path):
        self._path = path
        self._rows = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # The line that a killed run was writing.
                self._rows[(entry["suite"], entry["case"], entry["identity"])] = entry

    def find(self, suite, case, identity):
        """The newest entry of the case under these conditions, or None."""
        return self._rows.get((suite, case, identity))

    def append(self, entry):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")
            out.flush()
            os.fsync(out.fileno())
