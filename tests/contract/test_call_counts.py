"""How many functions one call of ours calls, as a guard against a hot path that grows unnoticed.

Unlike time, the count is the same on every machine. A change that is meant to need more sets the
figure anew, and its commit says what is bought with it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import unmeasured
from support.service import environment

TOLERANCE = 2
UP_TO_3_13 = {
    "file": 34,
    "otlp": 93,
    "span": 47,
    "error": 116,
    "below": 1,
}
FROM_3_14_ON = {
    "file": 44,
    "otlp": 104,
    "span": 57,
    "error": 128,
    "below": 1,
}
"""A dict of plain values is tracked by the garbage collector, so each is looked at; and the
interpreter counts how a ``with`` enters and leaves a lock."""

COUNTS = FROM_3_14_ON if sys.version_info >= (3, 14) else UP_TO_3_13
"""The most that these interpreters need."""

PROGRAM = """
import json, sys
import sovdev_logger as log

log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})
given, answer = {"number": "971277882", "attempt": 1}, {"name": "Blåbær", "ok": True}
try:
    raise ValueError("no such company")
except ValueError as found:
    error = found
count = 0

def ordinary():
    log.sovdev_log("info", "lookup", "Company found", "BRREG", given, answer)

def fails():
    log.sovdev_log("error", "lookup", "Company found", "BRREG", given, answer, error)

def is_below():
    log.sovdev_log("trace", "lookup", "Company found", "BRREG", given, answer)

def note(frame, event, argument):
    global count
    count += event in {"call", "c_call"}

def count_calls(function):
    global count
    least = None
    for _ in range(20):  # the least: now and then a call makes ids or looks at the file's path
        count = 0
        sys.setprofile(note)
        function()
        sys.setprofile(None)
        least = count if least is None else min(count, least)
    return least - 2  # the function itself and setprofile

found = {"file": count_calls(ordinary), "error": count_calls(fails), "below": count_calls(is_below)}
with log.sovdev_start_span("work"):
    found["span"] = count_calls(ordinary)
print(json.dumps(found))
"""


def counts(folder: Path, **variables: str) -> dict[str, int]:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**unmeasured(), **environment(folder, SOVDEV_LOG_LEVEL="debug", **variables)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, int] = json.loads(finished.stdout)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The counts with the file alone, and of an ordinary call with OTLP, too."""
    pytest.importorskip("sovdev_logger._safety.prefilter_scan", reason="no compiler")
    pytest.importorskip("orjson", reason="without it, each value is walked")
    folder = tmp_path_factory.mktemp("counts")
    with OtlpReceiver() as receiver:
        with_otlp = counts(folder, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    return {**counts(folder), "otlp": with_otlp["file"]}


@pytest.mark.parametrize("what", COUNTS)
def test_a_call_needs_no_more_calls_than_it_did(found: dict[str, int], what: str) -> None:
    assert found[what] <= COUNTS[what] + TOLERANCE
    assert found[what] > COUNTS[what] * 0.8, "it needs far less now: set the figure anew"
