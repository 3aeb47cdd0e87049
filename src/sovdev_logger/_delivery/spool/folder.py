"""Ownership of the spool: a folder for each process and output, held by a lock.

    <spool>/<output>/<process>/owner       locked for as long as the process lives
    <spool>/<output>/<process>/*.segment2
    <spool>/rejected/                      requests that a server rejected
    <spool>/damaged/                       files that are not what was written

The lock goes with its process, however that ends; then any other process may take the folder over.
"""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from sovdev_logger._delivery.spool.segment import format_of
from sovdev_logger._runtime.file_locks import NO_LOCKS, FileLock

REJECTED: Final = "rejected"
DAMAGED: Final = "damaged"

_OWNER: Final = "owner"
_OWNER_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_ATTEMPTS: Final = 3
_NOT_OURS: Final = (FileNotFoundError, NotADirectoryError, PermissionError)
_REFUSES_LOCKS: Final = NO_LOCKS | {errno.EINVAL}


class NoLocksError(OSError):
    """The file system refuses to lock: nothing would tell others whose the folder is."""


class OwnedFolder:
    """A folder that this process holds the lock of."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    @property
    def has_vanished(self) -> bool:
        """Whether somebody removed the folder, or what holds the lock in it; another may own it."""
        try:
            return not self._lock.is_at_its_path()
        except NotADirectoryError:
            return True
        except OSError:
            return False  # the file system does not say

    def release(self) -> None:
        """Unlock the folder, and remove it if it is empty."""
        with suppress(OSError):
            if not self.segments() and not self.has_vanished:
                (self.path / _OWNER).unlink()
                self.path.rmdir()
        self._lock.release()

    def segments(self) -> list[Path]:
        """Return the paths of its segments, the oldest first. Raises OSError."""
        return [
            path for name in sorted(os.listdir(self.path)) if format_of(path := self.path / name)
        ]


def new_folder(parent: Path) -> OwnedFolder:
    """Make a folder of this process's own below ``parent``. Raises OSError and NoLocksError."""
    make_private(parent)
    for _ in range(_ATTEMPTS):
        # By time, so that the oldest process's entries are sent first.
        path = parent / f"{time.time_ns():020d}-{os.getpid()}-{uuid4().hex[:8]}"
        path.mkdir(mode=_FOLDER_MODE)
        try:
            folder = try_lock(path)
        except FileNotFoundError:
            continue  # another process took it for an abandoned one, and removed it
        except OSError:
            # Else each attempt would leave a folder behind.
            with suppress(OSError):
                (path / _OWNER).unlink(missing_ok=True)
            with suppress(OSError):
                path.rmdir()
            raise
        if folder is not None:
            return folder  # else another process took the empty folder for an abandoned one
    raise BlockingIOError(f"no folder of our own in {parent}")


def folders_below(parent: Path) -> list[Path]:
    """Return the folders of all processes, the oldest first. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [parent / name for name in sorted(os.listdir(parent))]
    return []


def try_lock(path: Path) -> OwnedFolder | None:
    """Lock a folder, None when another process holds it. Raises OSError and NoLocksError."""
    lock = FileLock(path / _OWNER, _OWNER_MODE)
    is_ours = False
    try:
        # Whoever held the lock before us may have removed the file.
        is_ours = lock.try_acquire() and lock.is_at_its_path()
    except OSError as error:
        if error.errno in _REFUSES_LOCKS:
            raise NoLocksError(error.errno, error.strerror) from error
        raise
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


def is_of_another_user(path: Path) -> bool:
    """Return whether a folder belongs to another user, whose processes see to it."""
    with suppress(OSError):
        return path.stat().st_uid != os.geteuid()
    return False


def has_vanished(path: Path) -> bool:
    """Return whether somebody removed a file; False when the file system does not say."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def bytes_below(path: Path) -> int:
    """Return the size of all files of a spool. Raises OSError.

    Folders that others put beside them, or that may not be read, are not counted.
    """
    total = 0
    for output in _folders(path):
        total += _bytes_in(output)
        if os.path.basename(output) not in {REJECTED, DAMAGED}:
            total += sum(map(_bytes_in, _folders(output)))
    return total


def _folders(path: Path | str) -> list[str]:
    with suppress(*_NOT_OURS), os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _bytes_in(folder: str) -> int:
    total = 0
    with suppress(*_NOT_OURS), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if not entry.is_dir(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total
