"""Processes that are killed: what a call has returned for is in the file."""

import contextlib
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import breaks_with, finish, program, run, same, start
from support.service import strict_json

LOG_FOR_EVER = program(
    """
    for number in range(10_000_000):
        log.sovdev_log("info", "f", f"number {number}", None)
        os.write(1, f"{number}\\n".encode())
    """
)


def kill_while_logging(folder: Path, number: signal.Signals, after: int) -> None:
    """Kill a logging process once it has acknowledged ``after`` calls, and check its file."""
    folder.mkdir()
    process = start(folder, LOG_FOR_EVER)
    assert process.stdout is not None
    said = b""
    while said.count(b"\n") < after:
        more = os.read(process.stdout.fileno(), 4096)
        assert more, "the process ended by itself"
        said += more
    process.send_signal(number)
    while rest := os.read(process.stdout.fileno(), 65536):
        said += rest
    process.communicate(timeout=30)
    assert process.returncode == -number
    # Each number was said after its call had returned; the last one may be cut off.
    acknowledged = int(said.split(b"\n")[-2]) + 1
    # The system may cut off the very last write, of a call that had not returned.
    *whole, _torn = (folder / "dev.log").read_bytes().split(b"\n")
    messages = [strict_json(line.decode())["message"] for line in whole]
    assert same(messages[:acknowledged], [f"number {n}" for n in range(acknowledged)])


@breaks_with(
    file_loses_5_percent="same(messages[:acknowledged]",
    file_is_buffered="same(messages[:acknowledged]",
)
def test_sigkill_at_random_moments(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    moments = random.Random(seed)
    for attempt in range(kills):
        kill_while_logging(tmp_path / str(attempt), signal.SIGKILL, moments.randint(20, 2000))


@breaks_with(file_is_buffered="same(messages[:acknowledged]")
def test_sigterm_without_handlers(tmp_path: Path) -> None:
    for attempt in range(5):
        kill_while_logging(tmp_path / str(attempt), signal.SIGTERM, 50 + 37 * attempt)


KILLED_INSIDE_A_WRITE = """
import logging
output = next(one for one in logging.getLogger("orders").handlers if one.path.name == "{name}")
def write_half(descriptor, line):
    os.write(descriptor, line[: len(line) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
log.sovdev_log("error", "f", "whole", None)
output._write = write_half
log.sovdev_log("error", "f", "half", None)
"""


@breaks_with(half_a_line_is_not_looked_for='== ["whole", "first", "second"]')
@pytest.mark.parametrize("name", ["dev.log", "error.log"])
def test_the_next_process_begins_on_a_line_of_its_own(tmp_path: Path, name: str) -> None:
    process = start(tmp_path, program(KILLED_INSIDE_A_WRITE.format(name=name)))
    finish(process)
    assert process.returncode == -signal.SIGKILL
    out, _ = run(tmp_path, program(FIRST_AND_SECOND))
    assert out == "2 2 0\n2 2 0\n"
    lines = (tmp_path / name).read_bytes().splitlines()
    assert readable(lines) == ["whole", "first", "second"]
    assert len(lines) == 4  # no empty one


@breaks_with(half_a_line_is_not_looked_for="readable(lines) == [")
def test_a_process_beside_the_killed_one_goes_on_on_a_line_of_its_own(tmp_path: Path) -> None:
    body = 'log.sovdev_log("error", "f", "before", None)\nprint(flush=True)\nsys.stdin.readline()\n'
    beside = start(tmp_path, program(body + FIRST_AND_SECOND))
    assert beside.stdout is not None
    beside.stdout.readline()
    finish(start(tmp_path, program(KILLED_INSIDE_A_WRITE.format(name="dev.log"))))
    out, _ = finish(beside, said="\n")
    assert out == "3 3 0\n3 3 0\n"
    lines = (tmp_path / "dev.log").read_bytes().splitlines()
    assert readable(lines) == ["before", "whole", "first", "second"]
    assert len(lines) == 5


FIRST_AND_SECOND = """
for word in ("first", "second"): log.sovdev_log("error", "f", word, None)
for name in ("file", "error_file"):
    one = log.sovdev_status().outputs[name]
    print(one.logged, one.delivered, one.dropped)
"""


def readable(lines: list[bytes]) -> list[str]:
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(strict_json(line.decode())["message"])
    return found


@pytest.fixture
def kills(sized: Callable[..., int]) -> int:
    return sized(15, full=50, soak=200)
