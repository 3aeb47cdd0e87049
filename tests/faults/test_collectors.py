"""Collectors that refuse, hang, trickle or lie: nobody waits, and the ledger says what is true."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from sovdev_logger._delivery.http_transport import HttpTransport
from sovdev_logger._settings.endpoint import HttpEndpoint
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, run, same, start
from support.service import read_lines

REFUSED = "http://127.0.0.1:9"
STATUS = """
def show():
    status = log.sovdev_status().outputs["otlp_logs"]
    fates = (status.delivered, status.queued, status.spooled, status.dropped)
    assert status.logged == sum(fates) and min(fates) >= 0, status
    print(status.logged, *fates)
"""


@contextmanager
def black_hole() -> Iterator[str]:
    """Give the URL of a port where connections are neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):  # the queue of the port is full after one or two
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


@contextmanager
def silent(scheme: str) -> Iterator[str]:
    """Give the URL of a port that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(behave: Callable[[OtlpReceiver], None]) -> Iterator[str]:
    with OtlpReceiver() as receiver:
        behave(receiver)
        yield receiver.endpoint


@contextmanager
def nothing(endpoint: str = REFUSED) -> Iterator[str]:
    yield endpoint


def refusing(status: int) -> AbstractContextManager[str]:
    return answering(lambda receiver: receiver.respond_with(status))


UNKNOWN_HOST = """
import socket
def unknown(*a, **k): raise socket.gaierror(-2, "Name or service not known")
socket.getaddrinfo = unknown
"""
NAME_SERVER_HANGS = """
import socket
socket.getaddrinfo = lambda *a, **k: time.sleep(60)
"""

COLLECTORS: dict[str, tuple[Callable[[], AbstractContextManager[str]], str]] = {
    "refused": (nothing, ""),
    "black hole": (black_hole, ""),
    "never answers": (lambda: silent("http"), ""),
    "TLS never ends": (lambda: silent("https"), ""),
    "one byte a second": (lambda: answering(lambda r: r.drip(1.0)), ""),
    "unknown host": (lambda: nothing("http://unknown.invalid:4318"), UNKNOWN_HOST),
    "name server hangs": (lambda: nothing("http://slow.invalid:4318"), NAME_SERVER_HANGS),
    **{
        str(status): (partial(refusing, status), "")
        for status in (301, 400, 401, 413, 429, 500, 503)
    },
    "429 with Retry-After": (
        lambda: answering(lambda r: r.respond_with(429, {"Retry-After": "60"})),
        "",
    ),
}


@pytest.fixture
def late(sized: Callable[..., float]) -> float:
    """Return how many seconds a flush may be late: few where nothing else runs meanwhile."""
    return sized(3, full=0.2)


@pytest.mark.alone
@pytest.mark.parametrize("name", COLLECTORS)
def test_a_flush_ends_in_time_and_says_the_truth(tmp_path: Path, name: str, late: float) -> None:
    check_flush(tmp_path, name, late)


@breaks_with(flush_ignores_its_deadline="float(took) <")
def test_the_same_check_finds_a_flush_that_waits(tmp_path: Path) -> None:
    check_flush(tmp_path, "never answers", late=3)


@breaks_with(everything_counts_as_delivered="(logged, delivered) == (20, 0)")
def test_the_same_check_finds_a_ledger_that_lies(tmp_path: Path) -> None:
    check_flush(tmp_path, "503", late=3)


def check_flush(tmp_path: Path, name: str, late: float) -> None:
    collector, preparation = COLLECTORS[name]
    body = """
    from sovdev_logger._service.instance import instance
    for number in range(20):
        log.sovdev_log("info", "f", f"number {number}", None)
    started = time.monotonic()
    instance.service.flush(1.0)
    took = time.monotonic() - started
    show()
    print(took)
    os._exit(0)
    """
    with collector() as endpoint:
        out, _ = run(
            tmp_path,
            program(preparation + STATUS) + program(body).removeprefix(program("")),
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=REFUSED,
            OTEL_METRICS_EXPORTER="none",
        )
    ledger, took = out.splitlines()
    logged, delivered, queued, spooled, dropped = map(int, ledger.split())
    assert (logged, delivered) == (20, 0)
    # 400 and 413 are about what was sent; everything else is kept.
    assert (queued + spooled, dropped) == ((0, 20) if name in {"400", "413"} else (20, 0))
    assert float(took) < 1.0 + late


@pytest.mark.parametrize("name", ["refused", "one byte a second", "black hole"])
def test_exit_is_bounded_whatever_the_collector_does(tmp_path: Path, name: str) -> None:
    check_exit(tmp_path, name)


@breaks_with(
    flush_ignores_its_deadline="time.time() - float(out) <",
    spool_is_not_written="same(receiver.messages()",
)
def test_exit_is_bounded_when_the_collector_hangs(tmp_path: Path) -> None:
    check_exit(tmp_path, "never answers")


def check_exit(tmp_path: Path, name: str) -> None:
    body = """
    for number in range(1000):
        log.sovdev_log("info", "f", f"number {number}", None)
    with log.sovdev_start_span("work"): pass
    print(time.time())
    """
    collector, _ = COLLECTORS[name]
    with collector() as endpoint:
        out, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        assert time.time() - float(out) < 5 + 1
    assert "1000 log entries" in err
    assert "1 spans" in err
    assert len(read_lines(tmp_path / "dev.log")) == 1000
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), [f"number {number}" for number in range(1000)])
        assert len(receiver.spans()) == 1


@breaks_with(
    file_loses_5_percent="same(sorted(delivered), sorted(written))",
    sender_loses_5_percent="len(delivered) ==",
)
def test_full_speed_to_a_healthy_collector(tmp_path: Path, sized: Callable[..., int]) -> None:
    count = sized(20_000, full=100_000)
    body = f"""
    for number in range({count}):
        log.sovdev_log("info", "f", f"number {{number}}", None, {{"number": number}})
    """
    with OtlpReceiver() as receiver:
        _, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        delivered = receiver.event_ids()
    assert err == ""
    assert len(delivered) == len(set(delivered)) == count
    written = {entry["event_id"] for entry in read_lines(tmp_path / "dev.log")}
    assert same(sorted(delivered), sorted(written))


@breaks_with(
    everything_counts_as_delivered="received == 30_000",
    sender_loses_5_percent="received == 30_000",
)
def test_the_ledger_adds_up_while_the_collector_comes_and_goes(tmp_path: Path) -> None:
    body = (
        STATUS
        + """
done = False
def look():
    while not done:
        for name, one in log.sovdev_status().outputs.items():
            fates = (one.delivered, one.queued, one.spooled, one.dropped, one.sampled_out)
            assert one.logged == sum(fates) and min(fates) >= 0, (name, one)
            assert one.dropped == sum(one.dropped_by_reason.values()), (name, one)
        looked.append(1)
        time.sleep(0.0005)
looked = []
watcher = threading.Thread(target=look)
watcher.start()
for number in range(30_000):
    log.sovdev_log("info", "f", f"number {number}", None)
    if number % 3000 == 0:
        log.sovdev_flush()
log.sovdev_flush()
done = True
watcher.join()
assert len(looked) > 50
show()
"""
    )
    with OtlpReceiver() as receiver:
        for status in (503, 200, 429, 200):
            receiver.respond_with(status, times=3)
        out, _ = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = len(set(receiver.event_ids()))
    assert received == 30_000
    assert out == "30000 30000 0 0 0\n"


@breaks_with(refused_batches_are_dropped_whole="set(receiver.messages()) ==")
def test_one_poison_record_in_a_batch_is_set_aside(tmp_path: Path) -> None:
    body = (
        STATUS
        + """
for number in range(512):
    log.sovdev_log("info", "f", "poison" if number == 77 else f"number {number}", None)
log.sovdev_flush()
show()
"""
    )
    with OtlpReceiver() as receiver:
        receiver.refuses = lambda raw: b"poison" in raw
        out, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert set(receiver.messages()) == {f"number {n}" for n in range(512) if n != 77}
        assert len(receiver.messages()) == 511
    assert out == "512 511 0 0 1\n"
    assert "entries were dropped: 1 by otlp_logs (refused: HTTP 400: 1)" in err
    [path] = (tmp_path / "spool" / "rejected").iterdir()
    assert b"poison" in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    # What was set aside is a request: sent as it is, it is what the collector refused.
    with OtlpReceiver() as receiver:
        transport = HttpTransport(HttpEndpoint(f"{receiver.endpoint}/v1/logs"))
        assert transport.post(path.read_bytes()).accepted
        transport.close()
        assert same(receiver.messages(), ["poison"])


@breaks_with(sender_loses_5_percent="(logged, delivered, spooled) ==")
def test_warnings_and_above_survive_a_burst_without_a_spool(
    tmp_path: Path, sized: Callable[..., int]
) -> None:
    count = sized(15_000, full=50_000)
    body = (
        STATUS
        + f"for number in range({count}):"
        + """
    level = "error" if number % 100 == 0 else "info"
    log.sovdev_log(level, "f", f"{level} {number}", None)
show()
"""
    )
    with OtlpReceiver() as receiver:
        receiver.hang()
        out, err = run(
            tmp_path,
            program(body + "os._exit(0)"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_SPOOL="off",
            SOVDEV_QUEUE_MAX_RECORDS="2000",
        )
    logged, delivered, queued, spooled, dropped = map(int, out.split())
    assert (logged, delivered, spooled) == (count, 0, 0)
    assert 2000 <= queued <= 2000 + 512
    assert dropped == count - queued
    assert "the oldest of the lowest severity are dropped" in err
    assert not (tmp_path / "spool").exists()


@breaks_with(
    lanes_are_one='startswith("error")], errors)',
    sender_loses_5_percent="(logged, delivered) ==",
)
def test_the_burst_reaches_a_collector_that_wakes_up_errors_first(tmp_path: Path) -> None:
    body = (
        STATUS
        + """
for number in range(20_000):
    level = "error" if number % 20 == 0 else "info"
    log.sovdev_log(level, "f", f"{level} {number}", None)
print("logged", flush=True)
sys.stdin.readline()
log.sovdev_flush()
show()
"""
    )
    with OtlpReceiver() as receiver:
        receiver.respond_with(503)
        process = start(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_SPOOL="off",
            SOVDEV_QUEUE_MAX_RECORDS="2000",
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        receiver.recover()
        out, err = finish(process, said="\n")
        assert process.returncode == 0, err
        received = receiver.messages()
    errors = [f"error {number}" for number in range(0, 20_000, 20)]
    assert same([one for one in received if one.startswith("error")], errors)
    logged, delivered, queued, spooled, _ = map(int, out.split())
    assert (logged, delivered) == (20_000, len(received))
    assert (queued, spooled) == (0, 0)
