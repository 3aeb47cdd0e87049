"""Where in the program a logging call stands."""

import sys
from types import FrameType
from typing import Final

_OURS: Final = "sovdev_logger."


def source_of_caller() -> tuple[str, int] | None:
    """Return file and line of the first frame that is not ours; None when there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what logging itself does
    while frame is not None:
        if not f"{frame.f_globals.get('__name__')}.".startswith(_OURS):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None
