"""Queue and thread together: what an output hands its finished bytes to."""

import time
from dataclasses import dataclass, field
from typing import Final

from sovdev_logger.delivery.batch_worker import BatchLimits, BatchWorker, Send
from sovdev_logger.delivery.bounded_queue import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_RECORDS,
    BoundedQueue,
)
from sovdev_logger.delivery.results import FlushResult
from sovdev_logger.delivery.retry import Backoff
from sovdev_logger.delivery.worker import FlushRequest, Wake, WorkerThread

QUEUE_FULL: Final = "queue full"
CLOSED: Final = "closed"
NO_ANSWER: Final = "no answer in time"


@dataclass(frozen=True, slots=True)
class SenderCounts:
    """What became of every item: ``logged == delivered + queued + rejected + all dropped``.

    ``queued`` includes the batch that is being sent. The sum is exact whenever nothing is put at
    the same moment; while it is, ``queued`` is what the other numbers leave.
    """

    logged: int
    delivered: int
    queued: int
    rejected: int
    dropped: dict[str, int] = field(default_factory=dict)


class BatchSender:
    """Takes items from callers and sends them in batches from a thread of its own.

    ``put`` is for one caller at a time (an output's turnstile sees to that) and never waits;
    ``flush``, ``close`` and ``counts`` may be called from any thread or signal handler.

    Args:
        name: What the items are, in the plural, for warnings.
        send: Sends a batch.
        max_records, max_bytes: Bounds of the queue; beyond them the oldest go.
        limits: When a batch is complete.
        backoff: Pauses between failed attempts.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        *,
        max_records: int = DEFAULT_MAX_RECORDS,
        max_bytes: int = DEFAULT_MAX_BYTES,
        limits: BatchLimits | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self._send = send
        self._bounds = (max_records, max_bytes)
        self._limits = limits or BatchLimits()
        self._backoff = backoff or Backoff()
        self._closed = False
        self._late_count = 0
        self._start_empty()

    def _start_empty(self) -> None:
        self._queue = BoundedQueue(self.name, *self._bounds)
        self._worker = BatchWorker(self.name, self._queue, self._send, self._limits, self._backoff)
        self._thread = WorkerThread(self.name, self._worker.run, self._worker.outcome)

    def start(self) -> None:
        """Start the thread now: an exit hook that logs first could not, from Python 3.12 on."""
        self._thread.ensure_started()

    def put(self, item: bytes) -> None:
        """Queue one item; never blocks. Over the bounds the oldest goes, counted."""
        if self._closed:
            self._late_count += 1
            return
        queued = self._queue.put(item)
        is_batch = queued % self._limits.max_records == 0 and queued <= self._queue.max_records
        if queued == 1 or is_batch:
            self._thread.ensure_started()
            self._thread.channel.put(Wake())

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Ask for everything so far to be tried; wait with ``end_flush``."""
        request = FlushRequest(self._queue.put_count, time.monotonic() + timeout_seconds)
        if self._worker.settled() >= request.target or not self._thread.ensure_started():
            # With nothing to do, or nobody to do it, there is nothing to wait for.
            request.finish(self._worker.outcome(request))
        else:
            self._thread.ask(request)
        return request

    def end_flush(self, request: FlushRequest) -> FlushResult:
        """Wait for a flush until its deadline and return what it achieved."""
        result = request.wait()
        if result is not None:
            return result
        return FlushResult(
            pending=max(0, request.target - self._worker.settled()),
            reason=self._worker.last_reason or NO_ANSWER,
            timed_out=True,
        )

    def flush(self, timeout_seconds: float) -> FlushResult:
        """Wait until everything put before has been delivered, refused, or tried in vain.

        Returns early when three attempts failed, or the server asked to be left alone for longer:
        what is pending stays queued and is sent later.
        """
        return self.end_flush(self.begin_flush(timeout_seconds))

    def begin_close(self, timeout_seconds: float) -> FlushRequest:
        """Take nothing more and ask for the rest to be tried; wait with ``end_close``."""
        self._closed = True
        return self.begin_flush(timeout_seconds)

    def end_close(self, request: FlushRequest) -> FlushResult:
        """Wait for the last flush, and for the thread to end, until the request's deadline."""
        result = self.end_flush(request)
        self._thread.stop(request.deadline)
        return result

    def close(self, timeout_seconds: float) -> FlushResult:
        """Flush, then end the thread; what is put later is counted as dropped."""
        return self.end_close(self.begin_close(timeout_seconds))

    def counts(self) -> SenderCounts:
        """Return what became of every item so far."""
        delivered, rejected = self._worker.delivered, self._worker.rejected
        overflow, late = self._queue.overflow_count, self._late_count
        put = self._queue.put_count
        dropped = {QUEUE_FULL: overflow, CLOSED: late}
        return SenderCounts(
            logged=put + late,
            delivered=delivered,
            queued=put - delivered - rejected - overflow,
            rejected=rejected,
            dropped={reason: count for reason, count in dropped.items() if count},
        )

    def reset_after_fork(self) -> None:
        """Start empty in a forked child: what is queued is the parent's to send."""
        self._late_count = 0
        self._start_empty()
