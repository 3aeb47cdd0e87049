"""The line of the program that a logging call, or an exception, comes from."""

import os
import sys
from collections.abc import Set as AbstractSet
from types import FrameType, TracebackType
from typing import Final, NamedTuple

_OURS: Final = frozenset({"sovdev_logger"})


class CallSite(NamedTuple):
    """A file, a line in it, and the function around it."""

    path: str
    line: int
    function: str

    @property
    def module(self) -> str:
        """The file's name without folder and suffix."""
        return os.path.splitext(os.path.basename(self.path))[0]


def calling_site() -> CallSite | None:
    """Return the site of the innermost frame outside this library, None without one."""
    return site_outside(sys._getframe(1), _OURS)  # noqa: SLF001 - what logging itself does


def site_outside(frame: FrameType | None, packages: AbstractSet[str]) -> CallSite | None:
    """Return the site of the innermost frame, from ``frame`` on, outside ``packages``."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in packages:
            return CallSite(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name)
        frame = frame.f_back
    return None


def raising_site(traceback: TracebackType | None) -> CallSite | None:
    """Return where an exception was raised, None without a traceback."""
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    return CallSite(code.co_filename, traceback.tb_lineno, code.co_name)
