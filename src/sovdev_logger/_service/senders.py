"""The senders of one service: built here, and flushed, closed and forked together."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sovdev_logger._delivery.results import FlushResult

if TYPE_CHECKING:
    from sovdev_logger._delivery.worker_thread import FlushRequest


class FlushableSender(Protocol):
    """Delivers items from a thread of its own.

    Attributes:
        name: What the items are, in the plural, for warnings.
        advice: A sentence with what to check when they do not arrive.
    """

    name: str
    advice: str

    def start(self) -> None:
        """Start the thread."""

    def begin_flush(self, timeout_seconds: float) -> "FlushRequest":
        """Ask for everything so far to be tried."""

    def end_flush(self, request: "FlushRequest") -> FlushResult:
        """Wait for it."""

    def begin_close(self, timeout_seconds: float) -> "FlushRequest":
        """Accept nothing more and ask for the rest to be tried."""

    def end_close(self, request: "FlushRequest", deadline: float) -> FlushResult:
        """Wait for it, then end the thread and the connection."""

    def reset_after_fork(self) -> None:
        """Leave queue, thread and connection to the parent."""


class Senders:
    """All senders of a service, with one deadline for all of them."""

    def __init__(self, senders: Sequence[FlushableSender] = ()) -> None:
        self._senders = senders

    def start(self) -> None:
        """Start the threads now: from Python 3.12 on an exit hook could not."""
        for sender in self._senders:
            sender.start()

    def flush(self, timeout_seconds: float) -> list[tuple[FlushableSender, FlushResult]]:
        """Ask every sender to deliver, and wait for all of them."""
        requests = [(sender, sender.begin_flush(timeout_seconds)) for sender in self._senders]
        return [(sender, sender.end_flush(request)) for sender, request in requests]

    def close(self, timeout_seconds: float) -> list[tuple[FlushableSender, FlushResult]]:
        """Deliver what is queued and end the senders for good; safe to repeat."""
        deadline = time.monotonic() + timeout_seconds
        requests = [(sender, sender.begin_close(timeout_seconds)) for sender in self._senders]
        return [(sender, sender.end_close(request, deadline)) for sender, request in requests]

    def reset_after_fork(self) -> None:
        """Give a forked child queues, threads and connections of its own."""
        for sender in self._senders:
            sender.reset_after_fork()
