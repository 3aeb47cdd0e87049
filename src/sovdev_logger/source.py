"""Where in the program a logging call stands."""

import sys
from types import FrameType, TracebackType
from typing import Final, NamedTuple

_OURS: Final = "sovdev_logger."


class Source(NamedTuple):
    """A line of the program, and the function it is in."""

    path: str
    line: int
    function: str


def source_of_caller() -> Source | None:
    """Return the place of the first frame that is not ours; None when there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what logging itself does
    while frame is not None:
        if not f"{frame.f_globals.get('__name__')}.".startswith(_OURS):
            return Source(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return None


def source_of_traceback(traceback: TracebackType | None) -> Source | None:
    """Return the place where an exception was raised; None without a traceback."""
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    return Source(code.co_filename, traceback.tb_lineno, code.co_name)
