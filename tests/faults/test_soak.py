"""A service that runs and runs: memory, descriptors and threads stay as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, program, run

pytestmark = [pytest.mark.alone, pytest.mark.sized(least="full")]

# The receiver counts and throws away: its memory is not what is measured.
BODY = """
import resource
seconds = float(os.environ["SECONDS"])

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def state():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

started = time.monotonic()
number = 0
seen = []
while (elapsed := time.monotonic() - started) < seconds:
    due = int(elapsed * 2000)
    while number < due:
        number += 1
        with log.sovdev_start_span("work") if number % 50 == 0 else open(os.devnull):
            error = ValueError("x") if number % 100 == 0 else None
            log.sovdev_log("info", "f", f"number {number}", "BRREG", {"n": number}, exception=error)
    time.sleep(0.002)
    if len(seen) < elapsed * 4:
        seen.append((memory(), *state()))
log.sovdev_flush()
status = log.sovdev_status().outputs["otlp_logs"]
assert status.delivered + status.spooled + status.dropped == status.logged == number, status
# The first third fills caches and pools.
settled = seen[len(seen) // 3:]
print(number, settled[0][0], settled[-1][0])
print(sorted({one[1] for one in settled}), sorted({one[2] for one in settled}))
"""


@pytest.mark.parametrize(("collector", "seconds"), [("healthy", 60), ("down", 12)])
def test_nothing_grows(
    tmp_path: Path, collector: str, seconds: int, sized: Callable[..., float]
) -> None:
    check_that_nothing_grows(tmp_path, sized(0, full=seconds, soak=600), collector)


@breaks_with(
    memory_leaks="last < first",
    descriptors_leak="spread(descriptors)",
)
def test_the_same_check_for_a_short_while(tmp_path: Path) -> None:
    check_that_nothing_grows(tmp_path, 7, "healthy")


def check_that_nothing_grows(tmp_path: Path, seconds: float, collector: str) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and descriptors are read from /proc")
    with OtlpReceiver() as receiver:
        receiver.forget_requests = True
        if collector == "down":
            receiver.respond_with(503)
        out, _ = run(
            tmp_path,
            program(BODY),
            timeout_seconds=seconds + 60,
            SECONDS=str(seconds),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_METRIC_EXPORT_INTERVAL="1000",
            LOG_FILE_MAX_BYTES="1000000",
            SOVDEV_SPOOL_MAX_BYTES="5000000",
        )
    print(out)
    counts, states = out.splitlines()
    number, first, last = map(int, counts.split())
    assert number > 2000 * seconds * 0.9
    assert last < first * 1.05
    descriptors, threads = states.removeprefix("[").removesuffix("]").split("] [")
    # A connection may be between two; a watchdog lives as long as its request.
    assert spread(descriptors) <= 3
    assert spread(threads) <= 3


def spread(numbers: str) -> int:
    found = [int(one) for one in numbers.split(",")]
    return max(found) - min(found)


@pytest.mark.sized(least="soak")
def test_flush_and_shutdown_end_within_30_seconds(tmp_path: Path) -> None:
    body = """
    from sovdev_logger._service.instance import instance
    for end in (log.sovdev_flush, log.sovdev_shutdown):
        log.sovdev_log("info", "f", "m", None)
        with log.sovdev_start_span("work"): pass
        started = time.monotonic()
        end()
        print(time.monotonic() - started)
    """
    with OtlpReceiver() as receiver:
        receiver.hang()
        out, _ = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_TIMEOUT="60000",
        )
    flush, shutdown = map(float, out.split())
    assert 29 < flush < 30.2
    assert shutdown < 30.2
