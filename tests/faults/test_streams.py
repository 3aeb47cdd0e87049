"""The log file is a pipe, a terminal or a socket: it takes what its reader has room for."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import breaks_with, finish, program, same, start
from support.service import strict_json

WRITE = program(
    """
    def show():
        one = log.sovdev_status().outputs["file"]
        assert one.logged == one.delivered + one.dropped + one.queued
        print(one.logged, one.delivered, one.dropped, one.healthy, file=sys.stderr, flush=True)
    def write(count, text="m", **more):
        for number in range(count):
            log.sovdev_log("info", "f", f"{text} {number}", None, **more)
    """
)
SHORT_WAIT = """
from sovdev_logger._outputs import json_file, line_stream
json_file.MAX_WAIT_SECONDS = line_stream.MAX_WAIT_SECONDS = 0.2
"""


def messages(data: bytes) -> list[str]:
    assert data.endswith(b"\n") or not data
    return [strict_json(line)["message"] for line in data.decode().splitlines()]


def expected(count: int, text: str = "m") -> list[str]:
    return [f"{text} {number}" for number in range(count)]


def wait_until_full(reader: int, process: "subprocess.Popen[str]") -> None:
    """Wait until a pipe has no room for a line, or its writer has ended."""
    in_it, size = 0, fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
    while in_it < size * 3 // 4 and process.poll() is None:
        threading.Event().wait(0.002)
        (in_it,) = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))


def read_all(reader: int) -> bytes:
    data = bytearray()
    while more := os.read(reader, 4096):
        data += more
    return bytes(data)


@pytest.fixture
def count(sized: Callable[..., int]) -> int:
    return sized(5_000, full=50_000)


@breaks_with(streams_do_not_wait="assert same(")
def test_a_burst_into_a_pipe_that_is_read_slowly(tmp_path: Path, count: int) -> None:
    body = f"write({count})\nshow()\nprint(os.get_blocking(1), file=sys.stderr)\n"
    process = start(tmp_path, WRITE + body, LOG_FILE_PATH="/dev/stdout")
    assert process.stdout is not None
    wait_until_full(process.stdout.fileno(), process)
    data = read_all(process.stdout.fileno())
    _, err = finish(process)
    assert same(messages(data), expected(count))
    assert err.splitlines() == [f"{count} {count} 0 True", "True"]
    assert not [path for path in tmp_path.iterdir() if path.name != "logs"]


def test_what_is_printed_to_the_same_pipe_stays_whole(tmp_path: Path) -> None:
    body = """
    def chat():
        for number in range(2000): os.write(1, f"said {number} {'-' * 500}\\n".encode())
    chatter = threading.Thread(target=chat)
    chatter.start()
    write(2000)
    chatter.join()
    """
    process = start(tmp_path, WRITE + textwrap.dedent(body), LOG_FILE_PATH="/proc/self/fd/1")
    out, err = finish(process)
    said = [line for line in out.splitlines() if not line.startswith("{")]
    assert err == ""
    assert same(said, [f"said {number} " + "-" * 500 for number in range(2000)])
    logged = [line for line in out.splitlines() if line.startswith("{")]
    assert same([strict_json(line)["message"] for line in logged], expected(2000))


def test_a_pipe_that_nobody_reads_holds_one_call_and_no_other(tmp_path: Path) -> None:
    body = SHORT_WAIT + "write(2000, x := 'x')\nshow()\nsys.stdin.readline()\nwrite(10)\nshow()\n"
    process = start(tmp_path, WRITE + body, LOG_FILE_PATH="/dev/stdout")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    warning, first = process.stderr.readline(), process.stderr.readline()
    assert "/dev/stdout: its reader does not read; start what reads it" in warning
    logged, delivered, dropped, healthy = first.split()
    out = [os.read(process.stdout.fileno(), 65_536)]  # a call that finds no room waits no more
    reader = threading.Thread(target=lambda: out.append(read_all(process.stdout.fileno())))  # type: ignore[union-attr]
    reader.start()
    process.stdin.write("\n")
    process.stdin.flush()
    second = process.stderr.readline()
    reader.join(30)
    err = process.stderr.read()  # finish does not know what readline has read ahead
    finish(process)
    found = messages(b"".join(out))
    assert (logged, healthy) == ("2000", "False")
    assert 0 < int(delivered) == 2000 - int(dropped)
    assert second == f"2010 {int(delivered) + 10} {dropped} True\n"
    assert found == [*expected(int(delivered), "x"), *expected(10)]
    assert err.count("WARNING") == 1  # of what was dropped, at the end


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@contextlib.contextmanager
def reading(fifo: Path) -> Iterator[int]:
    reader = os.open(fifo, os.O_RDONLY)
    try:
        yield reader
    finally:
        os.close(reader)


def test_a_reader_that_comes_after_the_first_entry_gets_it(tmp_path: Path, fifo: Path) -> None:
    body = "print('now', file=sys.stderr, flush=True)\nwrite(100)\nshow()\n"
    process = start(tmp_path, WRITE + body, LOG_FILE_PATH=str(fifo))
    assert process.stderr is not None
    assert process.stderr.readline() == "now\n"
    with reading(fifo) as reader:
        data = read_all(reader)
    _, err = finish(process)
    assert messages(data) == expected(100)
    assert err == "100 100 0 True\n"


def test_a_reader_that_leaves_and_comes_back(tmp_path: Path, fifo: Path) -> None:
    """Also in a program that would die of a pipe without a reader."""
    body = """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for part in ("first", "lost", "again"):
        write(100, part)
        show()
        sys.stdin.readline()
    """
    source = WRITE + textwrap.dedent(SHORT_WAIT) + textwrap.dedent(body)
    process = start(tmp_path, source, LOG_FILE_PATH=str(fifo))
    assert process.stdin is not None
    assert process.stderr is not None
    with reading(fifo) as reader:
        assert process.stderr.readline() == "100 100 0 True\n"
        first = os.read(reader, 65536)
    process.stdin.write("\n")
    process.stdin.flush()
    assert "fifo: it has no reader; start what reads it" in process.stderr.readline()
    assert process.stderr.readline() == "200 100 100 False\n"
    with reading(fifo) as reader:
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stderr.readline() == "300 200 100 True\n"
        again = os.read(reader, 65536)
    finish(process, said="\n")
    assert messages(first) == expected(100, "first")
    assert messages(again) == expected(100, "again")


def test_lines_of_several_processes_do_not_mix(tmp_path: Path, fifo: Path) -> None:
    each = 1000
    body = f"write({each}, str(os.getpid()), input_json='x' * 2000)\nshow()\n"
    processes = [start(tmp_path, WRITE + body, LOG_FILE_PATH=str(fifo)) for _ in range(4)]
    with reading(fifo) as reader:
        writer = os.open(fifo, os.O_WRONLY)  # no end before all processes have ended
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(read_all(reader)))
        thread.start()
        for process in processes:
            assert finish(process) == ("", f"{each} {each} 0 True\n")
        os.close(writer)
        thread.join()
    names = [str(process.pid) for process in processes]
    assert sorted(messages(got[0])) == sorted(f"{n} {i}" for n in names for i in range(each))


def test_a_terminal(tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    try:
        body = "write(200)\nshow()\n"
        process = start(tmp_path, WRITE + body, LOG_FILE_PATH=os.ttyname(inner))
        data = b""
        while data.count(b"\n") < 200:
            data += os.read(outer, 65536)
        _, err = finish(process)
    finally:
        os.close(outer)
        os.close(inner)
    assert messages(data.replace(b"\r\n", b"\n")) == expected(200)
    assert err == "200 200 0 True\n"


def test_a_socket_as_standard_output(tmp_path: Path) -> None:
    """As under systemd: it cannot be opened, only copied."""
    body = """
    import socket
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    os.dup2(ours.fileno(), 1)
    got = bytearray()
    def read():
        while more := theirs.recv(1000): got.extend(more)
    reader = threading.Thread(target=read)
    reader.start()
    write(200, input_json="x" * 10_000)
    show()
    print(os.get_blocking(1), file=sys.stderr)
    ours.shutdown(socket.SHUT_WR)
    reader.join()
    open("got", "wb").write(got)
    """
    process = start(tmp_path, WRITE + textwrap.dedent(body), LOG_FILE_PATH="/dev/stdout")
    _, err = finish(process)
    assert err == "200 200 0 True\nTrue\n"
    assert same(messages((tmp_path / "got").read_bytes()), expected(200))


@breaks_with(own_descriptors_are_opened_anew="assert same(")
def test_standard_output_in_a_file_is_not_rotated_and_not_overwritten(tmp_path: Path) -> None:
    body = """
    os.dup2(os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.symlink("/dev/stdout", "link")
    for number in range(300):
        print(f"said {number}", flush=True)
        write(1, f"logged {number}")
    show()
    """
    limit = {"LOG_FILE_MAX_BYTES": "1000", "LOG_FILE_PATH": str(tmp_path / "link")}
    process = start(tmp_path, WRITE + textwrap.dedent(body), limit)
    _, err = finish(process)
    lines = (tmp_path / "out").read_text().splitlines()
    assert err == "300 300 0 True\n"
    assert same(lines[::2], expected(300, "said"))
    assert [strict_json(line)["message"] for line in lines[1::2]] == [
        f"logged {number} 0" for number in range(300)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


def test_what_a_program_prints_in_pieces_to_its_file_holds_no_call(tmp_path: Path) -> None:
    body = """
    os.dup2(os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    looks = []
    log_files = sys.modules["sovdev_logger._runtime.log_files"]
    log_files.time.sleep = looks.append
    for number in range(50):
        print(".", end="", flush=True)
        write(1, f"logged {number}")
        threading.Event().wait(0.002)  # until the file is looked at again
    print(looks, file=sys.stderr)
    show()
    """
    process = start(tmp_path, WRITE + textwrap.dedent(body), LOG_FILE_PATH="/dev/stdout")
    _, err = finish(process)
    assert err == "[]\n50 50 0 True\n"
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines[::2] == ["."] * 50
    assert [strict_json(line)["message"] for line in lines[1::2]] == [
        f"logged {number} 0" for number in range(50)
    ]


def test_last_words_while_a_pipe_is_full(tmp_path: Path) -> None:
    body = """
    def leave(*_):
        write(1, "last words")
        log.sovdev_flush()
        os._exit(0)
    signal.signal(signal.SIGUSR1, leave)
    write(10_000)
    """
    process = start(tmp_path, WRITE + textwrap.dedent(body), LOG_FILE_PATH="/dev/stdout")
    assert process.stdout is not None
    wait_until_full(process.stdout.fileno(), process)
    process.send_signal(10)
    found = messages(read_all(process.stdout.fileno()))
    finish(process)
    assert found[-1] == "last words 0"
    assert found[:-1] == expected(len(found) - 1)


def test_the_spool_is_not_among_devices(tmp_path: Path) -> None:
    body = "from sovdev_logger._service.instance import instance\n"
    body += "print(instance.service.settings.delivery.spool.folder, file=sys.stderr)\n"
    process = start(tmp_path, program(body), LOG_FILE_PATH="/dev/null")
    _, err = finish(process)
    assert err == f"{tmp_path / 'logs' / 'spool'}\n"
