"""What could not be sent is on disk: for the next process, within bounds, each entry once."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.logwell import KEY, FakeLogwell
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, run, same, start
from support.relay import FakeRelay
from support.service import read_lines

DOWN = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "SOVDEV_EXIT_TIMEOUT_SECONDS": "0.5",
}
LOG = """
for number in range({count}):
    log.sovdev_log("info", "f", f"number {{number}}", None)
"""


TOGETHER = """
import sys
import sovdev_logger, opentelemetry.sdk.trace
print("ready", flush=True)
sys.stdin.readline()
""" + program("")


def log(count: int, before: str = "", after: str = "") -> str:
    return program(before + LOG.format(count=count) + after)


def segments(folder: Path, output: str = "*") -> list[Path]:
    return sorted((folder / "spool").glob(f"{output}/*/*.segment*"))


@breaks_with(
    spool_is_not_written="same(receiver.messages()",
    spool_sends_twice="same(receiver.messages()",
)
def test_what_one_process_could_not_send_the_next_one_does(
    tmp_path: Path, sized: Callable[..., int]
) -> None:
    count = sized(6_000, full=20_000)
    spans = 'with log.sovdev_start_span("work"): pass\n'
    _, err = run(tmp_path, log(count, after=spans), DOWN)
    assert f"not delivered: {count} log entries" in err
    assert f"kept in {tmp_path / 'spool'}" in err
    with OtlpReceiver() as receiver:
        for _ in range(2):
            _, err = run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
            # In order, and as what they were: entries and spans of the first process.
            assert same(receiver.messages(), [f"number {number}" for number in range(count)])
            assert len(receiver.spans()) == 1
            assert err == ""
        sessions = {resource["session_id"] for resource, *_ in receiver.log_records()}
        assert sessions == {read_lines(tmp_path / "dev.log")[0]["session_id"]}
    assert segments(tmp_path) == []


@breaks_with(spool_is_not_written="AssertionError: not on disk")
def test_what_was_on_disk_survives_a_kill(tmp_path: Path) -> None:
    after = """
log.sovdev_flush()
assert log.sovdev_status().outputs["otlp_logs"].spooled == 1000, "not on disk"
os.kill(os.getpid(), signal.SIGKILL)
"""
    run(tmp_path, log(1000, after=after), DOWN, code=-9)
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), [f"number {number}" for number in range(1000)])


def test_without_a_flush_no_more_than_a_delay_is_at_risk_while_the_collector_is_down(
    tmp_path: Path,
) -> None:
    after = """
deadline = time.monotonic() + 20
while log.sovdev_status().outputs["otlp_logs"].spooled < 100:
    assert time.monotonic() < deadline
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
    run(tmp_path, log(100, after=after), DOWN, code=-9)
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert len(receiver.messages()) == 100


@breaks_with(spool_sends_twice="same(receiver.messages(), expected)")
def test_the_same_process_sends_when_the_collector_is_back(tmp_path: Path) -> None:
    after = """
print("ready", flush=True)
sys.stdin.readline()
log.sovdev_log("info", "f", "afterwards", None)
deadline = time.monotonic() + 40
while log.sovdev_status().outputs["otlp_logs"].delivered < 1001:
    assert time.monotonic() < deadline, log.sovdev_status()
    time.sleep(0.05)
"""
    with OtlpReceiver() as receiver:
        receiver.respond_with(503)
        process = start(
            tmp_path,
            log(1000, after="log.sovdev_flush()" + after),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert receiver.messages() == []
        receiver.recover()
        _, err = finish(process, said="\n")
        assert process.returncode == 0, err
        expected = [f"number {number}" for number in range(1000)] + ["afterwards"]
        assert same(receiver.messages(), expected)


@breaks_with(spool_has_no_owner="receiver.messages() == []")
def test_what_a_living_process_owns_is_left_to_it(tmp_path: Path) -> None:
    after = """
log.sovdev_flush()
print("spooled", flush=True)
sys.stdin.readline()
"""
    process = start(tmp_path, log(100, after=after), DOWN)
    assert process.stdout is not None
    assert process.stdout.readline() == "spooled\n"
    try:
        with OtlpReceiver() as receiver:
            run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
            assert receiver.messages() == []
    finally:
        finish(process, said="\n")
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert len(receiver.messages()) == 100


@breaks_with(
    spool_sends_twice="len(received)",
    spool_has_no_owner="len(received)",
)
def test_several_processes_share_what_was_left(tmp_path: Path, sized: Callable[..., int]) -> None:
    processes_before, each = sized(4, full=6), 2000
    for _ in range(processes_before):
        run(tmp_path, log(each), DOWN)
    with OtlpReceiver() as receiver:
        processes = [
            start(tmp_path, TOGETHER, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        warnings = [finish(process)[1] for process in processes]
        received = receiver.event_ids()
    total = processes_before * each
    assert (len(received), len(set(received))) == (total, total)
    assert warnings == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4


@breaks_with(overflow_is_dropped="mappingproxy({'queue full'")
def test_a_queue_that_is_full_overflows_to_the_spool(
    tmp_path: Path, sized: Callable[..., int]
) -> None:
    count = sized(6_000, full=20_000)
    after = f"""
one = log.sovdev_status().outputs["otlp_logs"]
assert (one.logged, one.dropped, one.delivered) == ({count}, 0, 0), one
assert one.queued <= 256 + 512, one
"""
    with OtlpReceiver() as receiver:
        receiver.hang()
        run(
            tmp_path,
            log(count, after=after),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_QUEUE_MAX_RECORDS="256",
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), [f"number {number}" for number in range(count)])


@breaks_with(spool_is_not_bounded="spooled=10000, dropped=0")
def test_the_spool_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    bound = 1_000_000
    after = """
log.sovdev_flush()
one = log.sovdev_status().outputs["otlp_logs"]
assert one.logged == one.spooled + one.dropped, one
assert dict(one.dropped_by_reason) == {"spool full": one.dropped}, one
print(one.spooled)
"""
    out, err = run(
        tmp_path,
        log(10_000, after=after),
        DOWN,
        SOVDEV_SPOOL_MAX_BYTES=str(bound),
    )
    assert "spool" in err
    assert "is full and its oldest entries are dropped" in err
    assert "entries were dropped" in err
    used = sum(path.stat().st_size for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert bound * 0.8 < used <= bound
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = [int(message.split()[1]) for message in receiver.messages()]
    assert len(received) == int(out)
    assert same(received, sorted(received))
    # The newest, and perhaps what was being tried again while the others went.
    newest = 10_000 - len(received) + 512
    assert same(received[512:], list(range(newest, 10_000)))


def test_the_folder_and_its_files_are_private(tmp_path: Path) -> None:
    run(tmp_path, log(10), DOWN)
    for path in [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_it_is_where_it_was_asked_to_be_or_nowhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "a" / "b"
    run(
        tmp_path,
        log(10),
        DOWN,
        SOVDEV_SPOOL_DIR=str(elsewhere),
    )
    assert list(elsewhere.rglob("*.segment2"))
    assert not (tmp_path / "spool").exists()
    folder = tmp_path / "memory"
    folder.mkdir()
    _, err = run(folder, log(10), DOWN, SOVDEV_SPOOL="off")
    assert not (folder / "spool").exists()
    assert "entries were dropped: 10 by otlp_logs (not sent before the end: 10)" in err


def test_a_healthy_service_makes_no_folder(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        run(tmp_path, log(1000), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert len(receiver.messages()) == 1000
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    "damage",
    [
        "flipped byte",
        pytest.param("torn tail", marks=pytest.mark.sized(least="full")),
        pytest.param("torn head", marks=pytest.mark.sized(least="full")),
        pytest.param("foreign file", marks=pytest.mark.sized(least="full")),
    ],
)
def test_damaged_files_cost_no_more_than_what_was_damaged(tmp_path: Path, damage: str) -> None:
    after = "log.sovdev_flush()\n" + LOG.format(count=100) + "log.sovdev_flush()\n"
    run(tmp_path, log(100, after=after), DOWN)
    [path] = segments(tmp_path, "log-entries")
    data = path.read_bytes()
    kept = 100
    if damage == "torn tail":
        path.write_bytes(data[:-10])
    elif damage == "torn head":
        path.write_bytes(data[:20])
        kept = 0
    elif damage == "flipped byte":
        path.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    else:
        path.with_name("000000000000.segment").write_bytes(b"somebody's file")
        (path.parent / "note.txt").write_bytes(b"somebody's file")
        (path.parent.parent / "a file").write_bytes(b"somebody's file")
        kept = 200
    with OtlpReceiver() as receiver:
        _, err = run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert len(receiver.messages()) == kept
    is_set_aside = damage in {"flipped byte", "foreign file"}
    assert ("cannot be read" in err) == is_set_aside
    assert len(list((tmp_path / "spool").glob("damaged/*"))) == is_set_aside
    assert segments(tmp_path) == []


def test_a_spool_that_somebody_cleans_up_is_counted_and_made_again(tmp_path: Path) -> None:
    after = f"""
import shutil
log.sovdev_flush()
shutil.rmtree("spool")
{LOG.format(count=50)}
log.sovdev_flush()
one = log.sovdev_status().outputs["otlp_logs"]
# What was in memory to be sent next is on disk again.
assert one.logged == 2050 == one.spooled + one.dropped, one
assert dict(one.dropped_by_reason) == {{"spool unreadable": 2000 - 512}}, one
"""
    run(tmp_path, log(2000, after=after), DOWN)
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        expected = [*range(512), *range(50)]
        assert same(receiver.messages(), [f"number {number}" for number in expected])


def test_every_output_sends_what_version_0_1_0_left(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "data/spool-1/outputs", tmp_path / "spool")
    expected = [f"number {number}" for number in range(20)]
    with OtlpReceiver() as receiver, FakeLogwell() as logwell, FakeRelay() as relay:
        _, err = run(
            tmp_path,
            program("log.sovdev_flush()"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            LOGWELL_ENDPOINT=logwell.url,
            LOGWELL_API_KEY=KEY,
            RELAY_TARGETS=relay.target,
        )
        assert receiver.messages() == expected
        assert [span[-1].name for span in receiver.spans()] == ["work"]
        assert [record["message"] for record in logwell.stored] == expected
        assert [entry["msg"] for entry in relay.entries] == expected
    assert err == ""
    assert segments(tmp_path) == []


@breaks_with(spool_sends_twice="segments(tmp_path) == []")
def test_killed_at_random_moments_while_the_collector_comes_and_goes(tmp_path: Path) -> None:
    body = """
    signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]) if len(sys.argv) > 1 else 0.15)
    number = 0
    while True:
        log.sovdev_log("info", "f", "m", None)
        log.sovdev_flush() if number % 50 == 0 else None
        number += 1
    """
    with OtlpReceiver() as receiver:
        for turn in range(12):
            if turn % 2:
                receiver.respond_with(503)
            else:
                receiver.recover()
            run(
                tmp_path,
                program(body),
                code=-signal.SIGALRM,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            )
        receiver.recover()
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = receiver.event_ids()
    written = {entry["event_id"] for entry in read_lines(tmp_path / "dev.log")}
    assert not set(received) - written
    # Twice only what was under way when a process was killed: a request for each of the 12.
    assert len(received) - len(set(received)) <= 12 * 512
    assert len(set(received)) > 0
    assert segments(tmp_path) == []
    assert set(os.listdir(tmp_path / "spool")) <= {"log-entries", "metrics"}
