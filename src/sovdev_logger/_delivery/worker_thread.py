"""A thread that sends, and the messages to it.

The channel is a ``SimpleQueue``, whose ``put`` is reentrant, and each flush waits on a lock of its
own. So a flush in a signal handler that interrupted another flush, or a ``put``, never meets a lock
that its own thread holds.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from sovdev_logger._delivery.export_thread import Sent
from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._runtime.background_thread import BackgroundThread
from sovdev_logger._runtime.own_traffic import own_traffic

MAX_FLUSH_ATTEMPTS: Final = 3
"""Attempts that must fail before a flush stops waiting for a server that does not answer."""

MAX_FLUSH_PAUSE_SECONDS: Final = 1.0

_WAIT_SLICE_SECONDS: Final = 0.2


class FlushRequest:
    """A caller's flush: attempt everything queued so far, then report the result.

    Attributes:
        last_item: The number of the last item that has to leave the queue.
        ends_at: When the worker's thread has to end after this request; None for a flush.
        settled_goal: How many items have to be settled then; set when the last one has left.
        failures: Attempts that failed since the request was made.
        failed_reads_before: Attempts to read the spool that had failed before the worker saw it.
        delivered_before, dropped_before: The ledger when it was made.
    """

    def __init__(
        self,
        last_item: int,
        deadline: float,
        delivered_before: int = 0,
        dropped_before: int = 0,
        ends_at: float | None = None,
    ) -> None:
        self.last_item = last_item
        self.deadline = deadline
        self.ends_at = ends_at
        self.delivered_before = delivered_before
        self.dropped_before = dropped_before
        self.settled_goal: int | None = None
        self.failures = 0
        self.failed_reads_before = 0
        self.result: FlushResult | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def finish(self, result: FlushResult) -> None:
        """Let the caller go on; called once, by the worker."""
        self.result = result
        self._done.release()

    def wait(self) -> FlushResult | None:
        """Wait for the outcome until the deadline; None when there is none by then."""
        # In slices: a signal that arrives just before the wait begins would not interrupt it.
        while (left := self.deadline - time.monotonic()) > 0:
            if self._done.acquire(timeout=min(left, _WAIT_SLICE_SECONDS)):
                break
        return self.result


class Wake:
    """A message that there is something to look at."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A message that the worker is to end, by a moment of the monotonic clock."""

    ends_at: float = math.inf


Message = FlushRequest | Wake | Stop | Sent


class WorkerThread:
    """One daemon thread, started when first needed, that a fork leaves behind."""

    def __init__(
        self,
        name: str,
        run: Callable[[SimpleQueue[Message]], None],
        outcome: Callable[[FlushRequest], FlushResult],
    ) -> None:
        self._outcome = outcome
        self._run = run
        self.channel: SimpleQueue[Message] = SimpleQueue()
        self._thread = BackgroundThread(name, self._run_marked, self._answer_the_rest)

    def ensure_started(self) -> bool:
        """Start the thread unless it runs; return False when it has ended or cannot be started."""
        return not self._thread.has_ended and self._thread.ensure_started()

    @property
    def is_running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_running

    def ask(self, request: FlushRequest) -> None:
        """Hand a request to the thread; one that comes too late is answered at once."""
        self.channel.put(request)
        if self._thread.has_ended:
            self._answer_the_rest()

    def stop(self, deadline: float) -> None:
        """Ask the thread to end and wait until the deadline; a call that hangs is left alone."""
        self.channel.put(Stop(deadline))
        self._thread.join(deadline)

    def _run_marked(self) -> None:
        with own_traffic():
            self._run(self.channel)

    def _answer_the_rest(self) -> None:
        while (message := receive(self.channel, 0)) is not None:
            if isinstance(message, FlushRequest):
                message.finish(self._outcome(message))


def receive(channel: SimpleQueue[Message], timeout_seconds: float | None) -> Message | None:
    """Return the next message, None when there is none within the timeout (None: for ever)."""
    try:
        if timeout_seconds is not None and timeout_seconds <= 0:
            return channel.get_nowait()
        return channel.get(timeout=timeout_seconds)
    except Empty:
        return None
