"""The rotating JSON Lines file, safe for threads, signals and several processes."""

import errno
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pythonjsonlogger.core import BaseJsonFormatter

from sovdev_logger._delivery.ledger import in_few_words
from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.identifiers import NEVER_NS
from sovdev_logger._entry.stdlib_records import ENTRY_ATTRIBUTE, record_from_entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._outputs.line_stream import MAX_WAIT_SECONDS, LineStream
from sovdev_logger._outputs.rotation import (
    LOCK_TIMEOUT_SECONDS,
    SHORT_LOCK_TIMEOUT_SECONDS,
    rotation_lock,
    shift_backups,
)
from sovdev_logger._runtime.descriptors import identity
from sovdev_logger._runtime.file_locks import NO_LOCKS
from sovdev_logger._runtime.log_files import (
    NEWLINE,
    close_descriptor,
    ends_inside_line,
    open_for_appending,
    open_log,
)
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.json_encoding import dumps
from sovdev_logger._settings.reader import absolute
from sovdev_logger._settings.service import FileSettings

_CLOSED: Final = -1
_FILE_MODE: Final = 0o644

_PATH_CHECK_INTERVAL_NS: Final = 1_000_000
"""How long a rename by another process may go unnoticed: lines written meanwhile are not lost."""

_CAREFUL_BYTES: Final = 4 * 1024 * 1024
"""This near to the limit each write checks the size first. Farther away the size at the last check
of the path will do: several processes do not write as much meanwhile."""

_NO_LIMIT: Final = float("inf")

_RETRY_NS: Final = 1_000_000_000
"""How long what the system refuses, a rotation or a new file, is not tried again."""


class EntryFormatter(BaseJsonFormatter):
    """Formats a record as the compact JSON of its entry, as a python-json-logger formatter.

    A record that never met the service's outputs has no entry and is formatted by its rules.
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
    renamed, removed or closed is reopened. As long as the system refuses to rotate or to reopen,
    the open file is written on. Half a line that a crash left is ended first. A failing write
    causes one warning; the next entry is tried again. Missing folders are created. Where the path
    leads to a pipe, a terminal or a device, a ``LineStream`` writes.
    """

    def __init__(
        self,
        settings: FileSettings,
        entry_from_record: EntryFactory,
        level: int = logging.NOTSET,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        super().__init__(entry_from_record, level)
        self.path = absolute(settings.path)
        self.formatter: logging.Formatter = EntryFormatter()
        self._own_formatter = self.formatter
        self._path_text = str(self.path)
        self._variable = settings.variable
        self._max_bytes = settings.max_bytes if settings.backup_count else 0
        self._limit: float = _NO_LIMIT
        self._careful_from: float = _NO_LIMIT
        self._backup_count = settings.backup_count
        self._write = self._write_to_file = write
        self._descriptor = _CLOSED
        self._stream: LineStream | None = None
        self._identity: tuple[int, int] | None = None
        self._size = 0
        self._checked_ns = NEVER_NS
        self._failed_ns = NEVER_NS
        self._is_at_path = False
        self._is_inside_line = False
        self._waits_for_rest = True
        self._has_waited_for_reader = False

    def write(self, entry: Entry) -> None:
        """Append one line; rotate or reopen first where that is due."""
        line = entry.line() if self.formatter is self._own_formatter else self._formatted(entry)
        size = len(line)
        # In either direction: the clock may be set back.
        if abs(entry.time_ns - self._checked_ns) >= _PATH_CHECK_INTERVAL_NS:
            self._check_path(entry.time_ns)
        if self._size + size > self._careful_from:
            self._keep_within_limit(size, entry.time_ns)
        if self._is_inside_line:
            line = NEWLINE + line
            size += 1
        try:
            written = self._write(self._descriptor, line)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            self._check_path(entry.time_ns)  # the program closed all descriptors, as daemons do
            line = NEWLINE + line if self._is_inside_line else line
            size, written = len(line), self._write(self._descriptor, line)
        self._size += written
        if written != size:
            self._write_rest(line, written)
        self._is_inside_line = False

    def write_bypassing(self, entry: Entry) -> None:
        """Append one line by a descriptor of its own: ours may be between two files."""
        line = entry.line() if self.formatter is self._own_formatter else self._formatted(entry)
        if self._stream is not None:
            self._stream.write_aside(line)
            return
        descriptor = open_for_appending(self._path_text, _FILE_MODE)
        try:
            if ends_inside_line(descriptor, self._path_text, os.fstat(descriptor)):
                line = NEWLINE + line
            while line:
                line = line[self._write_to_file(descriptor, line) :]
        finally:
            close_descriptor(descriptor)

    def report(self, error: Exception) -> str:
        """Warn once with what to do, and check the path again with the next entry."""
        self._checked_ns = NEVER_NS
        reason = in_few_words(error)
        warn_once(
            f"file:{self._path_text}:{reason}",
            f"cannot write {self._path_text}: {reason}; {_advice(error, self._variable)} "
            "Entries go on to the other outputs, and to this file as soon as it can be written.",
        )
        return reason

    def close(self) -> None:
        """Close the file; the next entry opens it again."""
        self._turnstile.run(self._close_descriptor)
        super().close()

    def reset_after_fork(self) -> None:
        """Leave to the parent what it was writing."""
        super().reset_after_fork()
        if self._stream is not None:
            self._stream.forget_rest()

    def _formatted(self, entry: Entry) -> bytes:
        return self.format(record_from_entry(entry)).encode("utf-8", "replace") + NEWLINE

    def _write_rest(self, line: bytes, written: int) -> None:
        """Write the rest of a line that a nearly full disk cut, or raise OSError."""
        self._is_inside_line = True
        begun = self._position()
        self._write_whole(line[written:])
        if self._position() - begun != len(line) - written:
            # Somebody was between the two parts. Neither is a line, so all of it once more.
            self._write_whole(line)

    def _position(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def _write_whole(self, data: bytes) -> None:
        written = self._write(self._descriptor, data)
        self._size += written
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _check_path(self, now_ns: int) -> None:
        """Open what is at the path unless it is open, and update its size."""
        self._is_at_path = self._descriptor != _CLOSED and self._is_open_at_path()
        if not self._is_at_path:
            self._reopen(now_ns)
        self._checked_ns = now_ns

    def _is_open_at_path(self) -> bool:
        try:
            ours = os.fstat(self._descriptor)
        except OSError as error:
            if error.errno == errno.EBADF:
                self._descriptor = _CLOSED
            return False
        if (ours.st_dev, ours.st_ino) != self._identity:
            # The program closed every descriptor and has the number now.
            self._descriptor = _CLOSED
            return False
        if ours.st_size != self._size:
            # Others write here, too, and may have been killed inside a line.
            self._size = ours.st_size
            is_inside = self._ends_inside_line(ours)
            if is_inside is not None:
                self._is_inside_line = is_inside
        try:
            return os.path.samestat(ours, os.stat(self._path_text))
        except OSError:
            return False

    def _ends_inside_line(self, status: os.stat_result) -> bool | None:
        """Return whether the open file does; wait for the rest only until none came once.

        Others may write piece by piece here: then an empty line is the lesser harm.
        """
        is_inside = ends_inside_line(
            self._descriptor, self._path_text, status, waits=self._waits_for_rest
        )
        if is_inside:
            self._waits_for_rest = False
        return is_inside

    def _reopen(self, now_ns: int) -> None:
        """Open what is at the path; if that is refused, go on with a file that has a name."""
        is_kept = self._descriptor != _CLOSED and self._can_be_found()
        if is_kept and abs(now_ns - self._failed_ns) < _RETRY_NS:
            return
        try:
            self._open()
        except OSError as error:
            if not is_kept:
                raise
            self._failed_ns = now_ns
            self._warn_of_refusal("opened anew", error)

    def _can_be_found(self) -> bool:
        """Return whether what is written to the open file is in some folder."""
        with suppress(OSError):
            status = os.fstat(self._descriptor)
            return stat.S_ISREG(status.st_mode) and status.st_nlink > 0
        return False

    def _open(self) -> None:
        """Open what is at the path, and then close what was open before."""
        timeout_seconds = 0.0 if self._has_waited_for_reader else MAX_WAIT_SECONDS
        try:
            log = open_log(self.path, _FILE_MODE, timeout_seconds)
        except BrokenPipeError:
            self._has_waited_for_reader = True
            raise
        self._has_waited_for_reader = False
        self._close_descriptor()
        self._descriptor = log.descriptor
        self._identity, self._size = (log.status.st_dev, log.status.st_ino), log.status.st_size
        self._waits_for_rest = not log.is_own  # half a line there is what the program prints
        # Unknown counts as inside: an empty line harms less than two entries in one.
        self._is_inside_line = bool(self._size) and (
            self._ends_inside_line(log.status) is not False
        )
        self._stream = None if log.is_file else LineStream(log, self._count_late)
        self._write = self._write_to_file if self._stream is None else self._stream.write
        # A device, a pipe or a stream of the process must not be renamed away.
        can_rotate = self._max_bytes and log.is_file and not log.is_own
        self._limit = self._max_bytes if can_rotate else _NO_LIMIT
        self._careful_from = self._limit - _CAREFUL_BYTES
        self._is_at_path = True

    def _keep_within_limit(self, needed: int, now_ns: int) -> None:
        """Rotate if the line does not fit after what all processes have written."""
        with suppress(OSError):
            self._size = os.fstat(self._descriptor).st_size
        if self._size + needed > self._limit and abs(now_ns - self._failed_ns) >= _RETRY_NS:
            try:
                self._rotate(needed, now_ns)
            except OSError as error:
                if self._descriptor == _CLOSED:
                    raise
                self._failed_ns = now_ns
                self._warn_of_refusal("rotated", error)

    def _rotate(self, needed: int, now_ns: int) -> None:
        """Rotate, unless another process just did."""
        has_failed = self._failed_ns != NEVER_NS
        timeout = SHORT_LOCK_TIMEOUT_SECONDS if has_failed else LOCK_TIMEOUT_SECONDS
        with rotation_lock(self.path, timeout) as is_held:
            if not is_held:
                # The holder of the lock hangs: write on, over the limit, and try again later.
                self._failed_ns = now_ns
                return
            self._failed_ns = NEVER_NS
            self._check_path(now_ns)
            if self._is_at_path and self._size and self._size + needed > self._limit:
                shift_backups(self.path, self._backup_count)
                self._is_at_path = False
                self._open()

    def _count_late(self, lost_as: str) -> None:
        self._ledger.record(delivered=1, dropped=-1, reason=lost_as)

    def _warn_of_refusal(self, refused: str, error: OSError) -> None:
        reason = in_few_words(error)
        warn_once(
            f"file:{self._path_text}:{refused}:{reason}",
            f"{self._path_text} cannot be {refused}: {reason}; {_advice(error, self._variable)} "
            "Nothing is lost: entries go into the open file, also over its limit, until this works "
            "again.",
        )

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        self._checked_ns = NEVER_NS
        if descriptor == _CLOSED or identity(descriptor) != self._identity:
            return  # the program may have the number by now
        if (error := close_descriptor(descriptor)) is not None:
            reason = in_few_words(error)
            warn_once(
                f"file:{self._path_text}:close:{reason}",
                f"closing {self._path_text} failed: {reason}; the last lines before that may be "
                f"missing. {_advice(error, self._variable)}",
            )


def _advice(error: Exception, variable: str) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return f"make room on the disk (see df and df -i), or set {variable}."
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"give the process the right to write there, or set {variable}."
    if number in {errno.EMFILE, errno.ENFILE}:
        return "close what the process no longer needs, or raise its limit of open files."
    if number in NO_LOCKS:
        return "this file system has no file locks: let logrotate or the like rotate the file."
    if number in {errno.EPIPE, errno.ETIMEDOUT}:
        return "start what reads it."
    return f"check {variable}."
