"""The console: made for people, and nothing in an entry can forge a line or colour it."""

import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

import pytest

from sovdev_logger import sovdev_log
from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.console import ConsoleHandler, place, wants_colour
from sovdev_logger._outputs.console import render as render_at
from support.entries import make_entry
from support.service import Started


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def handler_on(stream: TextIO | None, **options: object) -> ConsoleHandler:
    return ConsoleHandler(lambda _: None, stream=lambda: stream, environ={}, **options)  # type: ignore[arg-type]


def render(entry: Entry, *, colour: bool) -> str:
    return render_at(entry, place(entry), colour)


def test_a_line_has_time_level_service_function_peer_message_and_trace() -> None:
    assert render(make_entry(), colour=False) == (
        "22:13:20.123Z INFO  orders place -> SYS1234567  Order placed [0af76519]\n"
    )


def test_the_services_own_name_is_not_repeated_as_its_peer() -> None:
    line = render(make_entry(peer_service="orders"), colour=False)
    assert line == "22:13:20.123Z INFO  orders place  Order placed [0af76519]\n"


def test_an_exception_is_indented_below() -> None:
    entry = make_entry(
        level="error",
        exception_type="Error",
        exception_message="HTTP 404: ",
        exception_stacktrace="LookupError: HTTP 404: \n  at fetch (lookup.py:9)",
    )
    assert render(entry, colour=False).splitlines()[1:] == [
        "    LookupError: HTTP 404: ",
        "      at fetch (lookup.py:9)",
    ]


def test_a_message_that_the_stack_trace_had_to_cut_is_shown_whole() -> None:
    entry = make_entry(
        exception_type="Error", exception_message="a long text", exception_stacktrace="E: a lo…"
    )
    assert render(entry, colour=False).splitlines()[1:] == ["    a long text", "    E: a lo…"]


def test_columns_line_up_from_line_to_line() -> None:
    stream = io.StringIO()
    handler = handler_on(stream)
    for function in ("place", "a_much_longer_function_name", "place"):
        handler.submit(make_entry(function_name=function))
    lines = stream.getvalue().splitlines()
    assert lines[2].index("Order placed") == lines[1].index("Order placed")


@pytest.mark.parametrize(
    "attack",
    [
        "fine\n2026-01-01 INFO forged",
        "\x1b[31mred\x1b[0m",
        "\r overwritten",
        "a\u2028b",
        "a\u202eb",
        "\x9b31m",
        "bell\x07 back\x08space",
        "nul\x00",
    ],
)
def test_text_cannot_end_the_line_or_steer_the_terminal(attack: str) -> None:
    for field in ("message", "function_name", "peer_service", "trace_id"):
        values: dict[str, Any] = {field: attack}
        line = render(make_entry(**values), colour=False)
        assert line.count("\n") == 1
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line
    entry = make_entry(
        exception_type="Error", exception_message=attack, exception_stacktrace=f"E: {attack}"
    )
    for line in render(entry, colour=False).splitlines()[1:]:
        assert line.startswith("    ")
        assert "\x1b" not in line


@pytest.mark.parametrize(
    ("environ", "stream", "coloured"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "0"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, object(), False),
    ],
)
def test_colour_follows_the_terminal_and_the_conventions(
    environ: dict[str, str], stream: object, coloured: bool
) -> None:
    assert wants_colour(stream, environ) is coloured


def test_each_level_has_its_colour_and_it_ends() -> None:
    for level in ("trace", "debug", "info", "warn", "error", "fatal"):
        line = render(make_entry(level=level), colour=True)
        assert level.upper() in line
        assert line.count("\x1b[0m") == line.count("\x1b[") / 2


def test_json_lines_are_those_of_the_file() -> None:
    stream = io.StringIO()
    entry = make_entry()
    handler_on(stream, as_json=True).submit(entry)
    assert stream.getvalue().encode() == entry.line()


def test_without_a_stderr_nothing_happens() -> None:
    handler_on(None).submit(make_entry())


def test_a_closed_stderr_is_counted_and_hurts_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    stream.close()
    handler = handler_on(stream)
    handler.submit(make_entry())
    handler.submit(make_entry())
    assert handler.status().dropped == 2
    assert capsys.readouterr().err.count("cannot write to the console") == 1


def test_a_terminal_that_knows_only_ascii_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    handler_on(stream).submit(make_entry(message="TIL OPPHØR"))
    assert b"TIL OPPH\\xd8R" in raw.getvalue()


class Busy(io.StringIO):
    """A stream that the program itself is writing to right now."""

    def write(self, text: str) -> int:
        raise RuntimeError("reentrant call")


def test_a_stream_that_is_busy_is_written_past(capfd: pytest.CaptureFixture[str]) -> None:
    handler_on(Busy()).submit(make_entry())
    assert "Order placed" in capfd.readouterr().err


class Interrupted(io.StringIO):
    """A stream in whose first write a signal arrives, and its handler logs."""

    def __init__(self, arrive: Callable[[], None]) -> None:
        super().__init__()
        self._arrive = arrive
        self._written = 0

    def write(self, text: str) -> int:
        self._written += 1
        if self._written == 1:
            self._arrive()
        return super().write(text)


def test_an_entry_from_a_signal_inside_the_write_comes_after_it() -> None:
    def log_again(*_: object) -> None:
        handler.submit(make_entry(message="from the signal"))

    stream = Interrupted(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    handler = handler_on(stream)
    before = signal.signal(signal.SIGUSR1, log_again)
    try:
        handler.submit(make_entry(message="interrupted"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    lines = stream.getvalue().splitlines()
    assert ["interrupted" in lines[0], "from the signal" in lines[1]] == [True, True]


def test_the_default_stream_is_the_stderr_of_the_moment(
    start: Callable[..., Started],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start(LOG_TO_CONSOLE="true")
    sovdev_log("info", "main", "to stderr", None)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "to stderr" in printed.err
    redirected = io.StringIO()
    monkeypatch.setattr(sys, "stderr", redirected)
    sovdev_log("info", "main", "redirected", None)
    assert "redirected" in redirected.getvalue()


def test_json_format_by_variable(
    start: Callable[..., Started], capsys: pytest.CaptureFixture[str]
) -> None:
    started = start(LOG_TO_CONSOLE="true", SOVDEV_CONSOLE_FORMAT="json")
    sovdev_log("info", "main", "same line", None)
    assert json.loads(capsys.readouterr().err) == started.last


def test_an_entry_is_not_adopted_twice() -> None:
    adopted: list[logging.LogRecord] = []

    def entry_from_record(record: logging.LogRecord) -> Entry | None:
        adopted.append(record)
        return None

    handler = ConsoleHandler(entry_from_record, stream=io.StringIO)
    handler.handle(logging.makeLogRecord({"msg": "plain"}))
    assert len(adopted) == 1
