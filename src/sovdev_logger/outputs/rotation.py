"""Rotation by renaming, by one process at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one process per file is what is promised there
    fcntl = None  # type: ignore[assignment,unused-ignore]

_HAS_LOCKS = fcntl is not None


@contextmanager
def rotation_lock(path: Path) -> Iterator[None]:
    """Hold the rotation of ``path`` against other processes.

    The lock is on a hidden file beside it, because the log file itself changes its name. Raises
    OSError when the folder is gone or not writable.
    """
    if not _HAS_LOCKS:
        yield
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path.with_name(f".{path.name}.lock"), flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def shift_backups(path: Path, backup_count: int) -> None:
    """Rename ``path`` to ``.1`` after ``.1`` became ``.2`` and so on; the last one goes."""
    for number in range(backup_count - 1, 0, -1):
        with suppress(FileNotFoundError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    with suppress(FileNotFoundError):
        os.replace(path, f"{path}.1")
