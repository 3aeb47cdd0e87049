"""Rotation by renaming, by one process at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sovdev_logger._runtime.file_locks import CAN_LOCK, FileLock

# Rotating takes a fraction of a millisecond, or several turns of the scheduler on a busy machine.
PATIENCE_SECONDS = 0.5
SHORT_PATIENCE_SECONDS = 0.05
"""What is waited for a lock after it was waited for in vain: its holder may have been stopped."""

_LOCK_MODE: Final = 0o644


@contextmanager
def rotation_lock(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[bool]:
    """Hold the rotation of ``path`` against other processes; give whether it is held.

    Another process that is rotating right now is waited for, but not for long: it may have been
    stopped. The lock is on a hidden file beside it, because the log file itself changes its name.
    Raises OSError when the folder is gone or not writable.
    """
    if not CAN_LOCK:  # one process per file is what is promised there
        yield True
        return
    lock = FileLock(path.with_name(f".{path.name}.lock"), _LOCK_MODE)
    try:
        yield lock.acquire(patience_seconds)
    finally:
        lock.release()


def shift_backups(path: Path, backup_count: int) -> None:
    """Rename ``path`` to ``.1`` after ``.1`` became ``.2`` and so on; the last one goes."""
    for number in range(backup_count - 1, 0, -1):
        with suppress(FileNotFoundError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    with suppress(FileNotFoundError):
        os.replace(path, f"{path}.1")
