"""Writes to stderr, also from a signal handler that interrupted a write to the same stream."""

import os
import sys
from contextlib import suppress
from typing import Final, TextIO

_STDERR_FD: Final = 2


def write_to_stderr(text: str) -> None:
    """Write ``text`` to stderr. Never raises: stderr may be None, closed or any object."""
    stream = sys.stderr
    if stream is not None:
        with suppress(Exception):
            write_and_flush(stream, text)


def write_and_flush(stream: TextIO, text: str) -> None:
    """Write ``text`` to a stream that is stderr or stands for it. Raises what the stream does."""
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except RuntimeError:  # the interrupted frame is inside this stream's write
        os.write(_STDERR_FD, text.encode("utf-8", "backslashreplace"))
