"""Log files: opened for appending, and looked at for the half of a line that a crash left."""

import errno
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

with suppress(ImportError):  # Windows
    import fcntl

NEWLINE: Final = b"\n"
NO_READER: Final = "it has no reader"

_LAST_STANDARD_DESCRIPTOR: Final = 2
_FIRST_HIGH_DESCRIPTOR: Final = 500
"""The system gives a program the lowest free number. One that closed all descriptors, ours too, and
then opens its own files, gets none of ours up here: our next write fails and is repeated."""

# Without O_NONBLOCK a named pipe that nobody reads would hold the caller. With O_NOCTTY a terminal
# as log file does not become the process's own.
_COMMON_FLAGS: Final = (
    getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
)
_APPEND_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _COMMON_FLAGS

_LONGEST_WRITE_SECONDS: Final = 0.2
"""How long half a line may be one that another process is writing just now: the system may make it
wait in the middle. Our own line would have to wait for that one as long."""

_LOOK_PAUSE_SECONDS: Final = 0.001
_READER_PAUSE_SECONDS: Final = 0.01

_OF_THE_PROCESS: Final = re.compile(r"/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/fd/(\d+)")
_MAX_LINKS: Final = 40


class OpenLog(NamedTuple):
    """What was opened at a path.

    Attributes:
        descriptor: Appends to it; never one of the standard streams.
        status: What it is.
        is_own: Whether the path leads to a descriptor of this process, such as /dev/stdout.
        is_shared: Whether it is a copy of that descriptor: then both have one position and one set
            of flags.
    """

    descriptor: int
    status: os.stat_result
    is_own: bool = False
    is_shared: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a file, and no pipe, terminal, socket or device."""
        return stat.S_ISREG(self.status.st_mode)


def open_log(path: Path, mode: int, reader_timeout_seconds: float) -> OpenLog:
    """Open a log file for appending; it is made with its folders if it is missing.

    Args:
        path: The file, a named pipe, or a device.
        mode: Its permissions when it is created.
        reader_timeout_seconds: How long the reader of a named pipe is waited for.
    """
    number = _descriptor_at(str(path))
    if number is not None:
        return _open_own(str(path), number)
    try:
        descriptor = _open_when_read(str(path), mode, reader_timeout_seconds)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_for_appending(str(path), mode)
    return OpenLog(descriptor, _status_or_close(descriptor))


def open_for_appending(path: str, mode: int) -> int:
    """Return a descriptor beyond the standard streams, without the folders and the waiting.

    With the number of a closed standard error, whatever is printed there would be in the log.
    """
    return _with_high_number(os.open(path, _APPEND_FLAGS, mode))


def ends_inside_line(
    descriptor: int, path: str, status: os.stat_result, *, waits: bool = True
) -> bool | None:
    """Return whether the last line of an open file has no end; None if it cannot be read.

    Args:
        descriptor: It appends to the file and cannot read it.
        path: Where the file was opened; it may have been renamed.
        status: The file's.
        waits: Whether to wait for a process that may be writing the rest just now.
    """
    if not stat.S_ISREG(status.st_mode):
        return False
    size, deadline = -1, 0.0
    while True:
        found = _end_of(descriptor, path, status)
        if found is None or found.last_byte == NEWLINE:
            return None if found is None else False
        if not waits:
            return True
        if found.size != size:
            size, deadline = found.size, time.monotonic() + _LONGEST_WRITE_SECONDS
        elif time.monotonic() >= deadline:
            return True
        time.sleep(_LOOK_PAUSE_SECONDS)


def close_descriptor(descriptor: int) -> OSError | None:
    """Close a descriptor, and return the system's complaint: it is closed in any case."""
    try:
        os.close(descriptor)
    except OSError as error:
        return error
    return None


def _descriptor_at(path: str) -> int | None:
    """Return the number of this process's descriptor that the path leads to, if it does."""
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        path = os.path.join(folder, name)
        found = _OF_THE_PROCESS.fullmatch(path)
        if found is not None:
            return int(found[1]) if folder == os.path.realpath("/proc/self/fd") else None
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError:
            return None
    return None


def _open_own(path: str, number: int) -> OpenLog:
    """Open a descriptor of this process anew where its position and flags need not be its own.

    What others print by it goes on: a file has one position for both, so nothing is overwritten,
    and a pipe or terminal stays one that waits.
    """
    kind = os.fstat(number).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISSOCK(kind):
        try:
            descriptor = _with_high_number(os.open(path, os.O_WRONLY | _COMMON_FLAGS))
        except OSError:  # no right to, as behind a change of the user, or no reader
            pass
        else:
            return OpenLog(descriptor, _status_or_close(descriptor), is_own=True)
    descriptor = _with_high_number(os.dup(number))
    return OpenLog(descriptor, _status_or_close(descriptor), is_own=True, is_shared=True)


def _open_when_read(path: str, mode: int, timeout_seconds: float) -> int:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return open_for_appending(path, mode)
        except OSError as error:
            has_no_reader = error.errno == errno.ENXIO and stat.S_ISFIFO(os.stat(path).st_mode)
            if not has_no_reader:
                raise
            if time.monotonic() >= deadline:
                raise BrokenPipeError(errno.EPIPE, NO_READER) from None
        time.sleep(_READER_PAUSE_SECONDS)


def _status_or_close(descriptor: int) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError:
        close_descriptor(descriptor)
        raise


class _End(NamedTuple):
    size: int
    last_byte: bytes


def _end_of(descriptor: int, path: str, status: os.stat_result) -> _End | None:
    try:
        reader = _open_for_reading(f"/proc/self/fd/{descriptor}", path)
    except OSError:
        return None
    try:
        now = os.fstat(reader)
        if not os.path.samestat(now, status):
            return None
        if not now.st_size:
            return _End(0, NEWLINE)
        size = os.lseek(reader, -1, os.SEEK_END) + 1
        return _End(size, os.read(reader, 1))
    except OSError:
        return None
    finally:
        close_descriptor(reader)


def _open_for_reading(path: str, other_path: str) -> int:
    """Open a file by its descriptor, which leads to it also when it was renamed, or by its path."""
    try:
        return os.open(path, os.O_RDONLY | _COMMON_FLAGS)
    except FileNotFoundError:  # not Linux
        return os.open(other_path, os.O_RDONLY | _COMMON_FLAGS)


def _with_high_number(descriptor: int) -> int:
    """Return a copy far above the program's own numbers, if there is room, and close this one."""
    try:
        copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_HIGH_DESCRIPTOR)
    except (NameError, OSError):  # Windows, or a low limit of open files
        return _beyond_standard_streams(descriptor)
    os.close(descriptor)
    return copy


def _beyond_standard_streams(descriptor: int) -> int:
    if descriptor > _LAST_STANDARD_DESCRIPTOR:
        return descriptor
    try:
        return _beyond_standard_streams(os.dup(descriptor))
    finally:
        os.close(descriptor)
