"""Rotation by renaming, by one process at a time."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one process per file is what is promised there
    fcntl = None  # type: ignore[assignment,unused-ignore]

_HAS_LOCKS = fcntl is not None

# Rotating takes a fraction of a millisecond, or several turns of the scheduler on a busy machine.
PATIENCE_SECONDS = 0.5
SHORT_PATIENCE_SECONDS = 0.05
"""What is waited for a lock after it was waited for in vain: its holder may have been stopped."""

_LOCK_PAUSE_SECONDS = 0.0005

_held: set[int] = set()
"""Descriptors of locks in use, for a forked child to close: its copy would keep them locked."""


@contextmanager
def rotation_lock(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[bool]:
    """Hold the rotation of ``path`` against other processes; give whether it is held.

    Another process that is rotating right now is waited for, but not for long: it may have been
    stopped. The lock is on a hidden file beside it, because the log file itself changes its name.
    Raises OSError when the folder is gone or not writable.
    """
    if not _HAS_LOCKS:
        yield True
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path.with_name(f".{path.name}.lock"), flags, 0o644)
    _held.add(descriptor)
    try:
        yield _try_to_lock(descriptor, patience_seconds)
    finally:
        # Unlocked by name: a child that was forked meanwhile may still have the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        _held.discard(descriptor)
        os.close(descriptor)


def forget_held_locks() -> None:
    """Close the parent's locks in a forked child, which does not unlock them for the parent."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


def shift_backups(path: Path, backup_count: int) -> None:
    """Rename ``path`` to ``.1`` after ``.1`` became ``.2`` and so on; the last one goes."""
    for number in range(backup_count - 1, 0, -1):
        with suppress(FileNotFoundError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    with suppress(FileNotFoundError):
        os.replace(path, f"{path}.1")


def _try_to_lock(descriptor: int, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
