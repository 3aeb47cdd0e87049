"""Files kept for people to look at: rejected requests, and damaged files of the spool.

They count towards the bound of the spool, and are the first to go. Everything here may raise
OSError.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.spool.folder import make_private

MAX_FILES: Final = 1000


class KeptFiles:
    """A folder of such files, which all outputs and processes of a spool share.

    Args:
        folder: The folder; made when there is something to keep.
        name: The output, with which the names of its files start.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = name
        self._numbers = count()

    def add(self, body: bytes, suffix: str) -> None:
        """Keep some bytes; beyond ``MAX_FILES`` the oldest is removed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        path = self._new_path(suffix)
        try:
            with open(os.open(path, flags, 0o600), "wb") as file:
                file.write(body)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise

    def move_here(self, path: Path) -> None:
        """Keep a file; beyond ``MAX_FILES`` the oldest is removed."""
        path.rename(self._new_path(path.suffix))

    def remove_oldest(self) -> int | None:
        """Remove the oldest file and return its size; None when none can be removed."""
        for path, size in self._oldest_first():
            with suppress(OSError):
                path.unlink()
                return size
        return None

    def _new_path(self, suffix: str) -> Path:
        make_private(self.folder)
        for path, _ in self._oldest_first()[: 1 - MAX_FILES]:
            with suppress(OSError):
                path.unlink()
        unique = f"{self._name}-{time.time_ns()}-{os.getpid()}-{next(self._numbers)}{suffix}"
        return self.folder / unique

    def _oldest_first(self) -> list[tuple[Path, int]]:
        """Return the files with their sizes; what else people put here is not ours to remove."""
        return [(path, size) for _, path, size in sorted(self._files())]

    def _files(self) -> Iterator[tuple[int, Path, int]]:
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(self.folder):
                path = self.folder / name
                with suppress(OSError):
                    found = path.lstat()
                    if not stat.S_ISDIR(found.st_mode):
                        yield found.st_mtime_ns, path, found.st_size
