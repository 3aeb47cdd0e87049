"""Snapshots that are sent now and then."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.periodic import PeriodicSender
from sovdev_logger._delivery.results import SendResult
from support.senders import wait_for

DOWN = SendResult(retryable=True, reason="connection refused")


class Server:
    advice = "Check the server."
    context = b""
    suffix = ".pb"

    def __init__(self) -> None:
        self.snapshot: bytes | None = b"snapshot"
        self.taken: list[bytes] = []
        self.answers: list[SendResult] = []
        self.default = SendResult(delivered=1)
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)

    def produce(self) -> bytes | None:
        if self.error is not None:
            raise self.error
        return self.snapshot

    def close(self) -> None:
        pass

    def reset_after_fork(self) -> None:
        pass

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:
        return b"".join(items)

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:
        self.gate.wait(30)
        answer = self.answers.pop(0) if self.answers else self.default
        if answer.delivered:
            self.taken += items
        self.arrived.release()
        return answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def make(server: Server) -> Iterator[Callable[..., PeriodicSender]]:
    made: list[PeriodicSender] = []

    def make_one(interval_seconds: float = 600.0) -> PeriodicSender:
        no_pause = Backoff(uniform=lambda _low, _high: 0.0)
        made.append(
            PeriodicSender(
                "metrics",
                server.produce,
                server,
                interval_seconds=interval_seconds,
                backoff=no_pause,
            )
        )
        made[-1].start()
        return made[-1]

    yield make_one
    server.gate.set()
    for sender in made:
        sender.close(5)


def test_a_snapshot_goes_every_interval(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    make(0.01)
    for _ in range(3):
        assert server.arrived.acquire(timeout=10)


def test_a_flush_sends_one_now(make: Callable[..., PeriodicSender], server: Server) -> None:
    result = make().flush(10)
    assert (result.delivered, result.pending) == (1, 0)
    assert server.taken == [b"snapshot"]


def test_nothing_to_send_is_fine(make: Callable[..., PeriodicSender], server: Server) -> None:
    server.snapshot = None
    assert make().flush(10).pending == 0
    assert server.taken == []


def test_a_failed_snapshot_is_tried_again_within_the_flush(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    server.answers = [DOWN, DOWN]
    assert make().flush(10).delivered == 1


def test_after_three_attempts_the_next_snapshot_has_it(
    make: Callable[..., PeriodicSender], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.default = DOWN
    sender = make()
    for _ in range(3):
        result = sender.flush(10)
        assert (result.pending, result.reason, result.timed_out) == (1, "connection refused", False)
    server.default = SendResult(delivered=1)
    server.snapshot = b"the last"
    assert sender.flush(10).pending == 0
    assert capsys.readouterr().err.count("could not be delivered (connection refused)") == 1
    wait_for(lambda: not sender.open_count())
    assert server.taken[-1] == b"the last"
    assert len(server.taken) <= 2  # one may have been on its way
    status = sender.status()
    assert (status.logged, status.delivered, status.dropped) == (len(server.taken),) * 2 + (0,)


def test_a_server_that_asks_to_be_left_alone_is(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    server.answers = [SendResult(retryable=True, retry_after_seconds=60, reason="HTTP 429")] * 3
    assert make().flush(30).pending == 1
    assert len(server.answers) == 2


def test_a_refusal_is_told(make: Callable[..., PeriodicSender], server: Server) -> None:
    server.answers = [SendResult(rejected_count=1, reason="HTTP 401")]
    result = make().flush(10)
    assert (result.rejected, result.reason) == (1, "HTTP 401")


def test_a_flush_ends_at_its_deadline(make: Callable[..., PeriodicSender], server: Server) -> None:
    server.gate.clear()
    sender = make()
    started = time.monotonic()
    result = sender.flush(0.2)
    assert time.monotonic() - started < 5
    assert (result.timed_out, result.pending) == (True, 1)


def test_an_exception_is_a_failed_attempt(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    sender = make()
    server.error = ZeroDivisionError("oops")
    result = sender.flush(10)
    assert (result.rejected, result.reason) == (1, "ZeroDivisionError: oops")
    server.error = None
    assert sender.flush(10).delivered == 1
    status = sender.status()
    assert (status.logged, status.delivered, status.dropped) == (2, 1, 1)


def test_closing_twice_is_fine_and_later_flushes_do_nothing(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    sender = make()
    sender.close(10)
    sender.close(10)
    assert sender.flush(10).delivered == 0
    assert server.taken == [b"snapshot"]


def test_without_threads_a_flush_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", refuse)
    sender = PeriodicSender("metrics", server.produce, server)
    assert sender.flush(10).reason == "the interpreter is ending"


def test_no_interval_ends_during_a_flush(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    # Its export would supersede the one that the flush waits for, and be left behind at a close.
    made = numbered(server)
    server.gate.clear()
    sender = make(interval_seconds=0.001)
    wait_for(lambda: len(made) > 1)
    request = sender.begin_close(30)
    count = len(made)
    deadline = time.monotonic() + 0.1
    wait_for(lambda: len(made) > count + 5 or time.monotonic() > deadline)
    server.gate.set()
    sender.end_close(request, time.monotonic() + 30)
    assert server.taken[-1] == made[-1]
    assert sender.status().spooled == sender.status().queued == 0


def test_a_flush_waits_for_the_export_of_a_later_one_which_supersedes_its_own(
    make: Callable[..., PeriodicSender], server: Server
) -> None:
    made = numbered(server)
    server.gate.clear()  # the first is under way until all are made
    sender = make()
    requests = [sender.begin_flush(30) for _ in range(3)]
    wait_for(lambda: len(made) == 3)
    server.gate.set()
    for request in requests:
        sender.end_flush(request)
        assert server.taken == [b"0", b"2"]


def numbered(server: Server) -> list[bytes]:
    """Let each export of the server's sender be the next number, and return those made so far."""
    made: list[bytes] = []

    def produce() -> bytes:
        made.append(str(len(made)).encode())
        return made[-1]

    server.produce = produce  # type: ignore[method-assign]
    return made
