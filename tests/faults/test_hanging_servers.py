"""What a call takes when the server of an output hangs, compared with one that is well."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.logwell import KEY, FakeLogwell
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, start
from support.relay import FakeRelay

Variables = dict[str, str]


@contextmanager
def otlp(*, hangs: bool) -> Iterator[Variables]:
    with OtlpReceiver() as receiver:
        if hangs:
            receiver.hang()
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}


@contextmanager
def logwell(*, hangs: bool) -> Iterator[Variables]:
    with FakeLogwell() as server:
        if hangs:
            server.be_mute()
        yield {"LOGWELL_ENDPOINT": server.url, "LOGWELL_API_KEY": KEY}


@contextmanager
def relay(*, hangs: bool) -> Iterator[Variables]:
    with FakeRelay() as receiver:
        receiver.is_mute = hangs
        yield {"RELAY_TARGETS": receiver.target}


OUTPUTS: dict[str, Callable[..., AbstractContextManager[Variables]]] = {
    "otlp": otlp,
    "logwell": logwell,
    "relay": relay,
}

BODY = """
times = []
for number in range(3000):
    begun = time.perf_counter_ns()
    log.sovdev_log("info", "f", f"number {number}", None, {"number": number})
    times.append(time.perf_counter_ns() - begun)
    if number % 10 == 0:
        time.sleep(0.0005)
times.sort()
print(times[int(len(times) * 0.99)])
os._exit(0)
"""


@pytest.mark.alone
@breaks_with("put_waits_for_the_server")
def test_a_hanging_collector_does_not_slow_calls_down(tmp_path: Path) -> None:
    check_calls(tmp_path, "otlp")


@pytest.mark.alone
@pytest.mark.parametrize("name", ["logwell", "relay"])
def test_a_hanging_server_does_not_slow_calls_down(tmp_path: Path, name: str) -> None:
    check_calls(tmp_path, name)


def check_calls(tmp_path: Path, name: str) -> None:
    p99: dict[bool, list[int]] = {False: [], True: []}
    server = OUTPUTS[name]
    with server(hangs=False) as healthy, server(hangs=True) as hanging:
        for turn in range(5):
            for hangs, variables in ((False, healthy), (True, hanging)):
                folder = tmp_path / f"{hangs}-{turn}"
                folder.mkdir()
                process = start(folder, program(BODY), **variables)
                p99[hangs].append(int(finish(process)[0]))
    print("p99 in µs", {hangs: [one // 1000 for one in found] for hangs, found in p99.items()})
    ratio = statistics.median(p99[True]) / statistics.median(p99[False])
    assert ratio <= 1.5
