"""Ownership of the spool: a folder for each process and output, held by a lock.

    <spool>/<output>/<process>/owner       locked for as long as the process lives
    <spool>/<output>/<process>/*.segment
    <spool>/rejected/                      requests that a server rejected

The lock goes with its process, however that ends; then any other process may take the folder over.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from sovdev_logger._runtime.file_locks import FileLock

SEGMENT_SUFFIX: Final = ".segment"
REJECTED: Final = "rejected"

_OWNER: Final = "owner"
_OWNER_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_ATTEMPTS: Final = 3


class OwnedFolder:
    """A folder that this process holds the lock of."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    def release(self) -> None:
        """Unlock the folder, and remove it if it is empty."""
        with suppress(OSError):
            if not any(self.segments()):
                (self.path / _OWNER).unlink()
                self.path.rmdir()
        self._lock.release()

    def segments(self) -> Iterator[Path]:
        """Yield the paths of its segments, the oldest first."""
        names = sorted(name for name in os.listdir(self.path) if name.endswith(SEGMENT_SUFFIX))
        return (self.path / name for name in names)


def new_folder(parent: Path) -> OwnedFolder:
    """Make a folder of this process's own below ``parent``. Raises OSError."""
    make_private(parent)
    for _ in range(_ATTEMPTS):
        # By time, so that the oldest process's entries are sent first.
        path = parent / f"{time.time_ns():020d}-{os.getpid()}-{uuid4().hex[:8]}"
        path.mkdir(mode=_FOLDER_MODE)
        folder = try_lock(path)
        if folder is not None:
            return folder  # else another process took the empty folder for an abandoned one
    raise BlockingIOError(f"no folder of our own in {parent}")


def abandoned_folders(parent: Path) -> Iterator[OwnedFolder]:
    """Yield, locked, the folders below ``parent`` whose processes have ended."""
    try:
        names = sorted(os.listdir(parent))
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            folder = try_lock(parent / name)
            if folder is not None:
                yield folder


def try_lock(path: Path) -> OwnedFolder | None:
    """Lock a folder, None when another process holds it. Raises OSError."""
    lock = FileLock(path / _OWNER, _OWNER_MODE)
    is_ours = False
    try:
        # Whoever held the lock before us may have removed the file.
        is_ours = lock.try_acquire() and lock.is_at_its_path()
    finally:
        if not is_ours:
            lock.release()
    return OwnedFolder(path, lock) if is_ours else None


def make_private(path: Path) -> None:
    """Make a folder, and those above it; what is made here is for this user alone."""
    if not path.is_dir():
        if not path.parent.is_dir():
            make_private(path.parent)
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def bytes_below(path: Path) -> int:
    """Return the size of all files of a spool."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
