"""Where in the program a logging call stands."""

import os
import sys
from collections.abc import Set as AbstractSet
from types import FrameType, TracebackType
from typing import Final, NamedTuple

_OURS: Final = frozenset({"sovdev_logger"})


class Source(NamedTuple):
    """A line of the program, and the function it is in."""

    path: str
    line: int
    function: str

    @property
    def module(self) -> str:
        """The name of the file, without what is before and after it."""
        return os.path.splitext(os.path.basename(self.path))[0]


def source_of_caller() -> Source | None:
    """Return the place of the first frame that is not ours; None when there is none."""
    return source_outside(sys._getframe(1), _OURS)  # noqa: SLF001 - what logging itself does


def source_outside(frame: FrameType | None, packages: AbstractSet[str]) -> Source | None:
    """Return the place of the first frame, from ``frame`` on, that is in none of the packages."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in packages:
            return Source(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name)
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
