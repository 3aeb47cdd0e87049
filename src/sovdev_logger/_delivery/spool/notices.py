"""The warnings of a spool, each printed once."""

from pathlib import Path
from typing import Final

from sovdev_logger._delivery.spool.folder import DAMAGED, NoLocksError
from sovdev_logger._runtime.selflog import warn_once

_IN_MEMORY: Final = "stay in memory meanwhile"


class Notices:
    """The warnings of one output's spool.

    Args:
        name: What the items are, in the plural.
        folder: The folder of the spool.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder

    def cannot_write(self, error: OSError) -> None:
        """Say why items stay in memory."""
        reason = reason_of(error)
        if isinstance(error, NoLocksError):
            message = (
                f"the file system of the spool {self._folder} does not lock files ({reason}); "
                f"{self._name} {_IN_MEMORY}. Set SOVDEV_SPOOL_DIR to a folder on a local disk, or "
                "SOVDEV_SPOOL=off."
            )
        else:
            message = (
                f"cannot write to the spool {self._folder}: {reason}; {self._name} {_IN_MEMORY}. "
                "Make room, set SOVDEV_SPOOL_DIR to a folder that can be written, or "
                "SOVDEV_SPOOL=off."
            )
        warn_once(f"spool:{self._name}:{reason}", message)

    def cannot_read(self, error: OSError | MemoryError) -> None:
        """Say that items stay on disk until they can be read."""
        reason = reason_of(error)
        warn_once(
            f"spool-read:{self._name}:{reason}",
            f"cannot read {self._name} in the spool {self._folder} now: {reason}; they stay there "
            "and are tried again until they can be read. Check the disk, its permissions, and the "
            "limit of open files, or set SOVDEV_SPOOL_DIR to a folder of this user.",
        )

    def cannot_set_aside(self, error: OSError) -> None:
        """Say why there is no copy of a rejected request."""
        reason = reason_of(error)
        warn_once(
            f"spool-rejected:{self._name}:{reason}",
            f"cannot set aside what the server rejected in the spool {self._folder}: {reason}. "
            "Make room there, or set SOVDEV_SPOOL_DIR to a folder that can be written.",
        )

    def full(self) -> None:
        """Say that the oldest are dropped."""
        warn_once(
            f"spool-full:{self._name}",
            f"the spool {self._folder} is full and its oldest entries are dropped: "
            "raise SOVDEV_SPOOL_MAX_BYTES, or fix the collector.",
        )

    def vanished(self, path: Path, count: int) -> None:
        """Say that somebody removed a file."""
        warn_once(
            f"spool-lost:{self._name}",
            f"{count} {self._name} in {path} are dropped: somebody removed the file. Check who "
            "else cleans up in SOVDEV_SPOOL_DIR.",
        )

    def damaged(self, path: Path, count: int | None) -> None:
        """Say what of a file is lost, and that the file is kept."""
        how_many = "an unknown number of" if count is None else count
        warn_once(
            f"spool-damaged:{path}",
            f"{how_many} {self._name} in {path} cannot be read and are dropped: the file is "
            f"damaged. What else it holds is sent, then it is kept in {self._folder / DAMAGED}. "
            "Check the disk.",
        )

    def newer(self, version: str, files: int, size: int) -> None:
        """Say that a newer version's files wait for it."""
        warn_once(
            f"spool-newer:{self._name}:{version}:{files}",
            f"{files} files with {self._name} ({size} bytes) in the spool {self._folder} were "
            f"written by a newer sovdev-logger (spool format {version}); they stay there and are "
            "sent when that version runs again.",
        )


def reason_of(error: OSError | MemoryError) -> str:
    """Return an error in words."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or "out of memory"
