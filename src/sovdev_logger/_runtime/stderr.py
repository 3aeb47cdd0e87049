"""Writes to stderr, also from a signal handler, and where a replaced stderr leads back to us."""

import os
import sys
from contextlib import suppress
from threading import get_ident
from typing import Final, TextIO

from sovdev_logger._runtime.own_lines import OwnLines, StreamReference, reference_to
from sovdev_logger._safety.one_line import notice_line

_STDERR_FD: Final = 2
_MAX_STREAMS: Final = 16

own_lines: Final = OwnLines()
"""What was written."""

_leading_back: Final[list[StreamReference]] = []
_types_leading_back: Final[set[type]] = set()
_first_stderr: Final = reference_to(sys.stderr)


def write_line_to_stderr(text: str) -> None:
    """Write ``text`` to stderr as one line, redacted and without control characters.

    For what we say ourselves, which may quote a server, a setting or an exception. Never raises:
    stderr may be None, closed or any object.
    """
    with suppress(Exception):
        stream = console_stream()
        if stream is not None:
            write_and_flush(stream, f"{notice_line(text)}\n")


def console_stream() -> TextIO | None:
    """Return the current ``sys.stderr``, or the first one if what is written there comes back.

    The first is what ``sys.stderr`` was at the import, or else ``sys.__stderr__``. Without either
    it is the current one after all: what comes back is recognised.
    """
    stream = sys.stderr
    if stream is None or stream is sys.__stderr__ or not leads_back(stream):
        return stream
    return _first_stream() or stream


def write_and_flush(stream: TextIO, text: str) -> None:
    """Write ``text`` to a stream that is stderr or stands for it. Raises what the stream does."""
    own_lines.add(text, None if stream is sys.__stderr__ else stream)
    _write(stream, text)
    own_lines.end_write()
    if leads_back(stream):  # as this very text has shown, perhaps to nobody
        first = _first_stream()
        if first is not None:
            _write(first, text)


def is_own_line(message: object) -> bool:
    """Return whether this is what we wrote to stderr; its stream is not written to again."""
    if not isinstance(message, str):
        return False
    written = own_lines.find(message)
    if written is None:
        return False
    stream = written.stream()
    if stream is not None:
        avoid_stream(stream)
    return True


def leads_back(stream: object) -> bool:
    """Return whether what is written to a stream is known to come back."""
    if type(stream) in _types_leading_back:
        return True
    return bool(_leading_back) and any(each() is stream for each in _leading_back[:])


def avoid_stream(stream: object) -> None:
    """Write to the first stream while this one is ``sys.stderr``."""
    if stream is not sys.__stderr__ and not leads_back(stream):
        alive = [each for each in _leading_back if each() is not None]
        _leading_back[:] = [*alive[1 - _MAX_STREAMS :], reference_to(stream)]


def avoid_streams_of(kind: type) -> None:
    """Write to the first stream while ``sys.stderr`` is of a class that is made for logging."""
    _types_leading_back.add(kind)


class FollowingStderr:
    """A text stream for other libraries' handlers: writes where our own console writes.

    What such a handler writes while a line of its own thread is being written has come back.
    """

    encoding: Final = "utf-8"

    def __init__(self) -> None:
        self._writers: set[int] = set()

    def write(self, message: str) -> None:
        """Write a whole line. Raises what the stream does."""
        me, stream = get_ident(), console_stream()
        is_inside = me in self._writers
        if stream is None or (is_inside and is_own_line(message)):
            return
        self._writers.add(me)
        try:
            write_and_flush(stream, message)
        finally:
            if not is_inside:
                self._writers.discard(me)

    def flush(self) -> None:
        """Do nothing: each line is flushed."""

    def isatty(self) -> bool:
        """Return whether people see the lines on a terminal."""
        stream = console_stream()
        return stream is not None and stream.isatty()


def _first_stream() -> TextIO | None:
    for stream in (_first_stderr(), sys.__stderr__):
        if stream is not None and not leads_back(stream) and not getattr(stream, "closed", False):
            return stream  # type: ignore[return-value]
    return None


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        _flush(stream)
    except UnicodeEncodeError:
        stream.write(text.encode("ascii", "backslashreplace").decode())
        _flush(stream)
    except RuntimeError:  # the interrupted frame is inside this stream's write
        os.write(_STDERR_FD, text.encode("utf-8", "backslashreplace"))


def _flush(stream: TextIO) -> None:
    flush = getattr(stream, "flush", None)  # some have none, as stdlib's handlers allow
    if flush is not None:
        flush()
