"""Lines into a pipe that takes them in part."""

import os
from collections.abc import Iterator

import pytest

from sovdev_logger._outputs import line_stream
from sovdev_logger._outputs.line_stream import NOT_READ, LineStream
from sovdev_logger._runtime.log_files import NO_READER, OpenLog

LARGE = b"x" * 200_000 + b"\n"
"""More than a pipe holds."""


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.late: list[str] = []
        log = OpenLog(self.writer, os.fstat(self.writer), is_own=True)
        self.stream = LineStream(log, self.late.append)

    def write(self, line: bytes) -> int:
        return self.stream.write(self.writer, line)

    def read(self) -> bytes:
        data = bytearray()
        try:
            while more := os.read(self.reader, 65536):
                data += more
        except BlockingIOError:
            pass
        return bytes(data)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr(line_stream, "MAX_WAIT_SECONDS", 0.0)
    made = Pipe()
    yield made
    os.close(made.writer)


def close_reader(pipe: Pipe) -> None:
    os.close(pipe.reader)


def test_a_line_taken_in_part_is_finished_first_and_counts_then(pipe: Pipe) -> None:
    with pytest.raises(TimeoutError, match=NOT_READ):
        pipe.write(LARGE)
    got = pipe.read()
    with pytest.raises(TimeoutError, match=NOT_READ):
        pipe.write(b"lost\n")  # what is left of the large one fills the pipe once more
    while not pipe.late:
        got += pipe.read()
        try:
            pipe.write(b"next\n")
        except TimeoutError:
            continue
    assert got + pipe.read() == LARGE + b"next\n"
    assert pipe.late == [NOT_READ]
    assert pipe.write(b"last\n") == 5
    assert pipe.read() == b"last\n"
    close_reader(pipe)


def test_a_line_that_was_not_begun_is_lost(pipe: Pipe) -> None:
    small = b"y" * 4000 + b"\n"
    written = 0
    try:
        while True:
            written += pipe.write(small)
    except TimeoutError:
        assert len(pipe.read()) == written
    pipe.write(b"next\n")
    assert (pipe.read(), pipe.late) == (b"next\n", [])
    close_reader(pipe)


def test_a_reader_that_leaves_inside_a_line_leaves_it_lost(pipe: Pipe) -> None:
    with pytest.raises(TimeoutError):
        pipe.write(LARGE)
    close_reader(pipe)
    for _ in range(2):
        with pytest.raises(BrokenPipeError, match=NO_READER):
            pipe.write(b"lost\n")
    assert pipe.late == []


def test_the_next_reader_begins_on_a_line_of_its_own(pipe: Pipe) -> None:
    with pytest.raises(TimeoutError):
        pipe.write(LARGE)
    beginning = pipe.read()
    close_reader(pipe)
    with pytest.raises(BrokenPipeError):
        pipe.write(b"lost\n")
    pipe.reader = os.open(f"/proc/self/fd/{pipe.writer}", os.O_RDONLY | os.O_NONBLOCK)
    pipe.write(b"next\n")
    assert beginning == LARGE[: len(beginning)]
    assert pipe.read() == b"\nnext\n"
    close_reader(pipe)


def test_a_child_leaves_the_begun_line_to_its_parent(pipe: Pipe) -> None:
    with pytest.raises(TimeoutError):
        pipe.write(LARGE)
    pipe.stream.forget_rest()
    pipe.read()
    pipe.write(b"next\n")
    assert (pipe.read(), pipe.late) == (b"next\n", [])
    close_reader(pipe)


def test_last_words_come_after_the_begun_line(pipe: Pipe) -> None:
    with pytest.raises(TimeoutError):
        pipe.write(LARGE[-70_000:])
    got = pipe.read()
    pipe.stream.write_aside(b"last words\n")
    assert got + pipe.read() == LARGE[-70_000:] + b"last words\n"
    close_reader(pipe)
