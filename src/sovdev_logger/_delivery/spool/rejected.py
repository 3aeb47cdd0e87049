"""Requests that a server rejected, kept for people to look at.

Everything here may raise OSError.
"""

import os
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.spool.folder import REJECTED, make_private

MAX_FILES: Final = 1000


class RejectedRequests:
    """The folder of refused requests, which all outputs and processes of a spool share.

    Args:
        spool_folder: The folder of the spool.
        name: The output, with which the names of its files start.
    """

    def __init__(self, spool_folder: Path, name: str) -> None:
        self.folder = spool_folder / REJECTED
        self._name = name
        self._numbers = count()

    def add(self, body: bytes, suffix: str) -> None:
        """Keep a request; beyond ``MAX_FILES`` the oldest is removed."""
        make_private(self.folder)
        for path in self._oldest_first()[: 1 - MAX_FILES]:
            path.unlink()
        unique = f"{self._name}-{time.time_ns()}-{os.getpid()}-{next(self._numbers)}{suffix}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(self.folder / unique, flags, 0o600), "wb") as file:
            file.write(body)

    def remove_oldest(self) -> int | None:
        """Remove the oldest request and return its size; None when there is none."""
        for path in self._oldest_first():
            size = path.stat().st_size
            path.unlink()
            return size
        return None

    def _oldest_first(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(self.folder.iterdir(), key=_age)
        return []


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
