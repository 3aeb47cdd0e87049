"""Collectors that are slow, late or mute: what a second ago was logged is theirs or on disk."""

import re
import signal
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, run, same, start

AT_FULL_SIZE = pytest.mark.sized(least="full")
REFUSED = "http://127.0.0.1:9"
LOG = """
for number in range({count}):
    log.sovdev_log("info", "f", f"number {{number}}", None)
"""
AFTER_OUR_EXIT = """
import atexit
@atexit.register
def show():
    one = log.sovdev_status().outputs["otlp_logs"]
    assert one.logged == one.delivered + one.spooled, one
    print(one.repeated)
"""


def log(count: int, before: str = "", after: str = "") -> str:
    return before + program(LOG.format(count=count) + after)


@breaks_with(memory_is_kept_until_full="same(numbers")
def test_killed_beside_a_slow_server(tmp_path: Path) -> None:
    """A server that takes 400 a second is asked twice before its client is killed."""
    third_request = threading.Event()
    seen: list[BaseHTTPRequestHandler] = []

    def count(handler: BaseHTTPRequestHandler) -> bool:
        seen.append(handler)
        if len(seen) == 3:
            third_request.set()
        return False

    with OtlpReceiver() as receiver:
        receiver.records_per_second = 400
        receiver.behave(count)
        process = start(
            tmp_path,
            log(4000, after='print("logged", flush=True)\nsys.stdin.readline()'),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_METRICS_EXPORTER="none",
        )
        assert third_request.wait(30)
        process.send_signal(signal.SIGKILL)
        finish(process)
        receiver.records_per_second = None
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = receiver.messages()
    numbers = sorted({int(message.split()[1]) for message in received})
    assert same(numbers, list(range(4000)))
    assert len(received) <= 4000 + 512  # twice is what was under way at most


@pytest.mark.alone
@pytest.mark.parametrize("milliseconds", [50, pytest.param(5, marks=AT_FULL_SIZE)])
def test_a_server_that_keeps_up_costs_no_disk(tmp_path: Path, milliseconds: int) -> None:
    body = """
    for number in range(300):
        for _ in range(600 if number % 100 == 99 else 3):  # 600 are more than a batch
            log.sovdev_log("info", "f", f"number {number}", None)
        time.sleep(0.007)
    """
    with OtlpReceiver() as receiver:
        receiver.answer_after(milliseconds / 1000)
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert len(receiver.messages()) == 297 * 3 + 3 * 600
    assert not (tmp_path / "spool").exists()


WAIT_AND_DIE = """
deadline = time.monotonic() + 8
while (one := log.sovdev_status().outputs["otlp_logs"]).queued:
    assert time.monotonic() < deadline, "in memory"
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize(
    "trouble", [400, *(pytest.param(one, marks=AT_FULL_SIZE) for one in ("down", 503, 401))]
)
def test_ended_by_sigterm_without_handlers(tmp_path: Path, trouble: str | int) -> None:
    check_sigterm(tmp_path, trouble)


@breaks_with(memory_is_kept_until_full="in memory")
def test_ended_by_sigterm_beside_a_server_that_hangs(tmp_path: Path) -> None:
    check_sigterm(tmp_path, "hangs")


def check_sigterm(tmp_path: Path, trouble: str | int) -> None:
    with OtlpReceiver() as receiver:
        if trouble == "hangs":
            receiver.hang()
        elif isinstance(trouble, int):
            receiver.respond_with(trouble)
        run(
            tmp_path,
            log(100, after=WAIT_AND_DIE),
            code=-signal.SIGTERM,
            OTEL_EXPORTER_OTLP_ENDPOINT=REFUSED if trouble == "down" else receiver.endpoint,
            OTEL_EXPORTER_OTLP_TIMEOUT="60000",
        )
    refused = b"".join(path.read_bytes() for path in tmp_path.glob("spool/rejected/*"))
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = receiver.messages()
    found = [int(number) for number in re.findall(rb"number (\d+)", refused)]
    found += [int(message.split()[1]) for message in received]
    assert same(sorted(found), list(range(100)))


@breaks_with(repeats_are_not_counted="<= repeated")
def test_an_exit_in_the_middle_of_a_request_counts_what_is_sent_again(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        receiver.answer_after(3)
        out, _ = run(
            tmp_path,
            log(2000, AFTER_OUR_EXIT),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
        repeated = int(out)
        receiver.recover()
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        receiver.wait_for(lambda r: len(r.messages()) > 2000)  # the late one
        received = receiver.event_ids()
    assert len(set(received)) == 2000
    assert 0 < len(received) - len(set(received)) <= repeated <= 512


@pytest.mark.sized(least="full")
def test_an_exit_awaits_the_answer_that_is_on_its_way(tmp_path: Path) -> None:
    """The server answers after the time for a flush, and before the time for the exit."""
    with OtlpReceiver() as receiver:
        receiver.answer_after(2.6)
        out, _ = run(
            tmp_path,
            log(100, AFTER_OUR_EXIT),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_EXIT_TIMEOUT_SECONDS="3",
        )
        assert out == "0\n"
        receiver.recover()
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert len(receiver.messages()) == 100
