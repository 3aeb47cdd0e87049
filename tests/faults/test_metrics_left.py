"""Metrics of processes that ended while the collector was down: sent later, as they were."""

import signal
import textwrap
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver, attributes
from support.processes import breaks_with, program, run
from support.service import read_lines

DOWN = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "SOVDEV_EXIT_TIMEOUT_SECONDS": "0.5",
}
DELTA = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
Point = tuple[str, int, int, int]
"""Session, start, time and value of one point of ``sovdev_operations_total``."""


def log(count: int, after: str = "") -> str:
    return program(f"for n in range({count}): log.sovdev_log('info', 'f', 'm', None)\n{after}")


def points(receiver: OtlpReceiver, name: str = "sovdev_operations_total") -> list[Point]:
    found: list[Point] = []
    for request in receiver.requests:
        if request.path == "/v1/metrics":
            for resource in request.message.resource_metrics:
                session = attributes(resource.resource.attributes)["session_id"]
                metrics = [m for scope in resource.scope_metrics for m in scope.metrics]
                for point in (p for m in metrics if m.name == name for p in m.sum.data_points):
                    times = point.start_time_unix_nano, point.time_unix_nano
                    found.append((session, *times, point.as_int))
    return found


@pytest.mark.parametrize("ending", ["", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_next_process_sends_the_last_export(tmp_path: Path, ending: str) -> None:
    after = f"log.sovdev_flush()\n{ending}"
    _, err = run(tmp_path, log(100, after), DOWN, code=-signal.SIGKILL if ending else 0)
    assert ending or "1 metrics" in err
    session = read_lines(tmp_path / "dev.log")[0]["session_id"]
    last_write_ns = (tmp_path / "dev.log").stat().st_mtime_ns
    with OtlpReceiver() as receiver:
        out, err = run(
            tmp_path,
            program("log.sovdev_flush()\nprint(log.sovdev_status().outputs['otlp_metrics'])"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        [point] = points(receiver)  # only the last: it holds the others
    assert "recovered=1" in out
    assert err == ""
    assert (point[0], point[3]) == (session, 100)
    started_at, at = point[1:3]
    assert started_at < last_write_ns
    assert at - last_write_ns < 5 * 10**9
    assert list((tmp_path / "spool").rglob("*.segment*")) == []


@breaks_with(metrics_stay_in_memory="== [100, 10]")
def test_each_delta_export_is_sent(tmp_path: Path) -> None:
    after = "log.sovdev_flush()\nfor n in range(10): log.sovdev_log('info', 'f', 'm', None)\n"
    run(tmp_path, log(100, after), {**DOWN, **DELTA})
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), DELTA, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        found = points(receiver)
    assert [value for *_, value in found] == [100, 10]
    assert found[0][2] <= found[1][1]  # the second begins where the first ended


def test_several_processes_and_their_children(tmp_path: Path) -> None:
    fork = """
    child = os.fork()
    if child == 0:
        for n in range(5): log.sovdev_log("info", "f", "m", None)
        log.sovdev_shutdown()
        os._exit(0)
    os.waitpid(child, 0)
    """
    body = textwrap.dedent(fork) + "for n in range(3): log.sovdev_log('info', 'f', 'm', None)\n"
    for _ in range(2):
        run(tmp_path, program("pass\n" + body), DOWN)
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        found = points(receiver)
    assert sorted(value for *_, value in found) == [3, 3, 5, 5]
    assert len({session for session, *_ in found}) == 4


def test_what_was_left_holds_nothing_back_that_is_new(tmp_path: Path) -> None:
    """A collector that answers 503 to what was left, for good, gets what is new meanwhile."""
    run(tmp_path, log(100), DOWN)
    old = read_lines(tmp_path / "dev.log")[0]["session_id"].encode()
    body = """
    deadline = time.monotonic() + 30
    while (one := log.sovdev_status().outputs["otlp_metrics"]).delivered < 3:
        log.sovdev_log("info", "f", "m", None)
        assert time.monotonic() < deadline, one
        time.sleep(0.05)
    assert one.recovered == 1 <= one.spooled, one
    os._exit(0)
    """
    with OtlpReceiver() as receiver:
        receiver.fails = lambda raw: old in raw
        run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_METRIC_EXPORT_INTERVAL="100",
        )
        receiver.fails = None
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        values = [value for session, _, _, value in points(receiver) if session.encode() == old]
    assert values == [100]
