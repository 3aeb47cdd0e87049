"""``Logwell`` from sync code, tasks, threads and forks: the same counts arrive as were logged."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger.logwell import Logwell, LogwellError
from support.logwell import KEY, FakeLogwell
from support.processes import run

Make = Callable[..., Logwell]


class Heard:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.errors: list[LogwellError] = []
        self.flushed: list[int] = []

    @property
    def codes(self) -> list[str]:
        return [error.code for error in self.errors]


@pytest.fixture
def server() -> Iterator[FakeLogwell]:
    with FakeLogwell() as found:
        yield found


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make(server: FakeLogwell, heard: Heard) -> Iterator[Make]:
    made: list[Logwell] = []

    def make_it(**options: Any) -> Logwell:
        given = {
            "api_key": KEY,
            "endpoint": server.url,
            "service": "orders",
            "on_error": heard.errors.append,
            "on_flush": heard.flushed.append,
            **options,
        }
        made.append(Logwell(given))
        return made[-1]

    yield make_it
    server.recover()
    server.is_down = False
    for one in made:
        one.shutdown_sync(5)
    gc.collect()


def test_records_have_what_was_given(make: Make, server: FakeLogwell) -> None:
    logwell = make()
    for level in ("debug", "info", "warn", "error", "fatal"):
        getattr(logwell, level)(f"at {level}", {"order": 17})
    logwell.flush_sync()
    assert [(r["level"], r["message"]) for r in server.stored] == [
        (level, f"at {level}") for level in ("debug", "info", "warn", "error", "fatal")
    ]
    record = server.stored[0]
    assert record["service"] == "orders"
    assert record["metadata"] == {"order": 17, "sequence": 1}
    assert record["timestamp"].endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(record["timestamp"])).total_seconds() < 5


def test_options_by_name_or_as_one_mapping(server: FakeLogwell) -> None:
    with Logwell(api_key=KEY, endpoint=server.url + "/", service="a") as one:
        one.info("by name")
    with Logwell({"api_key": KEY, "endpoint": server.url}, service="b") as other:
        other.info("as mapping")
    assert [(r["message"], r["service"]) for r in server.stored] == [
        ("by name", "a"),
        ("as mapping", "b"),
    ]


def test_a_whole_entry(make: Make, server: FakeLogwell) -> None:
    logwell = make()
    moment = datetime(2025, 1, 9, 10, 30, tzinfo=timezone(timedelta(hours=2)))
    logwell.log(
        {
            "level": "WARNING",
            "message": "x",
            "timestamp": moment,
            "service": "other",
            "metadata": {"a": 1},
            "source_file": "a.py",
            "line_number": 7,
        }
    )
    logwell.log({"message": "y", "timestamp": "2025-01-09 10:30:00.5+00:00"})
    logwell.log({"message": "z", "timestamp": "10:30, of course", "level": "odd"})
    logwell.flush_sync()
    first, second, third = server.stored
    assert (first["level"], first["service"]) == ("warn", "other")
    assert first["timestamp"] == "2025-01-09T08:30:00Z"
    assert (first["sourceFile"], first["lineNumber"]) == ("a.py", 7)
    assert second["timestamp"] == "2025-01-09T10:30:00.500000Z"
    assert third["level"] == "info"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(third["timestamp"])).total_seconds() < 5


@pytest.mark.parametrize("message", [None, "", " ", 17, b"x", "\ud800", "\0", object()])
def test_any_message_and_metadata_arrive(make: Make, server: FakeLogwell, message: Any) -> None:
    logwell = make()
    circular: dict[str, Any] = {"self": None}
    circular["self"] = circular
    for metadata in (
        None,
        {},
        {"d": datetime.now(UTC), "s": {1}},
        circular,
        {"n": float("nan")},
        5,
    ):
        logwell.info(message, metadata)  # type: ignore[arg-type]
    logwell.flush_sync()
    assert len(server.stored) == 6
    assert [one.status for one in server.seen] == [200]


def test_credentials_are_redacted(make: Make, server: FakeLogwell) -> None:
    logwell = make()
    logwell.info("password=hunter2", {"api_key": "k-123", "deep": [{"token": "t-1"}]})
    logwell.flush_sync()
    sent = str(server.stored)
    assert "hunter2" not in sent
    assert "k-123" not in sent
    assert "t-1" not in sent


def test_metadata_is_what_it_was_when_it_was_logged(make: Make, server: FakeLogwell) -> None:
    logwell = make()
    metadata = {"deep": {"n": 1}}
    logwell.info("x", metadata)
    metadata["deep"]["n"] = 2
    logwell.flush_sync()
    assert server.stored[0]["metadata"]["deep"] == {"n": 1}


def test_the_source_is_the_callers_line(make: Make, server: FakeLogwell) -> None:
    logwell = make(capture_source_location=True)
    logwell.info("x")  # this line
    logwell.child(metadata={"a": 1}).log({"message": "y"})  # this line
    logwell.flush_sync()
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    for record in server.stored:
        assert record["sourceFile"] == __file__
        assert lines[record["lineNumber"] - 1].endswith("# this line")


def test_children_share_the_queue(make: Make, server: FakeLogwell) -> None:
    parent = make()
    child = parent.child(metadata={"a": 1, "b": 1})
    grandchild = child.child(service="db", metadata={"b": 2, "c": 2})
    grandchild.info("x", {"c": 3})
    assert parent.queue_size == child.queue_size == grandchild.queue_size == 1
    grandchild.shutdown_sync()
    assert parent.queue_size == 1
    child.flush_sync()
    parent.info("y")
    parent.flush_sync()
    first, second = server.stored
    assert first["service"] == "db"
    assert first["metadata"] == {"a": 1, "b": 2, "c": 3, "sequence": 1}
    assert (second["service"], second["metadata"]) == ("orders", {"sequence": 2})


def test_a_batch_is_sent_when_it_is_full_or_old(make: Make, server: FakeLogwell) -> None:
    logwell = make(batch_size=10, flush_interval=0.2)
    for number in range(25):
        logwell.info(f"{number}")
    server.wait_for(lambda s: len(s.stored) == 25)
    assert max(one.records for one in server.seen) == 10
    assert server.messages == [str(number) for number in range(25)]


def test_on_flush_hears_of_each_batch(make: Make, server: FakeLogwell, heard: Heard) -> None:
    logwell = make(batch_size=10)
    for _ in range(25):
        logwell.info("x")
    logwell.flush_sync()
    assert sum(heard.flushed) == 25
    assert heard.errors == []


def test_overflow_drops_the_oldest_and_is_heard(
    make: Make, server: FakeLogwell, heard: Heard
) -> None:
    logwell = make(max_queue_size=10, flush_interval=60)
    for number in range(9):
        logwell.fatal(f"{number}")
    for number in range(9, 25):
        logwell.debug(f"{number}")
    assert logwell.queue_size <= 10
    logwell.flush_sync()
    dropped = heard.codes.count("QUEUE_OVERFLOW")
    assert len(server.messages) + dropped == 25
    assert server.messages == sorted(server.messages, key=int)
    assert server.messages[-1] == "24"
    assert dropped


def test_the_queue_is_bounded_while_the_server_is_down(
    make: Make, server: FakeLogwell, heard: Heard
) -> None:
    server.answer(503)
    logwell = make(max_queue_size=100, batch_size=50, flush_interval=0.01)
    for number in range(2000):
        logwell.info(f"{number}")
        assert logwell.queue_size <= 100
    server.wait_for(lambda s: len(s.seen) >= 3)
    server.recover()
    logwell.flush_sync()
    logwell.flush_sync()
    server.wait_for(lambda s: logwell.queue_size == 0)
    assert server.messages == sorted(server.messages, key=int)
    assert len(server.stored) + heard.codes.count("QUEUE_OVERFLOW") == 2000


def test_a_failed_batch_goes_back_to_the_front(
    make: Make, server: FakeLogwell, heard: Heard
) -> None:
    server.answer(503, times=3)
    logwell = make(max_retries=1, batch_size=5, flush_interval=0.01)
    for number in range(20):
        logwell.info(f"{number}")
    server.wait_for(lambda s: len(s.stored) == 20)
    assert server.messages == [str(number) for number in range(20)]
    assert [(e.code, e.status_code, e.retryable) for e in heard.errors] == [
        ("SERVER_ERROR", 503, True)
    ]


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(401, "UNAUTHORIZED", False), (404, "SERVER_ERROR", False), (415, "SERVER_ERROR", False)],
)
def test_what_is_about_us_is_heard_at_once_and_asked_rarely(
    make: Make, server: FakeLogwell, heard: Heard, status: int, code: str, retryable: bool
) -> None:
    server.answer(status, b"{}")
    logwell = make(flush_interval=0.01)
    logwell.info("x")
    logwell.flush_sync(2)
    logwell.flush_sync(2)
    assert len(server.seen) == 1
    assert [(e.code, e.status_code, e.retryable) for e in heard.errors] == [
        (code, status, retryable)
    ]


@pytest.mark.parametrize(
    ("status", "code"), [(429, "RATE_LIMITED"), (500, "SERVER_ERROR"), (0, "NETWORK_ERROR")]
)
def test_what_may_pass_is_heard_after_the_retries(
    make: Make, server: FakeLogwell, heard: Heard, status: int, code: str
) -> None:
    server.is_down = True
    if status:
        server.answer(status, b"", headers={"Retry-After": "0"})
    else:
        server.answers.append(cut_the_connection())
    logwell = make(max_retries=0, flush_interval=0.01)
    logwell.info("x")
    server.wait_for(lambda s: bool(heard.errors), 10)
    assert heard.codes[0] == code
    assert heard.errors[0].retryable
    assert heard.errors[0].status_code == (status or None)


def cut_the_connection() -> Any:
    from support.logwell import Answer

    return Answer(act=lambda handler: False)


def test_rejected_records_are_heard(make: Make, server: FakeLogwell, heard: Heard) -> None:
    body = b'{"accepted": 1, "rejected": 1, "errors": ["index 0: level"]}'
    server.answer(200, body, times=1)
    logwell = make()
    logwell.info("x")
    logwell.info("y")
    logwell.flush_sync()
    assert heard.flushed == [1]
    assert heard.codes == ["VALIDATION_ERROR"]
    assert "index 0: level" in str(heard.errors[0])


def test_callbacks_that_raise_hurt_nobody(make: Make, server: FakeLogwell) -> None:
    def raise_it(_: object) -> None:
        raise RuntimeError

    logwell = make(on_error=raise_it, on_flush=raise_it, max_queue_size=5, flush_interval=60)
    for number in range(20):
        logwell.info(f"{number}")
    logwell.flush_sync()
    logwell.info("after")
    logwell.flush_sync()
    assert server.messages[-1] == "after"


def test_a_callback_may_log(make: Make, server: FakeLogwell) -> None:
    clients: list[Logwell] = []
    clients.append(
        make(
            max_queue_size=5, on_error=lambda error: clients[0].info(error.code), flush_interval=60
        )
    )
    for number in range(6):
        clients[0].info(f"{number}")
    clients[0].flush_sync()
    assert "QUEUE_OVERFLOW" in server.messages


def test_flush_is_a_barrier(make: Make, server: FakeLogwell) -> None:
    logwell = make(batch_size=1)
    for number in range(200):
        logwell.info(f"{number}")
        if number % 50 == 49:
            logwell.flush_sync()
            assert len(server.stored) == number + 1


def test_inside_an_event_loop(make: Make, server: FakeLogwell) -> None:
    async def main() -> None:
        async with make() as logwell:
            await asyncio.gather(*(log_some(logwell, name) for name in "abcd"))
            await logwell.flush()
            assert len(server.stored) == 400
            logwell.info("last")
        assert server.messages[-1] == "last"

    async def log_some(logwell: Logwell, name: str) -> None:
        for number in range(100):
            logwell.info(f"{name} {number}")
            if number % 10 == 0:
                await asyncio.sleep(0)

    asyncio.run(main())


def test_from_eight_threads(make: Make, server: FakeLogwell) -> None:
    logwell = make(max_queue_size=100_000)

    def log_some(name: int) -> None:
        for number in range(500):
            logwell.info(f"{name} {number}")

    threads = [threading.Thread(target=log_some, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logwell.flush_sync()
    for name in range(8):
        own = [one for one in server.messages if one.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(500)]


def test_nothing_is_taken_after_the_shutdown(make: Make, server: FakeLogwell) -> None:
    logwell = make()
    logwell.shutdown_sync()
    logwell.info("late")
    logwell.shutdown_sync()
    assert logwell.queue_size == 0
    assert server.stored == []


def test_what_cannot_be_sent_before_the_end_is_said(
    make: Make, server: FakeLogwell, heard: Heard, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(503)
    logwell = make(max_retries=100)
    for _ in range(3):
        logwell.info("x")
    logwell.shutdown_sync(0.5)
    assert heard.codes == ["NETWORK_ERROR"]
    assert "3 records could not be sent before the end" in capsys.readouterr().err


def test_a_client_that_nobody_holds_sends_and_ends(server: FakeLogwell) -> None:
    import multiprocessing.util  # its registry must not hold the client

    assert multiprocessing.util
    logwell = Logwell(api_key=KEY, endpoint=server.url)
    logwell.info("x")
    del logwell
    gc.collect()
    server.wait_for(lambda s: len(s.stored) == 1)
    deadline = time.monotonic() + 5
    while any("logwell" in one.name for one in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"api_key": None}, "api_key is missing"),
        ({"api_key": "lw_short"}, "expected lw_ and 32 characters"),
        ({"api_key": KEY + "\n"}, "expected lw_ and 32 characters"),
        ({"endpoint": ""}, "endpoint is missing"),
        ({"endpoint": "ftp://x"}, "endpoint of Logwell is not usable"),
        ({"endpoint": "http://192.0.2.1"}, "without TLS; use https://, or set SOVDEV_TRUSTED_NET"),
        ({"endpoint": "http://192.0.2.1", "trusted_network": False}, "without TLS"),
        ({"trusted_network": "on"}, "trusted_network must be a bool or None, not str"),
        ({"batch_size": 101}, "batch_size must be a whole number, 1 to 100"),
        ({"batch_size": True}, "batch_size must be"),
        ({"flush_interval": 0}, "flush_interval must be a positive"),
        ({"flush_interval": 10**400}, "flush interval 2.0736e.06 is not usable"),
        ({"timeout": float("inf")}, "timeout must be a positive number of seconds"),
        ({"flush_interval": 61}, "flush interval 61 is not usable"),
        ({"max_queue_size": 0}, "max_queue_size must be"),
        ({"max_retries": -1}, "max_retries must be"),
        ({"on_error": 5}, "on_error must be callable"),
        ({"service": 5}, "service must be a text"),
        ({"batchsize": 5}, "unknown option batchsize"),
    ],
)
def test_a_wrong_configuration(make: Make, options: dict[str, Any], why: str) -> None:
    with pytest.raises(LogwellError, match=why) as raised:
        make(**options)
    assert raised.value.code == "INVALID_CONFIG"
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(("argument", "variable"), [(True, ""), (True, "off"), (None, "on")])
def test_the_key_goes_over_a_network_that_the_user_trusts(
    make: Make,
    server: FakeLogwell,
    monkeypatch: pytest.MonkeyPatch,
    argument: bool | None,
    variable: str,
) -> None:
    monkeypatch.setenv("SOVDEV_TRUSTED_NETWORK", variable)
    # The address leads to this machine, but is not known as such.
    endpoint = server.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104
    logwell = make(endpoint=endpoint, trusted_network=argument)
    logwell.info("x")
    logwell.flush_sync()
    assert len(server.stored) == 1


def test_the_exit_sends_what_is_left(server: FakeLogwell, tmp_path: Path) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    body = f"""
    from sovdev_logger.logwell import Logwell
    logwell = Logwell(api_key={KEY!r}, endpoint={url!r}, flush_interval=60)
    for number in range(120):
        logwell.info(f"{{number}}")
    """
    run(tmp_path, body)
    assert server.messages == [str(number) for number in range(120)]


def test_after_a_fork(server: FakeLogwell, tmp_path: Path) -> None:
    body = f"""
    import os, sys, threading
    from sovdev_logger.logwell import Logwell
    logwell = Logwell(api_key={KEY!r}, endpoint={server.url!r}, flush_interval=60)
    stop = threading.Event()
    def talk():
        while not stop.is_set():
            logwell.info("talk")
    talkers = [threading.Thread(target=talk) for _ in range(2)]
    logwell.info("before")
    logwell.flush_sync()
    children = []
    for number in range(5):
        child = os.fork()
        if child == 0:
            for count in range(20):
                logwell.info(f"child {{number}} {{count}}")
            sys.exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    logwell.info("after")
    """
    run(tmp_path, body)
    expected = [f"child {number} {count}" for number in range(5) for count in range(20)]
    assert sorted(server.messages) == sorted([*expected, "before", "after"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_children_of_multiprocessing(server: FakeLogwell, tmp_path: Path, method: str) -> None:
    (tmp_path / "work.py").write_text(
        "from sovdev_logger.logwell import Logwell\n"
        "def work(name):\n"
        f"    logwell = Logwell(api_key={KEY!r}, endpoint={server.url!r}, flush_interval=60)\n"
        "    for number in range(30):\n"
        "        logwell.info(f'{name} {number}')\n"
        "    global kept\n"
        "    kept = logwell\n"
    )
    body = f"""
    import multiprocessing, sys
    sys.path.insert(0, {str(tmp_path)!r})
    import work
    if __name__ == "__main__":
        context = multiprocessing.get_context({method!r})
        children = [context.Process(target=work.work, args=(name,)) for name in "ab"]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
    """
    run(tmp_path, body)
    assert sorted(server.messages) == sorted(f"{n} {i}" for n in "ab" for i in range(30))


def test_a_signal_handler_may_log(server: FakeLogwell, tmp_path: Path) -> None:
    body = f"""
    import signal
    from sovdev_logger.logwell import Logwell
    logwell = Logwell(api_key={KEY!r}, endpoint={server.url!r}, max_queue_size=100000)
    heard = 0
    def log_it(number, frame):
        global heard
        heard += 1
        logwell.info("signal")
    signal.signal(signal.SIGALRM, log_it)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for number in range(20000):
        logwell.info("main")
    signal.setitimer(signal.ITIMER_REAL, 0)
    logwell.shutdown_sync()
    print(heard)
    """
    out, _ = run(tmp_path, body)
    assert int(out) > 10
    assert server.messages.count("signal") == int(out)
    assert server.messages.count("main") == 20_000


def test_sigterm_is_not_taken(server: FakeLogwell, make: Make) -> None:
    before = signal.getsignal(signal.SIGTERM)
    make()
    assert signal.getsignal(signal.SIGTERM) is before
