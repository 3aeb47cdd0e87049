"""The console: one aligned, coloured line per entry, for people; or JSON lines for machines."""

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from sovdev_logger._delivery.ledger import in_few_words
from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._runtime.stderr import (
    avoid_stream,
    console_stream,
    own_lines,
    write_and_flush,
)
from sovdev_logger._safety.one_line import one_line

_TIME_OF_DAY: Final = slice(11, 23)
"""The part of an ISO timestamp that the console shows: 12:00:00.123."""
_TRACE_DIGITS: Final = 8
_MAX_PLACE_WIDTH: Final = 60
_INDENT: Final = "    "

_MAX_WRITES_IN_A_ROW: Final = 3
"""A replaced stream is left when so many writes to it in a row have caused the next entry: it logs
something of its own, or comes back with lines too old to be recognised. Nothing else would end
that; a signal handler that logs is not there each time."""
_OWN_SHAPE: Final = re.compile(r'\d\d:\d\d:\d\d\.\d{3}Z [A-Z]{4,5} |\{"timestamp":"[^"]+"')
_SHAPE_END: Final = 300

_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_CYAN: Final = "\x1b[36m"
_LEVEL_COLOURS: Final = {
    "trace": "\x1b[2m",
    "debug": "\x1b[36m",
    "info": "\x1b[32m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "fatal": "\x1b[1;41m",
}


def wants_colour(stream: object, environ: Mapping[str, str]) -> bool:
    """Return whether to colour: ``NO_COLOR`` wins, then ``FORCE_COLOR``, then the terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    try:
        return bool(stream.isatty()) and environ.get("TERM") != "dumb"  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - a stream without an answer is not a terminal
        return False


def _is_forgotten_line(message: str) -> bool:
    """Return whether a message has a line of our shape in it, older than all that are remembered.

    What a child process has just written, and its parent logs, is younger.
    """
    line = _OWN_SHAPE.search(message, 0, _SHAPE_END)
    oldest = _OWN_SHAPE.match(own_lines.oldest())
    return line is not None and oldest is not None and line[0] < oldest[0]


class ConsoleHandler(OutputHandler):
    """Writes entries to stderr; the stream is looked up anew for each, so redirection works.

    Args:
        entry_from_record: Makes entries of records from plain logging.
        as_json: Write the same JSON line as the file instead of the line for people.
        stream: Returns the stream to write to; the default is the current ``sys.stderr``, unless
            what is written there comes back.
        environ: Where ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM`` are read.
    """

    def __init__(
        self,
        entry_from_record: EntryFactory,
        *,
        as_json: bool = False,
        stream: Callable[[], TextIO | None] = console_stream,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        super().__init__(entry_from_record)
        self._as_json = as_json
        self._stream = stream
        self._environ = environ
        self._width = 0
        self._writes_in_a_row = 0

    def write(self, entry: Entry) -> None:
        """Write one entry and flush it."""
        stream = self._stream()
        if stream is None:
            raise OSError(errno.EBADF, "there is no stderr")
        text = entry.line().decode() if self._as_json else self._for_people(entry, stream)
        parked = self._turnstile.parked
        write_and_flush(stream, text)
        if stream is not sys.__stderr__:
            message = entry.fields["message"] or ""
            is_caused = self._turnstile.parked > parked or (
                own_lines.has_forgotten and _is_forgotten_line(message)
            )
            self._writes_in_a_row = self._writes_in_a_row + 1 if is_caused else 0
            if self._writes_in_a_row == _MAX_WRITES_IN_A_ROW:
                avoid_stream(stream)

    def _for_people(self, entry: Entry, stream: TextIO) -> str:
        where = place(entry)
        # As wide as the widest place so far, within reason, so that messages line up.
        self._width = max(self._width, min(len(where), _MAX_PLACE_WIDTH))
        return render(entry, f"{where:<{self._width}}", wants_colour(stream, self._environ))

    def report(self, error: Exception) -> str:
        """Warn once about the lost line, in case stderr still takes a warning."""
        warn_once(
            f"console:{type(error).__name__}",
            f"cannot write to the console: {error}; set LOG_TO_CONSOLE=false if there is none.",
        )
        return in_few_words(error)


def place(entry: Entry) -> str:
    """Return where an entry comes from: service, function, and the peer if it is another system."""
    fields = entry.fields
    service, peer = fields["service_name"], fields["peer_service"]
    where = f"{service} {fields['function_name']}"
    return one_line(where if peer == service else f"{where} -> {peer}")


def render(entry: Entry, where: str, colour: bool) -> str:  # noqa: FBT001
    """Return the line for people: time (UTC), level, place, message, short trace id.

    An exception follows, each of its lines indented.
    """
    fields = entry.fields
    time = f"{(fields['timestamp'] or '')[_TIME_OF_DAY]}Z"
    level = f"{entry.level.severity_text:<5}"
    message = one_line(fields["message"] or "")
    trace = f"[{one_line((fields['trace_id'] or '')[:_TRACE_DIGITS])}]"
    if colour:
        level = f"{_LEVEL_COLOURS[entry.level.name]}{level}{_RESET}"
        time, trace = f"{_DIM}{time}{_RESET}", f"{_DIM}{trace}{_RESET}"
        where = f"{_CYAN}{where}{_RESET}"
    return f"{time} {level} {where}  {message} {trace}\n{_exception(entry)}"


def _exception(entry: Entry) -> str:
    if "exception_type" not in entry.fields:
        return ""
    message = entry.fields["exception_message"] or ""
    stacktrace = entry.fields["exception_stacktrace"] or ""
    # The stack trace starts with the exception line; a message it had to cut is shown whole.
    lines = stacktrace.splitlines()
    if message and message not in stacktrace:
        lines.insert(0, message)
    return "".join(f"{_INDENT}{one_line(line)}\n" for line in lines)
