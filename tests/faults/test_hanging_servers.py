"""What a call takes when the server of an output hangs, compared with one that is well."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import pytest

from support.logwell import KEY, Answer, FakeLogwell
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, start
from support.relay import FakeRelay

Variables = dict[str, str]


@contextmanager
def otlp(trouble: str) -> Iterator[Variables]:
    with OtlpReceiver() as receiver:
        if trouble == "mute":
            receiver.hang()
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}


@contextmanager
def logwell(trouble: str) -> Iterator[Variables]:
    with FakeLogwell() as server:
        if trouble == "mute":
            server.be_mute()
        elif trouble == "slow":
            server.answers.append(Answer(act=lambda _: not server.pause(0.1)))
        elif trouble == "refusing":
            server.answer(503)
        elif trouble == "half-closing":
            server.answers.append(Answer(act=lambda _: False))
        yield {"LOGWELL_ENDPOINT": server.url, "LOGWELL_API_KEY": KEY}


@contextmanager
def relay(trouble: str) -> Iterator[Variables]:
    with FakeRelay() as receiver:
        receiver.is_mute = trouble == "mute"
        receiver.pause_seconds = 0.002 if trouble == "slow" else 0.0
        receiver.ends_after = 10 if trouble == "half-closing" else None
        if trouble == "refusing":
            receiver.refuses = (grpc.StatusCode.UNAUTHENTICATED, "who are you")
        yield {"RELAY_TARGETS": receiver.target}


OUTPUTS: dict[str, Callable[[str], AbstractContextManager[Variables]]] = {
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
@pytest.mark.sized(least="full")
@breaks_with(put_waits_for_the_server="ratio <=")
def test_a_hanging_collector_does_not_slow_calls_down(tmp_path: Path) -> None:
    check_calls(tmp_path, "otlp", "mute")


@pytest.mark.alone
@pytest.mark.sized(least="full")
@pytest.mark.parametrize("name", ["logwell", "relay"])
def test_a_mute_server_does_not_slow_calls_down(tmp_path: Path, name: str) -> None:
    check_calls(tmp_path, name, "mute")


@pytest.mark.alone
@pytest.mark.sized(least="soak")
@pytest.mark.parametrize("name", ["logwell", "relay"])
@pytest.mark.parametrize("trouble", ["slow", "refusing", "half-closing"])
def test_a_server_in_trouble_does_not_slow_calls_down(
    tmp_path: Path, name: str, trouble: str
) -> None:
    check_calls(tmp_path, name, trouble)


def check_calls(tmp_path: Path, name: str, trouble: str) -> None:
    p99: dict[str, list[int]] = {"": [], trouble: []}
    server = OUTPUTS[name]
    with server("") as healthy, server(trouble) as troubled:
        for turn in range(5):
            for kind, variables in (("", healthy), (trouble, troubled)):
                folder = tmp_path / f"{kind}-{turn}"
                folder.mkdir()
                process = start(folder, program(BODY), variables)
                p99[kind].append(int(finish(process)[0]))
    print("p99 in µs", {kind: [one // 1000 for one in found] for kind, found in p99.items()})
    ratio = statistics.median(p99[trouble]) / statistics.median(p99[""])
    assert ratio <= 1.5
