"""The rotating JSON Lines file, safe for threads, signals and several processes."""

import errno
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pythonjsonlogger.core import BaseJsonFormatter

from sovdev_logger._delivery.ledger import in_few_words
from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.stdlib_records import ENTRY_ATTRIBUTE, record_from_entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._outputs.rotation import (
    LOCK_TIMEOUT_SECONDS,
    SHORT_LOCK_TIMEOUT_SECONDS,
    rotation_lock,
    shift_backups,
)
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.json_encoding import dumps
from sovdev_logger._settings.service import FileSettings

_CLOSED: Final = -1
_LAST_STANDARD_DESCRIPTOR: Final = 2
_FILE_MODE: Final = 0o644

_PATH_CHECK_INTERVAL_NS: Final = 1_000_000
"""How long a rename by another process may go unnoticed. Checking the path costs as much as the
write; lines written meanwhile are in the renamed file, not lost."""

_CAREFUL_BYTES: Final = 4 * 1024 * 1024
"""This near to the limit each write checks the size first. Farther away the size at the last check
of the path will do: several processes do not write as much meanwhile."""

_NO_LIMIT: Final = float("inf")

_ROTATION_RETRY_NS: Final = 1_000_000_000

_NEWLINE: Final = b"\n"

# Without O_NONBLOCK a named pipe that nobody reads would hold the caller.
_OPEN_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class EntryFormatter(BaseJsonFormatter):
    """Formats a record as the compact JSON of its entry.

    A python-json-logger formatter, so it works on any handler; a record that never met the
    service's outputs has no entry and is formatted by python-json-logger's own rules.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry as one line of JSON, without a newline."""
        entry: Entry | None = record.__dict__.get(ENTRY_ATTRIBUTE)
        if entry is None or not entry.fields:  # sampled out, but another handler wants it
            return super().format(record)
        return entry.line()[:-1].decode()

    def jsonify_log_record(self, log_data: dict[str, object]) -> str:
        """Return the JSON of a record without an entry."""
        return dumps(log_data).decode()


class JsonFileHandler(OutputHandler):
    """Appends each entry as one line with one ``write``, before the logging call returns.

    The descriptor is append-only, so lines of several threads and processes never mix. Before a
    line that would pass ``max_bytes`` the file is renamed to ``.1``, older ones move up, and what
    exceeds ``backup_count`` goes; a limit or a count of 0 switches rotation off. A file that was
    renamed or removed by another process is reopened. Missing folders are created. A failing write
    causes one warning and is tried again with the next entry.
    """

    def __init__(
        self,
        settings: FileSettings,
        entry_from_record: EntryFactory,
        level: int = logging.NOTSET,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        super().__init__(entry_from_record, level)
        self.path = Path(os.path.abspath(settings.path))
        self.formatter: logging.Formatter = EntryFormatter()
        self._own_formatter = self.formatter
        self._path_text = str(self.path)
        self._max_bytes = settings.max_bytes if settings.backup_count else 0
        self._limit: float = _NO_LIMIT
        self._careful_from: float = _NO_LIMIT
        self._backup_count = settings.backup_count
        self._write = write
        self._descriptor = _CLOSED
        self._inode = 0
        self._size = 0
        self._checked_ns = 0
        self._lock_failed_ns = 0
        self._torn = False

    def write(self, entry: Entry) -> None:
        """Append one line; rotate or reopen first where that is due."""
        if self.formatter is self._own_formatter:
            line = entry.line()
        else:
            line = self.format(record_from_entry(entry)).encode("utf-8", "replace") + _NEWLINE
        size = len(line)
        # In either direction: the clock may be set back.
        if abs(entry.time_ns - self._checked_ns) >= _PATH_CHECK_INTERVAL_NS:
            self._check_path(entry.time_ns)
        if self._size + size > self._careful_from:
            self._keep_within_limit(size)
        if self._torn:
            line = _NEWLINE + line
            size += 1
        written = self._write(self._descriptor, line)
        self._size += written
        if written != size:
            self._write_rest(line[written:])

    def write_bypassing(self, entry: Entry) -> None:
        """Append one line by a descriptor of its own: ours may be between two files."""
        descriptor = _open_for_appending(self._path_text)
        try:
            self._write(descriptor, entry.line())
        finally:
            os.close(descriptor)

    def report(self, error: Exception) -> str:
        """Warn once with what to do, and check the path again with the next entry."""
        self._checked_ns = 0
        reason = in_few_words(error)
        warn_once(
            f"file:{self._path_text}:{reason}",
            f"cannot write {self._path_text}: {reason}; {_advice(error)} Entries go on to the "
            "other outputs, and to this file as soon as it can be written.",
        )
        return reason

    def close(self) -> None:
        """Close the file; the next entry opens it again."""
        self._turnstile.run(self._close_descriptor)
        super().close()

    def _write_rest(self, rest: bytes) -> None:
        """Write the rest of a line that a nearly full disk cut, or raise OSError."""
        self._torn = True
        written = self._write(self._descriptor, rest)
        self._size += written
        if written < len(rest):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False

    def _check_path(self, now_ns: int) -> None:
        """Open the file at the path unless the descriptor is that file, and update its size."""
        if self._descriptor == _CLOSED or not self._is_at_path():
            self._open()
        self._checked_ns = now_ns

    def _is_at_path(self) -> bool:
        try:
            ours = os.fstat(self._descriptor)
        except OSError:
            ours = None
        if ours is None or ours.st_ino != self._inode:
            # The process closed every descriptor, as daemons do: the number is no longer ours.
            self._descriptor = _CLOSED
            return False
        self._size = ours.st_size
        try:
            return os.path.samestat(ours, os.stat(self._path_text))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self._close_descriptor()
        try:
            self._descriptor = _open_for_appending(self._path_text)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = _open_for_appending(self._path_text)
        status = os.fstat(self._descriptor)
        self._inode, self._size = status.st_ino, status.st_size
        # A device or a pipe as log file must not be renamed away.
        can_rotate = self._max_bytes and stat.S_ISREG(status.st_mode)
        self._limit = self._max_bytes if can_rotate else _NO_LIMIT
        self._careful_from = self._limit - _CAREFUL_BYTES

    def _keep_within_limit(self, needed: int) -> None:
        """Rotate if the line does not fit after what all processes have written."""
        with suppress(OSError):
            self._size = os.fstat(self._descriptor).st_size
        if self._size + needed > self._limit:
            self._rotate(needed)

    def _rotate(self, needed: int) -> None:
        """Rotate, unless another process just did."""
        if abs(self._checked_ns - self._lock_failed_ns) < _ROTATION_RETRY_NS:
            return
        timeout = SHORT_LOCK_TIMEOUT_SECONDS if self._lock_failed_ns else LOCK_TIMEOUT_SECONDS
        with rotation_lock(self.path, timeout) as is_held:
            if not is_held:
                # The holder of the lock hangs: write on, over the limit, and try again later.
                self._lock_failed_ns = self._checked_ns
                return
            self._lock_failed_ns = 0
            self._check_path(self._checked_ns)
            if self._size and self._size + needed > self._limit:
                self._close_descriptor()
                shift_backups(self.path, self._backup_count)
                self._open()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        self._checked_ns = 0
        if descriptor != _CLOSED:
            os.close(descriptor)


def _open_for_appending(path: str) -> int:
    descriptor = os.open(path, _OPEN_FLAGS, _FILE_MODE)
    if descriptor > _LAST_STANDARD_DESCRIPTOR:
        return descriptor
    # Standard error is closed: with its number, whatever is printed there would be in the log.
    try:
        return _open_for_appending(path)
    finally:
        os.close(descriptor)


def _advice(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return "make room on the disk."
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return "give the process the right to write there, or set LOG_FILE_PATH."
    return "check LOG_FILE_PATH and ERROR_LOG_PATH."
