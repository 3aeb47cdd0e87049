"""Disks that are full, gone or read-only: the caller sees nothing, the ledger counts it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, program, run
from support.service import read_lines

IS_ROOT = os.name == "posix" and os.geteuid() == 0

STATUS = """
def show(name):
    one = log.sovdev_status().outputs[name]
    assert one.logged == one.delivered + one.queued + one.spooled + one.dropped, one
    print(name, one.logged, one.delivered, one.queued, one.spooled, one.dropped, one.healthy)
def write(count, text="m"):
    for number in range(count):
        log.sovdev_log("info", "f", f"{text} {number}", None)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MB, where the tests run as root."""
    if not IS_ROOT:
        pytest.skip("a file system can be mounted by root only")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@breaks_with(
    failures_are_not_counted="file 1000 1000 0 0 0 True",
    calls_raise="KeyboardInterrupt",
)
def test_a_full_disk_for_a_thousand_entries_and_then_space(
    tmp_path: Path, small_disk: Path
) -> None:
    body = (
        STATUS
        + """
with open("disk/ballast", "wb", buffering=0) as file:
    try:
        while True: file.write(bytes(4096))
    except OSError: pass
    try:
        while True: file.write(b"x")
    except OSError: pass
open("disk/dev.log").close()
write(1000, "lost")
show("file")
os.remove("disk/ballast")
write(100, "kept")
log.sovdev_flush()
show("file")
show("otlp_logs")
"""
    )
    with OtlpReceiver() as receiver:
        # The log file is there before the disk is full.
        (small_disk / "dev.log").touch()
        out, err = run(
            tmp_path,
            program(body),
            LOG_FILE_PATH=str(small_disk / "dev.log"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert len(receiver.messages()) == 1100
    assert out.splitlines() == [
        "file 1000 0 0 0 1000 False",
        "file 1100 100 0 0 1000 True",
        "otlp_logs 1100 1100 0 0 0 True",
    ]
    assert err.count("WARNING") == 2
    assert "No space left on device; make room on the disk" in err
    assert "entries were dropped: 1000 by file (No space left on device: 1000)" in err
    assert [one["message"] for one in read_lines(small_disk / "dev.log")] == [
        f"kept {number}" for number in range(100)
    ]


@breaks_with(
    failures_are_not_counted="file 1000 1000 0 0 0 True",
    calls_raise="KeyboardInterrupt",
)
def test_the_full_device(tmp_path: Path) -> None:
    body = STATUS + "write(1000)\nlog.sovdev_flush()\nshow('file')\nshow('otlp_logs')\n"
    with OtlpReceiver() as receiver:
        out, _ = run(
            tmp_path,
            program(body),
            LOG_FILE_PATH="/dev/full",
            SOVDEV_SPOOL_DIR=str(tmp_path / "spool"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert len(receiver.messages()) == 1000
    assert out.splitlines() == ["file 1000 0 0 0 1000 False", "otlp_logs 1000 1000 0 0 0 True"]


def test_a_spool_on_a_full_disk_keeps_in_memory_what_it_cannot_write(
    tmp_path: Path, small_disk: Path
) -> None:
    body = (
        STATUS
        + """
write(5000)
log.sovdev_flush()
show("otlp_logs")
print("down", flush=True)
sys.stdin.readline()
"""
    )
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "SOVDEV_SPOOL_DIR": str(small_disk / "spool"),
        "SOVDEV_EXIT_TIMEOUT_SECONDS": "1",
    }
    out, err = run(tmp_path, program(body), variables)
    name, *numbers, healthy = out.splitlines()[0].split()
    logged, delivered, queued, spooled, dropped = map(int, numbers)
    assert (name, logged, delivered, dropped, healthy) == ("otlp_logs", 5000, 0, 0, "False")
    assert spooled > 500
    assert queued > 500
    assert "cannot write to the spool" in err
    # What was in memory is lost at the end, and said; what was on the disk is not.
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            program(""),
            {**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint},
        )
        received = len(set(receiver.event_ids()))
    assert received >= spooled
    assert f"dropped: {5000 - received} by otlp_logs (not sent before the end" in err


@breaks_with(
    failures_are_not_counted="file 20 20 0 0 0 True",
    calls_raise="KeyboardInterrupt",
)
def test_a_folder_that_vanishes_comes_back(tmp_path: Path) -> None:
    body = (
        STATUS
        + """
import shutil
write(10, "before")
shutil.rmtree("logs")
open("logs", "w").close()  # a file where the folder was: it cannot be made again
time.sleep(0.002)
write(10, "lost")
show("file")
os.remove("logs")
write(10, "after")
show("file")
"""
    )
    out, err = run(tmp_path, program(body), LOG_FILE_PATH="logs/dev.log")
    assert out.splitlines() == ["file 20 10 0 0 10 False", "file 30 20 0 0 10 True"]
    assert err.count("cannot write") == 1
    messages = [one["message"] for one in read_lines(tmp_path / "logs" / "dev.log")]
    assert messages == [f"after {number}" for number in range(10)]


@breaks_with(failures_are_not_counted="file 20 20 0 0 0 True")
def test_a_file_system_that_becomes_read_only_and_writable_again(
    tmp_path: Path, small_disk: Path
) -> None:
    body = (
        STATUS
        + """
def remount(how):
    # An open descriptor keeps the disk from becoming read-only.
    import logging, subprocess
    for handler in logging.getLogger("orders").handlers: handler.close()
    subprocess.run(["mount", "-o", "remount," + how, "disk"], check=True)
write(10, "before")
remount("ro")
write(10, "lost")
show("file")
remount("rw")
write(10, "after")
show("file")
"""
    )
    out, err = run(tmp_path, program(body), LOG_FILE_PATH=str(small_disk / "dev.log"))
    assert out.splitlines() == ["file 20 10 0 0 10 False", "file 30 20 0 0 10 True"]
    assert "Read-only file system; give the process the right to write there" in err
    messages = [one["message"] for one in read_lines(small_disk / "dev.log")]
    expected = [f"{word} {number}" for word in ("before", "after") for number in range(10)]
    assert messages == expected


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    if IS_ROOT:
        become_nobody = "os.setgid(65534); os.setuid(65534)\n"
        tmp_path.chmod(0o755)
        for parent in tmp_path.parents[:2]:
            parent.chmod(0o755)
    else:
        become_nobody = "os.chmod('.', 0o555)\n"
    body = (
        become_nobody
        + STATUS
        + """
write(10)
log.sovdev_flush()
show("file")
show("otlp_logs")
"""
    )
    try:
        out, err = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
    finally:
        tmp_path.chmod(0o700)
    assert out.splitlines() == ["file 10 0 0 0 10 False", "otlp_logs 10 0 10 0 0 False"]
    assert "Permission denied" in err
    assert "SOVDEV_SPOOL_DIR" in err
    assert "10 by otlp_logs (not sent before the end: 10)" in err


def test_a_closed_stderr(tmp_path: Path) -> None:
    body = STATUS + "os.close(2)\nsys.stderr = None\nwrite(10)\nshow('console')\nshow('file')\n"
    out, _ = run(tmp_path, program(body), LOG_TO_CONSOLE="true")
    assert out.splitlines() == ["console 10 0 0 0 10 False", "file 10 10 0 0 0 True"]


def test_a_handler_of_the_program_that_raises(tmp_path: Path) -> None:
    body = (
        STATUS
        + """
import logging
class Broken(logging.Handler):
    def emit(self, record): raise ValueError("broken")
broken = Broken()
logging.getLogger("orders").addHandler(broken)
write(10)
logging.getLogger("orders").removeHandler(broken)
write(10)
show("file")
"""
    )
    out, err = run(tmp_path, program(body))
    assert out == "file 20 20 0 0 0 True\n"
    assert err.count("ValueError") == 1
    assert "Traceback" not in err


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    body = (
        STATUS
        + """
clock = time.time_ns
offset = 0
time.time_ns = lambda: clock() + offset
from sovdev_logger._service.instance import instance
instance.service.logger._clock.time_ns = time.time_ns
for number in range(50):
    offset = -number * 3600 * 10**9 if number % 2 else number * 10**9
    write(20)
os.rename("dev.log", "moved.log")
offset = -10**18
time.sleep(0.002)
write(20)
log.sovdev_flush()
show("file")
show("otlp_logs")
"""
    )
    with OtlpReceiver() as receiver:
        out, err = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            LOG_FILE_MAX_BYTES="200000",
        )
        assert len(receiver.messages()) == 1020
    assert out.splitlines() == ["file 1020 1020 0 0 0 True", "otlp_logs 1020 1020 0 0 0 True"]
    assert err == ""
    assert len(read_lines(tmp_path / "dev.log")) >= 20


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("collector:4318", "expected an http:// or https:// URL"),
        ("https://127.0.0.1:{port}", "certificate verify failed"),
    ],
)
def test_an_endpoint_that_cannot_work_is_said_with_what_to_do(
    tmp_path: Path, endpoint: str, said: str
) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parents[1] / "support" / "localhost.pem")
    body = STATUS + "write(10)\nlog.sovdev_flush()\nshow('file')\n"
    with OtlpReceiver(tls=context) as receiver:
        port = receiver.endpoint.rpartition(":")[2]
        out, err = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.format(port=port),
            OTEL_METRICS_EXPORTER="none",
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
        assert receiver.messages() == []
    assert out == "file 10 10 0 0 0 True\n"
    assert said in err
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in err


def test_a_certificate_that_is_mended_lets_everything_through(tmp_path: Path) -> None:
    import ssl

    certificate = Path(__file__).parents[1] / "support" / "localhost.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    variables = {"SOVDEV_EXIT_TIMEOUT_SECONDS": "1", "OTEL_METRICS_EXPORTER": "none"}
    with OtlpReceiver(tls=context) as receiver:
        endpoint = receiver.endpoint.replace("127.0.0.1", "localhost")
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        run(tmp_path, program(STATUS + "write(10)"), variables)
        assert receiver.messages() == []
        variables["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(certificate)
        _, err = run(tmp_path, program(STATUS), variables)
        assert len(receiver.messages()) == 10
    assert err == ""
