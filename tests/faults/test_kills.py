"""Processes that are killed: what a call has returned for is in the file."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import breaks_with, program, same, start
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


@pytest.fixture
def kills(sized: Callable[..., int]) -> int:
    return sized(15, full=50, soak=200)
