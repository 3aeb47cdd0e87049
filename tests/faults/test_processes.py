"""Real processes: exits, kills, signals, forks, several writers of one file."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from support import schema
from support.otlp_receiver import OtlpReceiver
from support.service import environment, read_lines, strict_json

INITIALISE = """
import os, signal, sys, threading, time
import sovdev_logger as log
log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})
"""


def start(folder: Path, program: str, **variables: str) -> subprocess.Popen[str]:
    inherited = dict(os.environ)
    if "signal." in program.removeprefix(INITIALISE):
        # Measuring coverage takes locks that a signal handler meets held.
        inherited = {k: v for k, v in inherited.items() if not k.startswith("COVERAGE_")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**inherited, **environment(folder, **variables)},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, program: str, *, code: int = 0, **variables: str) -> tuple[str, str]:
    process = start(folder, program, **variables)
    out, err = process.communicate(timeout=90)
    assert process.returncode == code, err
    return out, err


def program(body: str) -> str:
    return INITIALISE + textwrap.dedent(body)


def test_what_is_queued_is_delivered_at_a_normal_exit(tmp_path: Path) -> None:
    body = """
    for number in range(100):
        with log.sovdev_start_span("work"):
            log.sovdev_log("info", "f", f"number {number}", None)
    """
    with OtlpReceiver() as receiver:
        out, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == [f"number {number}" for number in range(100)]
        assert len(receiver.spans()) == 100
        assert receiver.metrics()["sovdev_operations_total"][0][1] == 100
    assert (out, err) == ("", "")


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise ValueError('x')"])
def test_the_same_when_the_program_ends_otherwise(tmp_path: Path, ending: str) -> None:
    body = f"log.sovdev_log('info', 'f', 'last words', None)\n{ending}"
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            program(body),
            code=3 if "exit" in ending else 1,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert receiver.messages() == ["last words"]


@pytest.mark.parametrize("behaviour", ["hang", "drip", "refuse"])
def test_exit_is_bounded_whatever_the_collector_does(tmp_path: Path, behaviour: str) -> None:
    body = """
    log.sovdev_log("info", "f", "hello", None)
    with log.sovdev_start_span("work"): pass
    ended = time.monotonic()
    import atexit
    atexit.register(lambda: None)
    print(time.time())
    """
    with OtlpReceiver() as receiver:
        if behaviour == "refuse":
            endpoint = "http://127.0.0.1:9"
        else:
            getattr(receiver, behaviour)()
            endpoint = receiver.endpoint
        out, err = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
        assert time.time() - float(out) < 4
    assert "1 log entries" in err
    assert "1 spans" in err
    assert len(read_lines(tmp_path / "dev.log")) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_has_in_the_file_what_it_logged(
    tmp_path: Path, number: signal.Signals
) -> None:
    body = """
    for number in range(10_000_000):
        log.sovdev_log("info", "f", f"number {number}", None)
        os.write(1, f"{number}\\n".encode())
    """
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = start(folder, program(body))
        assert process.stdout is not None
        said = b""
        while said.count(b"\n") < 50 + 37 * attempt:
            said += os.read(process.stdout.fileno(), 4096)
        process.send_signal(number)
        while rest := os.read(process.stdout.fileno(), 65536):
            said += rest
        process.communicate(timeout=30)
        assert process.returncode == -number
        # Each number was said after its call had returned; the last one may be cut off.
        last_acknowledged = int(said.split(b"\n")[-2])
        # The system may cut off the very last write, of a call that had not returned.
        *whole, _torn = (folder / "dev.log").read_bytes().split(b"\n")
        messages = [strict_json(line.decode())["message"] for line in whole]
        assert messages[: last_acknowledged + 1] == [
            f"number {acknowledged}" for acknowledged in range(last_acknowledged + 1)
        ]


def test_a_signal_handler_may_log_and_shut_down(tmp_path: Path) -> None:
    body = """
    def stop(number, frame):
        log.sovdev_log("warn", "stop", "stopping", None)
        log.sovdev_shutdown()
        os._exit(7)
    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    while True:
        log.sovdev_log("info", "f", "working", None)
    """
    with OtlpReceiver() as receiver:
        process = start(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 7
        assert receiver.messages()[-1] == "stopping"
    entries = read_lines(tmp_path / "dev.log")
    assert [entry["message"] for entry in entries].count("stopping") == 1


def test_a_timer_signal_that_logs_loses_nothing_and_deadlocks_nowhere(tmp_path: Path) -> None:
    body = """
    fired = 0
    def handler(number, frame):
        global fired
        fired += 1
        log.sovdev_log("info", "signal", "signal", None, {"n": fired})
        if fired % 100 == 0:
            log.sovdev_flush()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    for number in range(20_000):
        log.sovdev_log("info", "main", "main", None, {"n": number})
    signal.setitimer(signal.ITIMER_REAL, 0)
    log.sovdev_flush()
    print(fired)
    """
    with OtlpReceiver() as receiver:
        out, err = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            LOG_FILE_MAX_BYTES="500000",
            LOG_FILE_BACKUP_COUNT="100",
        )
        delivered = receiver.messages()
    assert err == ""
    files = sorted(tmp_path.glob("dev.log*"))
    written = [entry["message"] for path in files for entry in read_lines(path)]
    assert len(files) > 5
    for messages in (written, delivered):
        assert messages.count("main") == 20_000
        assert messages.count("signal") == int(out)
    assert int(out) > 20


def test_logging_from_finalizers_and_exit_hooks(tmp_path: Path) -> None:
    body = """
    import atexit
    class Last:
        def __init__(self, name): self.name = name
        def __del__(self): log.sovdev_log("info", "del", self.name, None)
    atexit.register(lambda: log.sovdev_log("info", "exit", "hook", None))
    kept = Last("at teardown")
    Last("at once")
    def work():
        while True:
            log.sovdev_log("info", "daemon", "daemon", None)
    threading.Thread(target=work, daemon=True).start()
    """
    out, err = run(tmp_path, program(body))
    assert err == ""
    assert out == ""
    messages = {entry["message"] for entry in read_lines(tmp_path / "dev.log")}
    assert {"at once", "hook"} <= messages


def test_exit_hooks_before_and_after_ours(tmp_path: Path) -> None:
    body = """
    import atexit
    import sovdev_logger as log
    atexit.register(lambda: log.sovdev_log("info", "f", "after ours", None))
    log.sovdev_initialize("orders")
    atexit.register(lambda: log.sovdev_log("info", "f", "before ours", None))
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == ["before ours"]
    messages = [entry["message"] for entry in read_lines(tmp_path / "dev.log")]
    assert messages == ["before ours", "after ours"]


def test_forked_children_log_and_export_their_own(tmp_path: Path) -> None:
    body = """
    log.sovdev_log("info", "f", "parent before", None)
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            with log.sovdev_start_span("child"):
                log.sovdev_log("info", "f", f"child {number}", None)
            log.sovdev_flush()
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    log.sovdev_log("info", "f", "parent after", None)
    """
    expected = ["child 0", "child 1", "child 2", "parent after", "parent before"]
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert sorted(receiver.messages()) == expected
        assert len(receiver.spans()) == 3
        totals = [
            point.as_int
            for request in receiver.requests
            if request.path == "/v1/metrics"
            for resource in request.message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "sovdev_operations_total"
            for point in metric.sum.data_points
        ]
        assert sorted(totals) == [1, 1, 1, 2]
    entries = read_lines(tmp_path / "dev.log")
    assert sorted(entry["message"] for entry in entries) == expected
    assert len({entry["event_id"] for entry in entries}) == 5
    assert len({entry["trace_id"] for entry in entries}) == 5


def test_forking_while_threads_log_hangs_no_child(tmp_path: Path) -> None:
    body = """
    import warnings
    warnings.simplefilter("ignore")
    stop = threading.Event()
    def work():
        while not stop.is_set():
            log.sovdev_log("info", "f", "thread", None)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    for number in range(50):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            log.sovdev_log("info", "f", f"child {number}", None)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, number
    stop.set()
    for thread in threads: thread.join()
    """
    run(tmp_path, program(body), LOG_FILE_MAX_BYTES="2000000", LOG_FILE_BACKUP_COUNT="500")
    written = [entry for path in tmp_path.glob("dev.log*") for entry in read_lines(path)]
    children = {entry["message"] for entry in written if entry["message"].startswith("child")}
    assert len(children) == 50
    assert len({entry["event_id"] for entry in written}) == len(written)


def test_several_processes_write_and_rotate_one_file(tmp_path: Path) -> None:
    body = """
    name = sys.argv[1] if len(sys.argv) > 1 else str(os.getpid())
    for number in range(2500):
        log.sovdev_log("info", "f", f"{name}/{number}", None)
    """
    limits = {"LOG_FILE_MAX_BYTES": "200000", "LOG_FILE_BACKUP_COUNT": "200"}
    processes = [start(tmp_path, program(body), **limits) for _ in range(6)]
    for process in processes:
        _, err = process.communicate(timeout=90)
        assert (process.returncode, err) == (0, "")
    files = [path for path in tmp_path.glob("dev.log*") if not path.name.startswith(".")]
    written = [entry for path in files for entry in read_lines(path)]
    assert len(written) == 15_000
    assert len({entry["event_id"] for entry in written}) == 15_000
    assert len(files) > 20
    largest = max(path.stat().st_size for path in files)
    assert largest < 300_000


@pytest.mark.parametrize("closed", ["sys.stderr.close()", "os.close(2)", "sys.stderr = None"])
def test_without_a_stderr_the_service_goes_on(tmp_path: Path, closed: str) -> None:
    body = f"""
    {closed}
    log.sovdev_log("loud", "f", "hello", "NOBODY")
    """
    run(tmp_path, program(body), LOG_TO_CONSOLE="true")
    assert read_lines(tmp_path / "dev.log")[0]["message"] == "hello"


def test_without_orjson_everything_works(tmp_path: Path) -> None:
    body = """
    import sys
    sys.modules["orjson"] = None
    """ + textwrap.indent(
        program("""
        log.sovdev_log("info", "f", "TIL OPPHØR", "BRREG", {"a": [1, {"password": "hunter2"}]}, 2.5)
        """),
        "    ",
    )
    with OtlpReceiver() as receiver:
        run(tmp_path, body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == ["TIL OPPHØR"]
    line = (tmp_path / "dev.log").read_bytes()
    assert schema.faults_of(line) == []
    assert b'"input_json":{"a":[1,{"password":"[REDACTED]"}]},"response_json":2.5' in line


def test_importing_prints_nothing_and_starts_nothing(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        """
        import threading, sovdev_logger
        assert threading.active_count() == 1
        """,
    )
    assert (out, err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_warning_lines_have_their_form(tmp_path: Path) -> None:
    _, err = run(tmp_path, program("log.sovdev_log('loud', 'f', 'm\\n[fake]', 'NO\\nBODY')"))
    for line in err.splitlines():
        assert re.match(r"\[sovdev-logger\] WARNING: .+; .+", line), line
