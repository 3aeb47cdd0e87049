"""Who owns which part of the spool: a folder for each process and output, held by a lock.

    <spool>/<output>/<process>/owner       locked for as long as the process lives
    <spool>/<output>/<process>/*.segment
    <spool>/rejected/                      what a server refused for good

The lock goes with its process, however that ends; then any other process may take the folder over.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows: without locks nobody could say whose entries these are
    fcntl = None  # type: ignore[assignment,unused-ignore]

SEGMENT_SUFFIX: Final = ".segment"
REJECTED: Final = "rejected"

_OWNER: Final = "owner"
_FOLDER_MODE: Final = 0o700
_ATTEMPTS: Final = 3

_held: set[int] = set()
"""Descriptors of owners' locks, for a forked child to close: its copy would keep them locked."""


class OwnedFolder:
    """A folder that this process holds the lock of."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        _held.add(descriptor)

    def release(self) -> None:
        """Give the folder up, and remove it when it holds nothing any more."""
        with suppress(OSError):
            if not any(self.segments()):
                (self.path / _OWNER).unlink()
                self.path.rmdir()
        self._unlock()

    def segments(self) -> Iterator[Path]:
        """Yield the paths of its segments, the oldest first."""
        names = sorted(name for name in os.listdir(self.path) if name.endswith(SEGMENT_SUFFIX))
        return (self.path / name for name in names)

    def _unlock(self) -> None:
        if self._descriptor in _held:  # else a fork has closed it
            _held.discard(self._descriptor)
            with suppress(OSError):
                # By name: a child that was forked meanwhile may still have the descriptor.
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                os.close(self._descriptor)


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
    owner = path / _OWNER
    descriptor = os.open(owner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before us may have removed the file: then it protects nothing.
        if os.path.samestat(os.fstat(descriptor), owner.stat()):
            return OwnedFolder(path, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def make_private(path: Path) -> None:
    """Make a folder, and those above it; what is made here is for this user alone."""
    if not path.is_dir():
        if not path.parent.is_dir():
            make_private(path.parent)
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def forget_held_locks() -> None:
    """Close the parent's locks in a forked child, which does not unlock them for the parent."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


def bytes_below(path: Path) -> int:
    """Return the size of all files of a spool."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
