"""What was written to stderr is recognised when it comes back, and nothing else is."""

import gc
import io
import logging
import sys
import threading
from collections.abc import Callable

import pytest

from sovdev_logger import sovdev_capture_logging, sovdev_log
from sovdev_logger._runtime import own_lines as own_lines_module
from sovdev_logger._runtime import stderr
from sovdev_logger._runtime.own_lines import OwnLines, reference_to
from sovdev_logger._runtime.stderr import FollowingStderr, console_stream
from support.service import Started

LINE = "12:00:00.123Z INFO  orders place  Order placed [0af76519]"
ERROR = f"{LINE}\n    no such company\n\n    ValueError: no such company\n"


def found(lines: OwnLines, *messages: str) -> list[bool]:
    return [lines.find(message) is not None for message in messages]


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["own", "replaced"])
def test_a_line_is_recognised_and_its_parts_are_not(stream: object) -> None:
    lines = OwnLines()
    lines.add(f"\x1b[2m{LINE}\x1b[0m\n", stream)
    assert (
        found(lines, LINE, f"{LINE}\n", f" \x1b[31m{LINE}\x1b[0m", f"{LINE}\nand more")
        == [True] * 4
    )
    assert found(lines, "Order placed", "", "\n", LINE[:-1], "INFO") == [False] * 5


def test_a_blank_text_is_not_remembered() -> None:
    lines = OwnLines()
    for stream in (None, io.StringIO()):
        lines.add("\n", stream)
    assert found(lines, "", "\n", "anything") == [False] * 3


def test_only_what_went_to_a_replaced_stream_is_found_inside_a_text() -> None:
    lines = OwnLines()
    lines.add(LINE, None)
    assert found(lines, f"stderr: {LINE}!") == [False]
    lines.add(LINE, io.StringIO())
    assert found(lines, f"stderr: {LINE}!") == [True]


def test_a_text_is_searched_near_its_start_only() -> None:
    lines = OwnLines()
    lines.add(LINE, io.StringIO())
    assert found(lines, f"{'x' * 300}{LINE}{'x' * 100_000}", f"{'x' * 500}{LINE}") == [True, False]


def test_lines_that_follow_are_recognised_in_their_order_and_thread() -> None:
    lines = OwnLines()
    lines.add(ERROR, io.StringIO())
    assert found(lines, "no such company") == [False]  # before the first line
    assert found(lines, LINE, "an entry", "no such company", "an entry") == [
        True,
        False,
        True,
        False,
    ]
    elsewhere: list[bool] = []
    thread = threading.Thread(
        target=lambda: elsewhere.extend(found(lines, "ValueError: no such company"))
    )
    thread.start()
    thread.join()
    assert elsewhere == [False]
    assert found(lines, "    ValueError: no such company", "no such company") == [True, False]


def test_no_line_follows_when_the_write_has_ended() -> None:
    lines = OwnLines()
    lines.add(ERROR, io.StringIO())
    assert found(lines, LINE) == [True]
    lines.end_write()
    assert found(lines, "no such company") == [False]


def test_a_text_that_comes_whole_is_followed_by_nothing() -> None:
    lines = OwnLines()
    lines.add(ERROR, io.StringIO())
    assert found(lines, ERROR, "no such company") == [True, False]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_lines_module, "_GENERATION_LINES", 10)
    lines, stream = OwnLines(), io.StringIO()
    assert lines.is_empty()
    for number in range(65):
        lines.add(f"{number:03} {'x' * 10_000}", stream)
    heads = [*lines._heads, *lines._older_heads]
    assert len(heads) == 15
    assert max(map(len, heads)) <= 200
    assert lines.has_forgotten
    assert found(lines, f"004 {'x' * 10_000}", f"064 {'x' * 10_000}") == [False, True]
    for number in range(1500):
        lines.add(f"{number:04} {'x' * 10_000}", None)
    assert len(lines._unsorted) == 10
    assert max(map(len, lines._unsorted)) == 2048


class NoReferences:
    __slots__ = ()


def test_a_stream_is_held_weakly_where_that_is_possible() -> None:
    stream = io.StringIO()
    reference = reference_to(stream)
    assert reference() is stream
    del stream
    gc.collect()
    assert reference() is None
    bare = NoReferences()
    assert reference_to(bare)() is bare


class Logs(io.StringIO):
    """A stream over logging, as Celery's: each line is a record."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._logger.warning(line)
        return len(text)


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What stderr was when the library was imported."""
    stream = io.StringIO()
    monkeypatch.setattr(stderr, "_first_stderr", lambda: stream)
    return stream


def test_a_handler_of_others_does_not_feed_itself(
    monkeypatch: pytest.MonkeyPatch, first: io.StringIO
) -> None:
    logger = logging.getLogger("test.feeds.itself")
    logger.propagate = False
    handler = logging.StreamHandler(FollowingStderr())
    logger.addHandler(handler)
    monkeypatch.setattr(sys, "stderr", Logs(logger))
    try:
        for text in ("once", "twice", "twice"):
            logger.warning(text)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert first.getvalue() == "once\ntwice\ntwice\n"


def test_a_handler_of_others_follows_a_good_stream(
    monkeypatch: pytest.MonkeyPatch, first: io.StringIO
) -> None:
    stream = FollowingStderr()
    for replaced in (io.StringIO(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", replaced)
        stream.write("a line\n")
        stream.write("a line\n")
        assert replaced.getvalue() == "a line\na line\n"
        assert not stream.isatty()
    monkeypatch.setattr(sys, "stderr", None)
    stream.write("nobody hears this")
    assert not stream.isatty()
    assert first.getvalue() == ""


def test_without_another_stream_the_current_one_is_used(
    monkeypatch: pytest.MonkeyPatch, first: io.StringIO
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    stderr.avoid_stream(stream)
    assert console_stream() is first
    first.close()
    monkeypatch.setattr(sys, "__stderr__", None)
    assert console_stream() is stream


def test_streams_of_a_class_are_left_before_anything_comes_back(
    monkeypatch: pytest.MonkeyPatch, first: io.StringIO
) -> None:
    monkeypatch.setattr(stderr, "_types_leading_back", set())
    stderr.avoid_streams_of(Logs)
    monkeypatch.setattr(sys, "stderr", Logs(logging.getLogger("test.left")))
    assert console_stream() is first


def test_a_stream_without_flush_is_written_to() -> None:
    written: list[str] = []

    class Bare:
        write = written.append

    stderr.write_and_flush(Bare(), LINE)  # type: ignore[arg-type]
    assert written == [LINE]


def test_the_next_service_goes_on_where_the_first_was(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch, first: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", Logs(logging.getLogger("test.redirected")))
    for number in range(2):
        started = start(LOG_TO_CONSOLE="true")
        undo = sovdev_capture_logging("info")
        try:
            sovdev_log("info", "main", f"call {number}", None)
        finally:
            undo()
    assert [entry["message"] for entry in started.entries] == ["call 0", "call 1"]
    assert first.getvalue().count(" call ") == 2


def test_a_record_whose_text_cannot_be_made_is_not_ours(start: Callable[..., Started]) -> None:
    service, line = start().service, LINE.replace("12:", "13:")
    stderr.own_lines.add(line, None)
    common = {"name": "test", "levelno": logging.INFO, "args": (line,)}
    ours = logging.makeLogRecord({**common, "msg": "%s"})
    assert [service.entry_from_record(ours) for _ in range(2)] == [None, None]
    assert service.entry_from_record(logging.makeLogRecord({**common, "msg": "%d"}))


def test_the_text_of_a_record_is_made_once(start: Callable[..., Started]) -> None:
    service, made = start().service, []

    class Counts:
        def __str__(self) -> str:
            made.append(self)  # such an argument may log, too
            return "an argument"

    stderr.own_lines.add(LINE, None)
    record = {"name": "test", "levelno": logging.INFO, "msg": "with %s", "args": (Counts(),)}
    assert service.entry_from_record(logging.makeLogRecord(record))
    assert len(made) == 1
