"""Rotation by renaming, by one process at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sovdev_logger._runtime.file_locks import CAN_LOCK, FileLock

# Rotating takes a fraction of a millisecond, or several turns of the scheduler on a busy machine.
LOCK_TIMEOUT_SECONDS = 0.5
SHORT_LOCK_TIMEOUT_SECONDS = 0.05
"""Shorter wait after a lock timeout: the holder may be a stopped process."""

_LOCK_MODE: Final = 0o644


@contextmanager
def rotation_lock(path: Path, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[bool]:
    """Lock the rotation of ``path`` against other processes; yield whether it is locked.

    The lock is on a hidden file beside it, because the log file itself changes its name. Raises
    OSError when the folder is gone or not writable.
    """
    if not CAN_LOCK:  # Windows, where one process per file is supported
        yield True
        return
    lock = FileLock(path.with_name(f".{path.name}.lock"), _LOCK_MODE)
    try:
        yield lock.acquire(timeout_seconds)
    finally:
        lock.release()


def shift_backups(path: Path, backup_count: int) -> None:
    """Rename ``path`` to ``.1`` after ``.1`` to ``.2`` and so on; the last file is replaced.

    Only up to a number that is free, as it is when such a shift was interrupted: it must not cost a
    backup that fits.
    """
    numbers = range(1, backup_count)
    free = next((number for number in numbers if _is_free(f"{path}.{number}")), backup_count)
    for number in range(free - 1, 0, -1):
        with suppress(FileNotFoundError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    with suppress(FileNotFoundError):
        os.replace(path, f"{path}.1")


def _is_free(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    return False
