"""Locks between processes, held on files; the system releases them when their process ends."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from sovdev_logger._runtime.fork import Phase, register_for_fork

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment,unused-ignore]

CAN_LOCK: Final = fcntl is not None

NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP)}
)
"""Error numbers of a file system that has no locks, such as NFS without its lock service."""

_CLOSED: Final = -1
_PAUSE_SECONDS: Final = 0.0005


class FileLock:
    """An exclusive lock on one file. Forked children do not inherit it.

    Args:
        path: The file; created if it is missing, and left behind.
        mode: Its permissions when it is created.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        register_for_fork(Phase.FILE_LOCKS, self)

    def acquire(self, timeout_seconds: float) -> bool:
        """Wait for the lock, at most ``timeout_seconds``; return whether it is held."""
        deadline = time.monotonic() + timeout_seconds
        while not self.try_acquire():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def try_acquire(self) -> bool:
        """Take the lock if no other process holds it. Raises OSError."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_at_its_path(self) -> bool:
        """Return whether the locked file still has its name: else the lock protects nothing."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Unlock and close the file; safe to repeat."""
        if self._descriptor != _CLOSED:
            with suppress(OSError):
                # Closing alone would not do: a child being forked right now has a copy open.
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Close this process's copy without unlocking: in a child, the parent holds on."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        with suppress(OSError):
            os.close(descriptor)
