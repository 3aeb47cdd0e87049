"""Calls to the disk that fail, once or for a time: the spool waits, and loses nothing."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.failing_calls import FailingCalls
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, run, start

TESTS = Path(__file__).parents[1]

LIVES = """
import collections, errno, os, shutil, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.failing_calls import CALLS, HALF, FailingCalls
from sovdev_logger._delivery.ledger import Ledger
from sovdev_logger._delivery.spool import reader, spool
from sovdev_logger._settings.delivery import SpoolSettings

spool._PAUSE_AFTER_FAILURE_SECONDS = 0.0
reader._MIN_PAUSE_SECONDS = reader._MAX_PAUSE_SECONDS = 0.0
MB = 1024 * 1024
failing = FailingCalls.of_this_program()
folder = Path("spool").absolute()


class Process:
    def __init__(self):
        self.ledger = Ledger()
        self.spool = spool.Spool(SpoolSettings(folder, MB), "log-entries", self.ledger)
        self.spool.recover()
        self.delivered = []

    def append(self, items, **options):
        # As the worker does: what is not written stays in memory, and is tried again.
        for _ in range(3):
            items = items[self.spool.append(items, b"context", **options) :]
        return items

    def deliver(self, count):
        for _ in range(count):
            for _ in range(3):
                taken = self.spool.take(10, MB)
                if taken is not None:
                    self.settle(taken)
                    break

    def settle(self, taken):
        count = len(taken.items)
        self.delivered += taken.items
        self.ledger.record(delivered=count, spooled=-count)
        self.spool.done(taken, count)

    def end(self):
        self.spool.close()
        assert not self.ledger.counts.dropped, self.ledger.counts
        assert self.ledger.counts.spooled >= 0, self.ledger.counts
        return self.ledger.counts


def numbered(start):
    return [b"item %d" % number for number in range(start, start + 10)]


def life():
    first = Process()
    left = first.append(numbered(10))
    left += first.append(numbered(20))
    left += first.append(numbered(0), in_front=True)
    held = first.spool.hold(numbered(30), b"context")
    if held is None:
        left += numbered(30)
    else:
        first.settle(held)
    first.deliver(1)
    first.spool.set_aside(b"rejected", ".pb")
    first.spool.forget_vanished()
    left += first.append(numbered(40))
    counts = first.end()
    return first.delivered, left, counts


def later_life(left):
    process = Process()
    process.deliver(20)
    counts = process.end()
    assert counts.recovered <= left, (left, counts)
    assert counts.delivered + counts.spooled == counts.recovered, counts
    return process.delivered, left - counts.recovered + counts.spooled + counts.repeated


def check(call, error, number, last, fails_later):
    shutil.rmtree(folder, ignore_errors=True)
    rule = failing.fail(call, folder, error, first=number, last=last)
    if fails_later:
        failing.stop()
    delivered, left, counts = life()
    on_disk = counts.spooled + counts.repeated
    if fails_later:
        rule = failing.fail(call, folder, error, first=number, last=last)
    elif last > number:
        failing.stop()
    found, on_disk = later_life(on_disk)
    failing.stop()
    again, on_disk = later_life(on_disk)
    assert on_disk == 0, on_disk
    seen = collections.Counter([*delivered, *left, *found, *again])
    assert set(seen) == {{b"item %d" % n for n in range(50)}}, sorted(seen)
    if last == number:  # a failure that passes repeats nothing
        assert max(seen.values()) == 1, seen
    Process().end()
    assert not list(folder.rglob("*.segment*")), list(folder.rglob("*"))
    # A folder that could not be removed goes with the next process: at most one is left.
    assert len(list(folder.glob("log-entries/*"))) <= 1, list(folder.rglob("*"))
    return failing.failed(rule)


lives = 0
for call in {calls}:
    for error in {errors}:
        for fails_later in (False, True):
            for is_lasting in (False, True):
                number = 1
                while True:
                    where = call, error, number, is_lasting, fails_later
                    try:
                        last = 10**9 if is_lasting else number
                        failed = check(call, error, number, last, fails_later)
                    except BaseException as problem:
                        raise AssertionError(where) from problem
                    lives += 1
                    if not failed:
                        break
                    number += {step}
print(lives)
"""


@pytest.mark.parametrize(
    "calls",
    [
        ("open", "close"),
        ("read", "write", "lseek", "ftruncate", "stat"),
        ("unlink", "rmdir", "mkdir", "rename", "opendir", "flock", "fsync", "chmod"),
    ],
)
def test_the_nth_call_fails(
    tmp_path: Path, failing: FailingCalls, calls: tuple[str, ...], sized: Callable[..., Any]
) -> None:
    """Let each call fail in each step of a spool's life, once and from then on."""
    errors, step = sized(
        ((errno.EIO,), 4),
        full=((errno.EIO, errno.EMFILE, errno.ESTALE, errno.EACCES, errno.ENOSPC), 1),
    )
    body = LIVES.format(tests=str(TESTS), calls=calls, errors=errors, step=step)
    out, _ = run(tmp_path, body, failing.variables(), timeout_seconds=280)
    assert int(out) > 4 * len(calls)


LOG_AND_SPOOL = """
for number in range({count}):
    log.sovdev_log("info", "f", f"number {{number}}", None)
log.sovdev_flush()
one = log.sovdev_status().outputs["otlp_logs"]
assert (one.spooled, one.dropped) == ({count}, 0), one
"""
FLUSH_ALL = """
deadline = time.monotonic() + 60
log.sovdev_flush()
while log.sovdev_status().outputs["otlp_logs"].spooled:
    assert time.monotonic() < deadline
    log.sovdev_flush()
"""
SHOW = """
one = log.sovdev_status().outputs["otlp_logs"]
print(one.logged, one.delivered, one.queued, one.spooled, dict(one.dropped_by_reason), flush=True)
"""


def say(process: Any, text: str = "") -> None:
    process.stdin.write(text + "\n")
    process.stdin.flush()


@breaks_with(a_read_that_fails_is_proof="{'spool unreadable'")
def test_descriptors_that_run_out_for_a_moment_cost_nothing(
    tmp_path: Path, sized: Callable[..., int]
) -> None:
    count = sized(5_000, full=20_000)
    body = (
        LOG_AND_SPOOL.format(count=count)
        + """
import resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
taken = []
try:
    while True: taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError: pass
print("none left", flush=True)
sys.stdin.readline()
log.sovdev_flush()
one = log.sovdev_status().outputs["otlp_logs"]
assert one.queued + one.spooled >= 2_500 and not one.dropped, one
for one in taken: os.close(one)
"""
        + FLUSH_ALL
        + SHOW
    )
    with OtlpReceiver() as receiver:
        receiver.respond_with(503)
        process = start(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_METRICS_EXPORTER="none",
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "none left\n"
        receiver.recover()
        out, err = finish(process, said="\n")
        assert out == f"{count} {count} 0 0 {{}}\n", out + err
        assert sorted(receiver.messages()) == sorted(f"number {n}" for n in range(count))
    assert err.count("cannot read log-entries in the spool") <= 1


@pytest.mark.parametrize(
    ("call", "number"),
    [
        pytest.param("read", errno.EIO, id="EIO"),
        pytest.param("open", errno.ESTALE, id="ESTALE"),
        pytest.param("open", errno.EACCES, id="EACCES"),
    ],
)
@pytest.mark.sized(least="full")
@breaks_with(a_read_that_fails_is_proof="the spool cannot be read")
def test_a_disk_that_cannot_be_read_for_a_while_costs_nothing(
    tmp_path: Path, failing: FailingCalls, call: str, number: int
) -> None:
    count = 2000
    body = (
        LOG_AND_SPOOL.format(count=count)
        + """
print("spooled", flush=True)
sys.stdin.readline()
log.sovdev_flush()
log.sovdev_log("info", "f", "meanwhile", None)
log.sovdev_flush()
one = log.sovdev_status().outputs["otlp_logs"]
print(one.delivered, one.spooled, one.last_error, flush=True)
sys.stdin.readline()
"""
        + FLUSH_ALL
        + SHOW
    )
    with OtlpReceiver() as receiver:
        receiver.respond_with(503)
        process = start(
            tmp_path,
            program(body),
            failing.variables(),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_METRICS_EXPORTER="none",
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "spooled\n"
        failing.fail(call, tmp_path / "spool" / "log-entries", number)
        receiver.recover()
        say(process)
        pending = process.stdout.readline()
        failing.stop()
        # Only the batch that was in memory to be sent next, and what was logged meanwhile, arrived.
        assert len(receiver.messages()) == 512 + 1, pending
        assert pending.startswith(f"513 {count - 512} the spool cannot be read: "), pending
        out, err = finish(process, said="\n")
        assert out == f"{count + 1} {count + 1} 0 0 {{}}\n", out + err
        assert len(set(receiver.event_ids())) == len(receiver.event_ids()) == count + 1
    assert err.count("cannot read log-entries in the spool") == 1


def test_what_cannot_be_recovered_now_is_recovered_later(
    tmp_path: Path, failing: FailingCalls
) -> None:
    run(tmp_path, program(LOG_AND_SPOOL.format(count=100)), {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "SOVDEV_EXIT_TIMEOUT_SECONDS": "0.5",
    })  # fmt: skip
    body = """
print("started", flush=True)
sys.stdin.readline()
deadline = time.monotonic() + 60
while log.sovdev_status().outputs["otlp_logs"].delivered < 100:
    assert time.monotonic() < deadline
    time.sleep(0.01)
"""
    for call in ("opendir", "read"):
        failing.fail(call, tmp_path / "spool" / "log-entries", errno.EMFILE, last=1)
    with OtlpReceiver() as receiver:
        process = start(
            tmp_path,
            program(body),
            failing.variables(),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        finish(process, said="\n")
        assert process.returncode == 0
        assert len(receiver.messages()) == 100
    assert [failing.failed(rule) for rule in range(2)] == [1, 1]


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOLCK,
        pytest.param(errno.EOPNOTSUPP, marks=pytest.mark.sized(least="full")),
        pytest.param(errno.ENOSYS, marks=pytest.mark.sized(least="full")),
    ],
)
@breaks_with(failed_folders_are_left="folders_left <= 1")
def test_a_file_system_without_locks(tmp_path: Path, failing: FailingCalls, number: int) -> None:
    body = """
from sovdev_logger._delivery.spool import spool
spool._PAUSE_AFTER_FAILURE_SECONDS = 0.01
log.sovdev_log("info", "f", "m", None)
log.sovdev_flush()  # which tries three times
one = log.sovdev_status().outputs["otlp_logs"]
assert (one.logged, one.queued, one.spooled, one.dropped) == (1, 1, 0, 0), one
print(len(os.listdir("spool/log-entries")), flush=True)
sys.stdin.readline()
log.sovdev_flush()
one = log.sovdev_status().outputs["otlp_logs"]
assert (one.logged, one.spooled) == (1, 1), one
"""
    failing.fail("flock", tmp_path / "spool", number)
    process = start(
        tmp_path,
        program(body),
        failing.variables(),
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_METRICS_EXPORTER="none",
        SOVDEV_EXIT_TIMEOUT_SECONDS="1",
    )
    assert process.stdout is not None
    folders_left = int(process.stdout.readline() or 100)
    failing.stop()
    _, err = finish(process, said="\n")
    assert folders_left <= 1
    assert process.returncode == 0, err
    assert err.count("does not lock files") == 1
    assert "local disk" in err
