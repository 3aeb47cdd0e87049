"""How many instructions one call of ours takes, as a guard against slow creep.

They are counted by valgrind and set against what the same interpreter needs to encode the same
entry with orjson and to write it, so that the figure holds for other builds, too. Unlike time it
is the same in each run. A change that is meant to need more sets the figure anew, and its commit
says what is bought with it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import unmeasured
from support.service import environment

TOLERANCE = 0.05
TIMES_FLOOR = {
    (3, 11): {"file": 3.97, "error": 10.7},
    (3, 12): {"file": 3.98, "error": 12.9},
    (3, 13): {"file": 4.05, "error": 12.7},
}
CALLS = 512

PROGRAM = """
import functools, gc, os, sys
import orjson
import sovdev_logger as log
from sovdev_logger._outputs import json_file

json_file._PATH_CHECK_INTERVAL_NS = 10**18  # it depends on the machine how often that is due
log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})
given = {"number": "971277882", "url": "https://data.example/971277882?expand=address", "n": 1}
answer = {"name": "Blåbær og bringebær i Bygdøy allé, 0257 Oslo", "ok": True, "staff": 512}
try:
    raise ValueError("no such company")
except ValueError as found:
    error = found
text = "1234567890abcdef1234567890abcdef"
floor_file = os.open("floor.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def nothing(_, number):
    pass

def floor(_, number):
    fields = {
        "timestamp": text, "level": "info", "service_name": "orders", "service_version": "1.0.0",
        "session_id": text, "peer_service": "SYS1", "function_name": "lookup",
        "log_type": "transaction", "message": "Looked up a company, and found it", "trace_id": text,
        "event_id": text, "input_json": given, "response_json": answer,
    }
    os.write(floor_file, orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE))

def file(_, number):
    log.sovdev_log("info", "lookup", "Looked up a company, and found it", "BRREG", given, answer)

def fails(_, number):
    log.sovdev_log("error", "lookup", "Looked it up, in vain", "BRREG", given, None, error)

function = {"nothing": nothing, "floor": floor, "file": file, "error": fails}[sys.argv[1]]
for number in range(300):  # until the interpreter has specialised what it runs
    function(None, number)
gc.disable()
functools.reduce(function, range(int(sys.argv[2])), None)  # what is counted
os._exit(0)
"""


def instructions(what: str, folder: Path) -> float:
    """Return how many instructions one call takes."""
    command = [
        *("valgrind", "--tool=callgrind", "--toggle-collect=functools_reduce"),
        f"--callgrind-out-file={os.devnull}",
        *(sys.executable, "-c", PROGRAM, what, str(CALLS)),
    ]
    finished = subprocess.run(
        command,
        env={**unmeasured(), **environment(folder), "PYTHONHASHSEED": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
    )
    collected = re.search(r"Collected : (\d+)", finished.stderr)
    assert collected, finished.stderr
    return int(collected[1]) / CALLS


@pytest.mark.sized(least="full")
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not on this machine")
def test_a_call_takes_no_more_instructions_than_it_did(tmp_path: Path) -> None:
    pytest.importorskip("sovdev_logger._safety.prefilter_scan", reason="no compiler")
    pytest.importorskip("orjson", reason="without it, each value is walked")
    expected = TIMES_FLOOR.get(sys.version_info[:2])
    if expected is None:
        pytest.skip("no figures for this interpreter yet")
    nothing = instructions("nothing", tmp_path)
    if not nothing:
        pytest.skip("this interpreter's build has no symbols to count by")
    floor = instructions("floor", tmp_path) - nothing
    found = {what: (instructions(what, tmp_path) - nothing) / floor for what in expected}
    assert found == pytest.approx(expected, rel=TOLERANCE)
