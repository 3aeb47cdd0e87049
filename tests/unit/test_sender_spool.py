"""A sender with a spool: what goes to disk when, and what comes back from it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger._delivery import backlog, batch_worker
from sovdev_logger._delivery import sender as sender_module
from sovdev_logger._delivery.backlog import BatchLimits
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.sender import BatchSender
from sovdev_logger._settings.delivery import DeliverySettings, SpoolSettings
from support.senders import DOWN, NO_PAUSE, Server, balance, wait_for

REFUSED = SendResult(payload_rejected=True, reason="HTTP 400")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def make(server: Server, tmp_path: Path) -> Iterator[Callable[..., BatchSender]]:
    made: list[BatchSender] = []

    def make_one(**options: int) -> BatchSender:
        delay = options.pop("delay_seconds", 600)
        max_bytes = options.pop("spool_max_bytes", 10_000_000)
        bounds = DeliverySettings(spool=SpoolSettings(tmp_path / "spool", max_bytes), **options)
        limits = BatchLimits(max_records=100, delay_seconds=delay)
        made.append(
            BatchSender("log entries", server, settings=bounds, limits=limits, backoff=NO_PAUSE)
        )
        return made[-1]

    yield make_one
    server.gate.set()
    server.default = None
    for sender in made:
        sender.close(5)


def put(sender: BatchSender, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        sender.put(b"%d" % number)


def numbers(server: Server) -> list[int]:
    return [int(item) for item in server.taken]


def fates(sender: BatchSender) -> tuple[int, int, int, int, int]:
    status = sender.status()
    assert balance(status)
    return status.logged, status.delivered, status.queued, status.spooled, status.dropped


def soon_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MAX_SECONDS_IN_MEMORY", 0.02)
    monkeypatch.setattr(backlog, "_SECONDS_TO_ANSWER", 0.01)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool").rglob("*.segment2"))


def test_what_fails_goes_to_disk_and_comes_back_in_order(
    make: Callable[..., BatchSender], server: Server, tmp_path: Path
) -> None:
    sender = make()
    server.default = DOWN
    put(sender, 350)
    assert sender.flush(10).spooled == 350
    assert fates(sender) == (350, 0, 0, 350, 0)
    server.default = None
    put(sender, 50, 350)
    assert sender.flush(10).delivered == 400
    assert numbers(server) == list(range(400))
    assert fates(sender) == (400, 400, 0, 0, 0)
    assert files(tmp_path) == []


def test_a_healthy_server_costs_no_disk(
    make: Callable[..., BatchSender], server: Server, tmp_path: Path
) -> None:
    sender = make()
    put(sender, 1000)
    sender.flush(10)
    assert fates(sender) == (1000, 1000, 0, 0, 0)
    assert not (tmp_path / "spool").exists()


def test_a_server_that_hangs_does_not_keep_what_waits_from_the_disk(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon_on_disk(monkeypatch)
    sender = make(delay_seconds=0.01)
    server.gate.clear()
    put(sender, 10)
    assert server.entered.wait(10)
    put(sender, 20, 10)
    wait_for(lambda: sender.status().spooled == 30)
    assert sender.status().queued == 0
    server.gate.set()
    wait_for(lambda: len(server.taken) == 30)
    assert numbers(server) == list(range(30))


def test_what_failed_goes_in_front_of_what_was_moved_meanwhile(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon_on_disk(monkeypatch)
    sender = make(delay_seconds=0.01)
    server.gate.clear()
    server.answers = [DOWN]
    put(sender, 10)
    assert server.entered.wait(10)
    put(sender, 20, 10)
    wait_for(lambda: sender.status().spooled == 30)
    server.gate.set()
    wait_for(lambda: len(server.taken) == 30)
    assert numbers(server) == list(range(30))


def test_the_next_sender_gets_what_one_left_in_order(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.gate.clear()
    put(sender, 100)
    request = sender.begin_flush(0.1)
    assert server.entered.wait(10)
    put(sender, 150, 100)
    sender.end_flush(request)
    sender.close(0.5)
    assert fates(sender) == (250, 0, 0, 250, 0)
    another_server = Server()
    another = BatchSender(
        "log entries", another_server, settings=sender._settings, backoff=NO_PAUSE
    )
    assert another.flush(10).delivered == 250
    assert numbers(another_server) == list(range(250))
    assert another.status().recovered == another.status().logged == 250
    another.close(5)


@pytest.mark.parametrize("poison", [{0}, {99}, {17, 18, 60}])
def test_a_batch_from_disk_is_halved_like_any_other(
    make: Callable[..., BatchSender], server: Server, tmp_path: Path, poison: set[int]
) -> None:
    sender = make()
    server.default = DOWN
    put(sender, 100)
    sender.flush(10)
    server.default = None
    server.refuse = lambda items: any(int(item) in poison for item in items)
    sender.flush(10)
    assert set(numbers(server)) == set(range(100)) - poison
    assert fates(sender) == (100, 100 - len(poison), 0, 0, len(poison))
    assert files(tmp_path) == []
    refused = [path.read_bytes() for path in (tmp_path / "spool" / "rejected").iterdir()]
    assert sorted(map(int, refused)) == sorted(poison)


@pytest.mark.parametrize("from_disk", [False, True])
@pytest.mark.parametrize("answered", range(8))
def test_closing_in_the_middle_of_halving_leaves_the_rest_to_the_next(
    make: Callable[..., BatchSender], server: Server, from_disk: bool, answered: int
) -> None:
    sender = make()
    if from_disk:
        server.default = DOWN
        put(sender, 8)
        sender.flush(10)
        server.default = None
    else:
        put(sender, 8)
    # 0..7 refused; 0..3 taken; 4..7 refused; 4, 5 taken; 6, 7 refused; 6 taken; 7 refused
    halving = [REFUSED, None, REFUSED, None, REFUSED, None, REFUSED]
    server.answers = [*halving[:answered]]
    server.default = DOWN
    sender.flush(10)
    sender.close(5)
    wait_for(lambda: not [t for t in threading.enumerate() if "export" in t.name])
    server.default = None
    another = BatchSender("log entries", server, settings=sender._settings, backoff=NO_PAUSE)
    another.flush(10)
    another.close(5)
    dropped = sender.status().dropped
    assert balance(sender.status())
    assert dropped == int(answered == 7)
    assert sorted(numbers(server)) == list(range(8 - dropped))


def test_a_queue_that_is_full_waits_for_the_disk(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(queue_max_records=50)
    server.gate.clear()
    put(sender, 5000)
    status = sender.status()
    assert balance(status)
    assert status.dropped == 0
    assert status.spooled >= 5000 - 50 - 100
    server.gate.set()
    sender.flush(20)
    assert numbers(server) == list(range(5000))


def hang_the_disk(sender: BatchSender, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let nothing be written to the spool until the event that is returned is set."""
    disk = threading.Event()
    assert sender._spool is not None
    append = sender._spool.append

    def hang(*arguments: object, **options: object) -> int:
        disk.wait(30)
        return append(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sender._spool, "append", hang)
    return disk


def test_a_disk_that_hangs_is_waited_for_once(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make(queue_max_records=50)
    disk = hang_the_disk(sender, monkeypatch)
    server.gate.clear()
    started = time.monotonic()
    put(sender, 2000)
    assert time.monotonic() - started < 5 * sender_module._MAX_WAIT_FOR_SPOOL_SECONDS
    assert sender.status().dropped_by_reason["queue full"] > 1000
    disk.set()
    server.gate.set()
    sender.flush(10)
    status = sender.status()
    assert balance(status)
    assert status.delivered + status.dropped == 2000


def test_a_disk_that_hung_is_waited_for_again_as_soon_as_it_takes_something(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_MAX_WAIT_FOR_SPOOL_SECONDS", 0.05)
    sender = make(queue_max_records=50)
    disk = hang_the_disk(sender, monkeypatch)
    server.gate.clear()
    put(sender, 500)
    dropped = sender.status().dropped
    assert dropped > 0
    monkeypatch.setattr(sender_module, "_MAX_WAIT_FOR_SPOOL_SECONDS", 30)
    disk.set()
    wait_for(lambda: len(sender._queue) <= 25)
    put(sender, 5000)
    assert sender.status().dropped == dropped
    server.gate.set()


def test_a_disk_that_refuses_leaves_it_in_memory(
    make: Callable[..., BatchSender],
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    sender = make()
    server.default = DOWN
    put(sender, 300)
    sender.flush(10)
    assert fates(sender) == (300, 0, 300, 0, 0)
    assert "cannot write to the spool" in capsys.readouterr().err
    server.default = None
    assert sender.flush(10).delivered == 300
    assert numbers(server) == list(range(300))


def test_a_disk_that_refuses_for_long_does_not_unbound_the_memory(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make(queue_max_records=500, delay_seconds=0.001)
    assert sender._spool is not None
    refusals: list[int] = []

    def refuse(items: list[bytes], context: object, **_: object) -> int:
        refusals.append(1)
        return 0

    monkeypatch.setattr(sender._spool, "append", refuse)
    server.default = DOWN
    for turn in range(40):
        put(sender, 200, turn * 200)
        sender.flush(0.2)
        status = sender.status()
        assert balance(status)
        # The queue, what failed, and what did not get to the disk.
        assert status.queued <= 500 + 100 + 100
    assert len(refusals) > 40
    server.default = None
    sender.flush(10)
    assert numbers(server) == sorted(numbers(server))
    status = sender.status()
    assert (status.queued, status.delivered + status.dropped) == (0, 8000)


def test_it_does_not_spin_while_it_waits(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon_on_disk(monkeypatch)
    steps: list[int] = []
    original = batch_worker.BatchWorker._step

    def step(self: batch_worker.BatchWorker, message: Any) -> None:
        steps.append(1)
        original(self, message)

    monkeypatch.setattr(batch_worker.BatchWorker, "_step", step)
    sender = make(delay_seconds=0.01, queue_max_bytes=1000)
    server.gate.clear()
    put(sender, 10)
    assert server.entered.wait(10)
    sender.put(b"x" * 2000)  # larger than the queue: it comes and goes
    put(sender, 20, 10)
    wait_for(lambda: sender.status().spooled == 31)
    before = len(steps)
    threading.Event().wait(0.5)
    assert len(steps) - before < 10


def test_a_retry_that_fills_the_spool_has_that_as_its_last_error(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon_on_disk(monkeypatch)
    server.default = SendResult(retryable=True, reason="HTTP 503", retry_after_seconds=300)
    server.gate.clear()
    sender = make(delay_seconds=0.01, spool_max_bytes=64 * 1024)
    sender.put(b"x" * 40_000)
    wait_for(server.entered.is_set)
    for _ in range(14):  # behind the first, whose request hangs
        sender.put(b"y" * 3_900)
    # The first is too large to be held by a spool of this size: it stays in memory.
    wait_for(lambda: sender.status().spooled == 14)
    server.gate.set()
    wait_for(lambda: not sender.status().healthy)
    wait_for(lambda: bool(sender.status().dropped))
    assert "spool full" in (sender.status().last_error or "")


def test_a_defect_while_the_spool_is_recovered_stops_no_delivery(
    make: Callable[..., BatchSender],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backlog.Backlog, "recover", fail)
    sender = make()
    put(sender, 10)
    assert sender.flush(10).delivered == 10
    assert "bug" in capsys.readouterr().err


def test_a_defect_at_the_end_leaves_the_rest_on_disk(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make()
    server.gate.clear()
    put(sender, 100)
    request = sender.begin_flush(0.1)
    assert server.entered.wait(10)
    sender.end_flush(request)
    put(sender, 50, 100)
    monkeypatch.setattr(backlog.Backlog, "spool_queue", fail)
    sender.close(2)
    assert fates(sender) == (150, 0, 0, 150, 0)


def fail(*_: object) -> None:
    raise ZeroDivisionError("a defect")
