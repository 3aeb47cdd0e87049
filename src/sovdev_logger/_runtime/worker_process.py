"""Recognises a worker: one of several processes that a parent made of the same program."""

import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/stat")
_FLAGS_AFTER_NAME: Final = 6
_FORKED_WITHOUT_EXEC: Final = 0x40
"""PF_FORKNOEXEC of Linux: no program was executed since the fork."""


def is_worker_process() -> bool:
    """Return whether ``multiprocessing`` started this process, or a fork without another program.

    A server such as gunicorn forks its workers before they import the application, so no hook of
    ours has seen it. Outside Linux only ``multiprocessing`` is recognised.
    """
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return True
    try:
        after_name = _STATUS.read_text(errors="replace").rpartition(")")[2].split()
        return bool(int(after_name[_FLAGS_AFTER_NAME]) & _FORKED_WITHOUT_EXEC)
    except (OSError, ValueError, IndexError):
        return False
