"""The queue and its sending thread: nothing vanishes, nobody waits longer than they asked."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sovdev_logger._delivery import worker_thread
from sovdev_logger._delivery.backlog import BatchLimits
from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.batch_worker import MAX_REJECTIONS_IN_A_ROW
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.sender import BatchSender
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._settings.delivery import DeliverySettings
from support.senders import DOWN, NO_PAUSE, Server, balance, counts, wait_for


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def make(server: Server) -> Iterator[Callable[..., BatchSender]]:
    made: list[BatchSender] = []

    def make_one(**options: object) -> BatchSender:
        names = ("max_records", "max_bytes", "delay_seconds")
        given = {n: options.pop(f"batch_{n}") for n in names if f"batch_{n}" in options}
        bounds = {
            n: options.pop(n) for n in ("queue_max_records", "queue_max_bytes") if n in options
        }
        options["settings"] = DeliverySettings(**bounds)  # type: ignore[arg-type]
        limits = BatchLimits(**{"delay_seconds": 600.0, **given})  # type: ignore[arg-type]
        options = {"backoff": NO_PAUSE, "limits": limits, **options}
        made.append(BatchSender("log entries", server, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make_one
    server.gate.set()
    server.default = None
    for sender in made:
        sender.close(5)


def test_a_flush_delivers_everything_in_order(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    items = [b"%d" % number for number in range(1300)]
    for item in items:
        sender.put(item)
    result = sender.flush(10)
    assert (result.pending, result.rejected, result.timed_out) == (0, 0, False)
    assert server.taken == items
    assert max(server.batches) <= 512
    assert counts(sender) == (1300, 1300, 0, {})


def test_a_full_batch_goes_at_once_and_a_small_one_after_the_delay(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(batch_max_records=10)
    for number in range(25):
        sender.put(b"%d" % number)
    wait_for(lambda: len(server.taken) == 20)
    soon = make(batch_delay_seconds=0.01)
    soon.put(b"soon")
    wait_for(lambda: b"soon" in server.taken)


def test_a_backlog_goes_without_a_pause_between_its_batches(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(batch_max_records=10, batch_delay_seconds=0.01)
    server.gate.clear()
    for number in range(200):
        sender.put(b"%d" % number)
    server.gate.set()
    wait_for(lambda: len(server.taken) == 200)


def test_a_batch_is_bounded_in_bytes(make: Callable[..., BatchSender], server: Server) -> None:
    sender = make(batch_max_bytes=100)
    for _ in range(10):
        sender.put(b"x" * 60)
    sender.flush(10)
    assert server.batches == [2] * 5


def test_a_flush_of_nothing_returns_at_once_without_a_thread(
    make: Callable[..., BatchSender],
) -> None:
    before = threading.active_count()
    result = make().flush(10)
    assert result.pending == 0
    assert threading.active_count() == before


def test_what_fails_is_sent_again_in_order(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(batch_max_records=2)
    server.answers = [DOWN, DOWN]
    for number in range(4):
        sender.put(b"%d" % number)
    assert sender.flush(10).pending == 0
    assert server.taken == [b"0", b"1", b"2", b"3"]


def test_without_a_flush_the_backoff_decides(
    make: Callable[..., BatchSender], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = make(batch_delay_seconds=0.01)
    server.answers = [DOWN] * 5
    sender.put(b"x")
    wait_for(lambda: server.taken == [b"x"])
    assert server.attempts == 6
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert "connection refused" in said


def test_a_flush_returns_early_when_the_server_does_not_answer(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(backoff=Backoff(0.05, uniform=lambda _low, high: high))
    server.default = DOWN
    for _ in range(7):
        sender.put(b"x")
    started = time.monotonic()
    result = sender.flush(60)
    assert time.monotonic() - started < 30
    assert (result.pending, result.reason, result.timed_out) == (7, "connection refused", False)
    assert server.attempts == worker_thread.MAX_FLUSH_ATTEMPTS
    assert sender.status().queued == 7
    server.default = None
    assert sender.flush(10).delivered == 7


def test_a_server_that_asks_to_be_left_alone_is(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.default = SendResult(retryable=True, retry_after_seconds=60, reason="HTTP 429")
    sender.put(b"x")
    started = time.monotonic()
    assert sender.flush(30).pending == 1
    sender.put(b"y")
    assert sender.flush(30).pending == 2
    assert time.monotonic() - started < 10
    assert server.attempts == 1
    server.default = None
    sender._worker._not_before = 0.0
    assert sender.flush(10).pending == 0
    assert server.taken == [b"x", b"y"]


def test_puts_do_not_shorten_the_pause_of_a_flush(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(batch_max_records=1, backoff=Backoff(0.1, 0.1, uniform=lambda _l, high: high))
    server.default = DOWN
    sender.put(b"x")
    request = sender.begin_flush(30)
    started = time.monotonic()
    while request.result is None:
        sender.put(b"y")
        time.sleep(0.001)  # the worker needs the interpreter, too
        assert time.monotonic() - started < 10
    assert time.monotonic() - started > 0.15


def test_a_refused_item_is_found_counted_and_said(
    make: Callable[..., BatchSender], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = make()
    server.refuse = lambda items: b"300" in items
    for number in range(512):
        sender.put(b"%d" % number)
    result = sender.flush(10)
    assert (result.delivered, result.rejected, result.pending) == (511, 1, 0)
    assert sorted(server.taken, key=int) == [b"%d" % n for n in range(512) if n != 300]
    assert counts(sender) == (512, 511, 0, {"refused: HTTP 400": 1})
    assert server.attempts <= 2 * 9 + 1
    assert "rejected 1 log entries (HTTP 400); they were dropped" in capsys.readouterr().err


def test_several_refused_items_in_one_batch_are_all_found(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    poison = {b"0", b"1", b"77", b"400", b"511"}
    server.refuse = lambda items: bool(poison & set(items))
    for number in range(1024):
        sender.put(b"%d" % number)
    sender.flush(10)
    assert set(server.taken) == {b"%d" % n for n in range(1024)} - poison
    assert counts(sender) == (1024, 1019, 0, {"refused: HTTP 400": 5})


def test_a_server_that_refuses_everything_is_not_asked_for_each_item(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.refuse = lambda items: True
    for number in range(1024):
        sender.put(b"%d" % number)
    sender.flush(10)
    assert counts(sender) == (1024, 0, 0, {"refused: HTTP 400": 1024})
    assert server.attempts == 2 * MAX_REJECTIONS_IN_A_ROW
    server.refuse = lambda items: False
    sender.put(b"later")
    assert sender.flush(10).delivered == 1


def test_a_server_that_is_down_between_two_halves(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.answers = [SendResult(payload_rejected=True, reason="HTTP 413"), DOWN, None, DOWN]
    for number in range(4):
        sender.put(b"%d" % number)
    assert sender.flush(10).delivered == 4
    assert server.taken == [b"0", b"1", b"2", b"3"]


def test_a_partial_success_is_counted_as_it_is(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.answers = [SendResult(delivered=3, rejected_count=2, reason="too old")]
    for _ in range(5):
        sender.put(b"x")
    sender.flush(10)
    assert counts(sender) == (5, 3, 0, {"refused: partial success": 2})


LIES = [-(2**70), -1, 0, 4, 6, 2**70]


@pytest.mark.parametrize("is_retryable", [False, True])
@pytest.mark.parametrize("delivered", LIES)
def test_whatever_a_server_counts_the_ledger_adds_up(
    make: Callable[..., BatchSender], server: Server, delivered: int, is_retryable: bool
) -> None:
    sender = make()
    settled = min(max(0, delivered), 5)
    server.answers = [
        SendResult(delivered, retryable=is_retryable, settled=is_retryable and settled)
    ]
    for _ in range(5):
        sender.put(b"x")
    sender.flush(10)
    logged, counted, queued, dropped = counts(sender)
    assert (logged, queued, counted + sum(dropped.values())) == (5, 0, 5)
    assert counted == (5 if is_retryable else settled)


@pytest.mark.parametrize("bound", [{"queue_max_records": 8}, {"queue_max_bytes": 80}])
def test_over_a_bound_the_oldest_go_and_are_counted(
    make: Callable[..., BatchSender],
    server: Server,
    bound: dict[str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sender = make(**bound)
    server.gate.clear()
    sender.put(b"y" * 10)
    flusher = threading.Thread(target=sender.flush, args=(10,))
    flusher.start()
    assert server.entered.wait(10)
    for number in range(25):
        sender.put(b"%010d" % number)
    assert counts(sender)[3] == {"queue full": 18}  # an eighth is for warn and above
    server.gate.set()
    flusher.join(10)
    sender.flush(10)
    assert server.taken[1:] == [b"%010d" % number for number in range(18, 25)]
    assert balance(sender.status())
    assert capsys.readouterr().err.count("is full and the oldest of the lowest severity") == 1


def test_the_lowest_severity_goes_first_and_the_order_stays(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(queue_max_records=80)
    server.gate.clear()
    sender.put(b"in flight")
    sender.start()
    request = sender.begin_flush(10)
    assert server.entered.wait(10)
    severities = {"debug": 5, "info": 9, "warn": 13, "error": 17}
    for number in range(40):
        for name, severity in severities.items():
            sender.put(b"%s %d" % (name.encode(), number), severity)
    assert counts(sender)[3] == {"queue full": 80}
    server.gate.set()
    sender.end_flush(request)
    sender.flush(10)
    kept = [item.decode() for item in server.taken[1:]]
    assert kept == [f"{name} {number}" for number in range(40) for name in ("warn", "error")]


def test_ordinary_items_leave_room_for_warnings(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(queue_max_records=80)
    server.gate.clear()
    sender.put(b"in flight")
    request = sender.begin_flush(10)
    assert server.entered.wait(10)
    for number in range(200):
        sender.put(b"info %d" % number)
    assert sender.status().queued == 1 + 70
    for number in range(10):
        sender.put(b"warn %d" % number, 13)
    assert sender.status().queued == 1 + 80
    sender.put(b"trace", 1)
    assert sender.status().queued == 1 + 80
    assert counts(sender)[3] == {"queue full": 130 + 1}
    server.gate.set()
    sender.end_flush(request)
    sender.flush(10)
    assert sum(item.startswith(b"warn") for item in server.taken) == 10


def test_an_item_larger_than_the_queue_is_dropped_and_counted(
    make: Callable[..., BatchSender],
) -> None:
    sender = make(queue_max_bytes=100)
    sender.put(b"x" * 1000)
    assert counts(sender)[3] == {"queue full": 1}


def test_a_flush_ends_at_its_deadline_whatever_the_server_does(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.gate.clear()
    sender.put(b"x")
    started = time.monotonic()
    result = sender.flush(0.2)
    assert 0.15 < time.monotonic() - started < 5
    assert (result.timed_out, result.pending) == (True, 1)
    server.gate.set()
    assert sender.flush(10).pending == 0


def test_several_threads_share_a_flush(make: Callable[..., BatchSender], server: Server) -> None:
    sender = make()
    server.gate.clear()
    for _ in range(100):
        sender.put(b"x")
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(sender.flush(10).pending)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert server.entered.wait(10)
    server.gate.set()
    for thread in threads:
        thread.join(10)
    assert results == [0] * 8
    assert server.attempts == 1


def test_a_flush_in_a_signal_handler_that_interrupts_a_flush(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.gate.clear()
    results: list[int] = []

    def handler(*_: object) -> None:
        server.gate.set()
        sender.put(b"from the handler")
        results.append(sender.flush(10).pending)

    before = signal.signal(signal.SIGUSR1, handler)
    sender.put(b"x")
    sender_pid = os.getpid()

    def interrupt() -> None:
        server.entered.wait(10)
        os.kill(sender_pid, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        results.append(sender.flush(10).pending)
    finally:
        thread.join(10)
        signal.signal(signal.SIGUSR1, before)
    assert results == [0, 0]
    assert server.taken == [b"x", b"from the handler"]


def test_what_is_put_while_flushing_does_not_prolong_it(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(batch_max_records=1)
    server.gate.clear()
    sender.put(b"before")
    request = sender.begin_flush(10)
    assert server.entered.wait(10)
    for _ in range(1000):
        sender.put(b"after")
    server.gate.set()
    assert sender.end_flush(request).pending == 0
    assert server.taken[0] == b"before"


def test_an_exception_in_the_transport_is_a_failed_attempt(
    make: Callable[..., BatchSender], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = make()
    server.answers = [ZeroDivisionError("oops")]
    sender.put(b"x")
    assert sender.flush(10).pending == 0
    assert server.taken == [b"x"]
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_closing_delivers_ends_the_thread_and_counts_what_comes_later(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    sender.put(b"x")
    sender.close(10)
    sender.close(10)
    sender.put(b"late")
    assert server.taken == [b"x"]
    assert counts(sender) == (2, 1, 0, {"closed": 1})
    assert not [t for t in threading.enumerate() if t.name == "sovdev-log-entries"]


def test_closing_while_the_server_hangs_ends_at_the_deadline(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.gate.clear()
    sender.put(b"x")
    started = time.monotonic()
    assert sender.close(0.2).timed_out
    assert time.monotonic() - started < 5


def test_a_closing_that_arrives_during_a_flush_waits_for_it(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.gate.clear()
    sender.put(b"x")
    request = sender.begin_flush(10)
    assert server.entered.wait(10)
    closer = threading.Thread(target=sender.close, args=(10,))
    closer.start()
    server.gate.set()
    closer.join(10)
    assert sender.end_flush(request).pending == 0
    assert server.taken == [b"x"]


def test_without_threads_everything_stays_queued(
    make: Callable[..., BatchSender], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        sender = make()
        sender.put(b"x")
        assert sender.flush(10).pending == 1
    assert sender.flush(10).pending == 0
    assert server.taken == [b"x"]


def test_the_counts_add_up_at_every_moment(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make(queue_max_records=200, batch_max_records=16, batch_delay_seconds=0.001)
    stop = threading.Event()
    wrong: list[OutputStatus] = []

    def look() -> None:
        while not stop.is_set():
            status = sender.status()
            if not balance(status):
                wrong.append(status)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(20_000):
        sender.put(b"%d" % number)
    sender.flush(10)
    stop.set()
    watcher.join(10)
    assert wrong == []
    status = sender.status()
    assert (status.logged, status.queued) == (20_000, 0)
    assert status.delivered == len(server.taken)


def test_a_forked_child_starts_empty_and_sends_its_own(server: Server) -> None:
    sender = BatchSender("log entries", server, limits=BatchLimits(delay_seconds=600))
    sender.put(b"the parent's")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        sender.reset_after_fork()
        sender.put(b"the child's")
        sender.flush(10)
        os.write(writer, b",".join(server.taken))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1000) == b"the child's"
    os.close(reader)
    os.close(writer)
    sender.close(10)
    assert server.taken == [b"the parent's"]


def test_a_flush_that_another_thread_waits_for_is_answered_when_the_sender_closes(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    server.default = DOWN
    server.gate.clear()
    sender.put(b"x")
    request = sender.begin_flush(60)
    assert server.entered.wait(10)
    started = time.monotonic()
    sender.close(0.5)
    result = sender.end_flush(request)
    assert time.monotonic() - started < 10
    assert (result.delivered, result.rejected) == (0, 1)
    assert counts(sender) == (1, 0, 0, {"not sent before the end": 1})


def test_a_defect_in_the_thread_is_said_counted_and_survived(
    make: Callable[..., BatchSender],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sender = make()
    original = sender._worker._handle_result
    failures = [1]

    def deal_with(batch: object, result: SendResult) -> None:
        if failures and failures.pop():
            raise ZeroDivisionError
        original(batch, result)  # type: ignore[arg-type]

    monkeypatch.setattr(sender._worker, "_handle_result", deal_with)
    sender.put(b"x")
    assert sender.flush(10).rejected == 1
    sender.put(b"y")
    assert sender.flush(10).delivered == 1
    assert counts(sender) == (2, 1, 0, {"defect: ZeroDivisionError": 1})
    assert "please report it" in capsys.readouterr().err


def test_what_has_its_fate_already_is_not_sent_again(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    items = [b"%d" % number for number in range(10)]
    for item in items:
        sender.put(item)
    server.answers = [SendResult(delivered=3, settled=4, retryable=True, reason="broken")]
    sender.flush(10)
    assert server.taken == items[:3] + items[4:]
    assert counts(sender) == (10, 9, 0, {"refused: rejected": 1})


def test_what_may_have_arrived_is_counted_as_repeated(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    for number in range(10):
        sender.put(b"%d" % number)
    lost = SendResult(settled=4, delivered=4, retryable=True, reason="x", may_have_arrived=True)
    server.answers = [lost, DOWN]
    sender.flush(10)
    assert sender.status().repeated == 6
    assert counts(sender) == (10, 10, 0, {})


def test_the_oldest_go_where_another_bound_is_kept(
    make: Callable[..., BatchSender], server: Server
) -> None:
    sender = make()
    for number in range(10):
        sender.put(b"%d" % number)
        sender.drop_oldest_beyond(4)
    sender.drop_oldest_beyond(0)
    assert (sender.open_count(), sender.overflow_count) == (1, 9)
    sender.flush(10)
    assert server.taken == [b"9"]
