"""Lines for what takes them piece by piece, or not at all: pipes, terminals, sockets, devices."""

import errno
import os
import select
import stat
import time
from collections.abc import Callable
from typing import Final

from sovdev_logger._runtime.log_files import NEWLINE, NO_READER, OpenLog

MAX_WAIT_SECONDS: Final = 5.0
"""How long one call waits for a reader. The next ones do not, until something was taken."""

NOT_READ: Final = "its reader does not read"

_PAUSE_SECONDS: Final = 0.01
_SMALL_WRITE_BYTES: Final = getattr(select, "PIPE_BUF", 512)
"""What pipes and sockets take without waiting once they take anything."""

_CAN_POLL: Final = hasattr(select, "poll")


class LineStream:
    """Writes whole lines, in pieces if need be, and none into the middle of another.

    A line of which only a part was taken in time counts as lost. Its rest is written before the
    next line, and then ``on_late`` is called: it has arrived after all.

    Args:
        log: Where to write. What others have a share in is left as it is, and gets nothing that it
            does not take at once.
        on_late: Called with the reason for which a line counted as lost.
    """

    def __init__(self, log: OpenLog, on_late: Callable[[str], None]) -> None:
        self._descriptor = log.descriptor
        self._is_pipe = stat.S_ISFIFO(log.status.st_mode)
        self._largest_write = _SMALL_WRITE_BYTES if log.is_shared else None
        self._may_be_read_again = self._is_pipe and not log.is_own
        self._on_late = on_late
        self._is_torn = False
        self._line = self._rest = b""
        self._whole = 0
        self._lost_as: str | None = None
        self._is_stalled = False

    def write(self, _descriptor: int, line: bytes) -> int:
        """Write a line and return its length; raise OSError when it is lost, for now."""
        deadline = self._deadline()
        if self._rest:
            self._push(deadline)
            lost_as, self._lost_as = self._lost_as, None
            if lost_as is not None:
                self._on_late(lost_as)
        self._begin(line)
        try:
            self._push(deadline)
        except BaseException as error:  # also one of a signal handler: the rest has to follow
            if not self._has_begun:
                self._rest = b""
            elif isinstance(error, TimeoutError):
                self._lost_as = NOT_READ
            raise
        return len(line)

    def write_aside(self, line: bytes) -> None:
        """Write a line while an outer frame of this thread, which may never go on, writes one."""
        deadline = self._deadline()
        if self._has_begun:
            self._push(deadline)
        while line:
            self._wait(deadline)
            line = line[self._send(line) :]

    def forget_rest(self) -> None:
        """In a forked child, leave to the parent the line that it has begun."""
        self._rest, self._lost_as = b"", None

    def _begin(self, line: bytes) -> None:
        self._line = line
        self._rest = NEWLINE + line if self._is_torn else line
        self._whole = len(self._rest)

    @property
    def _has_begun(self) -> bool:
        return 0 < len(self._rest) < self._whole

    def _deadline(self) -> float:
        return time.monotonic() + (0.0 if self._is_stalled else MAX_WAIT_SECONDS)

    def _push(self, deadline: float) -> None:
        """Write the rest of the line by the deadline, or raise OSError."""
        while self._rest:
            try:
                self._wait(deadline)
                if not self._rest:  # a signal handler has written it meanwhile
                    break
                self._rest = self._rest[self._send(self._rest) :]
            except BrokenPipeError:
                if self._has_begun:  # whoever reads next has not seen the beginning
                    self._is_torn = True
                    self._begin(self._line)
                if not self._may_be_read_again or time.monotonic() >= deadline:
                    self._is_stalled, self._rest = True, b""
                    raise BrokenPipeError(errno.EPIPE, NO_READER) from None
                time.sleep(_PAUSE_SECONDS)
            except BlockingIOError:  # another process was faster
                if time.monotonic() >= deadline:
                    raise self._stalled() from None
                time.sleep(_PAUSE_SECONDS)
        self._is_torn = False

    def _send(self, data: bytes) -> int:
        sent = os.write(self._descriptor, data[: self._largest_write])
        self._is_stalled = False
        return sent

    def _wait(self, deadline: float) -> None:
        """Wait until it takes something.

        Raises:
            TimeoutError: It has not by the deadline.
            BrokenPipeError: Nobody reads the pipe; a write would send the process a signal, too.
        """
        left = deadline - time.monotonic()
        found = [(0, 0)]
        if _CAN_POLL:  # Windows cannot, and opens nothing in a way that does not wait
            poll = select.poll()  # a new one: a signal handler may have interrupted another
            poll.register(self._descriptor, select.POLLOUT)
            found = poll.poll(max(0.0, left) * 1000)
        if not found:
            raise self._stalled()
        if self._is_pipe and found[0][1] & select.POLLERR:
            raise BrokenPipeError

    def _stalled(self) -> TimeoutError:
        self._is_stalled = True
        return TimeoutError(errno.ETIMEDOUT, NOT_READ)
