"""A thread that exports snapshots periodically, such as cumulative metrics."""

import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Protocol

from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.ledger import QUEUE_FULL, Ledger
from sovdev_logger._delivery.results import FlushResult, SendResult
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._delivery.worker_thread import (
    MAX_FLUSH_ATTEMPTS,
    MAX_FLUSH_PAUSE_SECONDS,
    FlushRequest,
    Message,
    Stop,
    WorkerThread,
    receive,
)
from sovdev_logger._runtime.selflog import warn_once

DEFAULT_INTERVAL_SECONDS: Final = 60.0
DEFAULT_SEND_TIMEOUT_SECONDS: Final = 30.0

_MIN_ATTEMPT_SECONDS: Final = 0.05
_MAX_UNSENT: Final = 100
"""Exports kept that each hold what no other does; with the default interval, 100 minutes."""


class BodyExporter(Protocol):
    """Sends finished requests to a server."""

    @property
    def advice(self) -> str:
        """A sentence with what to check when the server does not accept them."""

    def send_body(self, body: bytes, timeout_seconds: float) -> SendResult:
        """Send a request within so many seconds and return its outcome."""

    def close(self) -> None:
        """Close the connection; the next request opens another."""

    def reset_after_fork(self) -> None:
        """Leave the connection to the parent: a forked child opens its own."""


class PeriodicSender:
    """Sends what ``produce`` returns every interval, and whenever it is flushed.

    A snapshot that could not be sent is superseded by the next one, which holds it. ``flush`` and
    ``close`` may be called from any thread or signal handler.

    Args:
        name: What is sent, in the plural, for warnings.
        produce: Returns the next export, None when there is nothing.
        exporter: Knows the server.
        interval_seconds: Between two exports.
        backoff: Pauses between failed attempts of a flush.
        is_cumulative: Whether each export holds the earlier ones; else all are kept until sent.
    """

    def __init__(
        self,
        name: str,
        produce: Callable[[], bytes | None],
        exporter: BodyExporter,
        *,
        interval_seconds: float = DEFAULT_INTERVAL_SECONDS,
        backoff: Backoff | None = None,
        is_cumulative: bool = True,
    ) -> None:
        self.name = name
        self._produce = produce
        self.advice = exporter.advice
        self._exporter = exporter
        self._interval_seconds = interval_seconds
        self._backoff = backoff or Backoff()
        self.is_closed = False
        self._is_cumulative = is_cumulative
        self._start_empty()

    def _start_empty(self) -> None:
        self._worker = WorkerThread(self.name, self._run, _too_late)
        self._unsent: deque[bytes] = deque()
        self._ledger = Ledger()

    def start(self) -> None:
        """Start the interval."""
        self._worker.ensure_started()

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Ask for a snapshot to be sent now; wait with ``end_flush``."""
        request = FlushRequest(1, time.monotonic() + timeout_seconds)
        if self.is_closed:
            request.finish(FlushResult())
        elif self._worker.ensure_started():
            self._worker.ask(request)
        else:
            request.finish(FlushResult(pending=1, reason="the interpreter is ending"))
        return request

    def end_flush(self, request: FlushRequest) -> FlushResult:
        """Wait for a flush until its deadline and return what it achieved."""
        return request.wait() or FlushResult(pending=1, reason="no answer in time", timed_out=True)

    def flush(self, timeout_seconds: float) -> FlushResult:
        """Send a snapshot now and wait for it; returns early when three attempts failed."""
        return self.end_flush(self.begin_flush(timeout_seconds))

    def begin_close(self, timeout_seconds: float) -> FlushRequest:
        """Ask for the last snapshot; wait with ``end_close``."""
        request = self.begin_flush(timeout_seconds)
        self.is_closed = True
        return request

    def end_close(self, request: FlushRequest, deadline: float) -> FlushResult:
        """Wait for the last snapshot, and for the thread to end, until the deadline."""
        result = self.end_flush(request)
        self._worker.stop(deadline)
        self._exporter.close()
        return result

    def close(self, timeout_seconds: float) -> FlushResult:
        """Flush, then end the thread; a second call does nothing."""
        deadline = time.monotonic() + timeout_seconds
        return self.end_close(self.begin_close(timeout_seconds), deadline)

    def status(self) -> OutputStatus:
        """Return what became of the exports so far; superseded ones do not count."""
        counts = self._ledger.counts
        return self._ledger.status(counts, counts.settled + len(self._unsent), {})

    def reset_after_fork(self) -> None:
        """Start empty in a forked child, which exports what it counts itself."""
        self._exporter.reset_after_fork()
        self._start_empty()
        if not self.is_closed:
            self.start()

    def _run(self, channel: SimpleQueue[Message]) -> None:
        due_at = time.monotonic() + self._interval_seconds
        while True:
            message = receive(channel, due_at - time.monotonic())
            if isinstance(message, Stop):
                return
            if isinstance(message, FlushRequest):
                message.finish(self._send_until(message.deadline))
            elif time.monotonic() >= due_at:
                self._send_once(DEFAULT_SEND_TIMEOUT_SECONDS)
                due_at = time.monotonic() + self._interval_seconds

    def _send_until(self, deadline: float) -> FlushResult:
        for attempt in range(1, MAX_FLUSH_ATTEMPTS + 1):
            result = self._send_once(max(_MIN_ATTEMPT_SECONDS, deadline - time.monotonic()))
            left = deadline - time.monotonic()
            if not result.retryable:
                return FlushResult(
                    result.delivered, int(not result.delivered and bool(result.reason)),
                    reason=result.reason,
                )  # fmt: skip
            if left <= 0 or attempt == MAX_FLUSH_ATTEMPTS:
                break
            if (result.retry_after_seconds or 0.0) > MAX_FLUSH_PAUSE_SECONDS:
                break  # the server asked to be left alone
            pause = self._backoff.delay(attempt, result.retry_after_seconds)
            time.sleep(min(pause, MAX_FLUSH_PAUSE_SECONDS, left))
        return FlushResult(pending=1, reason=result.reason, timed_out=left <= 0)

    def _send_once(self, timeout_seconds: float) -> SendResult:
        """Produce an export and send it, and those that are kept, until one fails."""
        deadline = time.monotonic() + timeout_seconds
        try:
            self._add(self._produce())
            result = SendResult()
            while self._unsent and not result.retryable:
                left = max(_MIN_ATTEMPT_SECONDS, deadline - time.monotonic())
                result = self._exporter.send_body(self._unsent[0], left)
                self._settle(result)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever these do
            result = SendResult(retryable=True, reason=f"{type(error).__name__}: {error}")
            self._settle(result)
        if result.reason is not None:
            warn_once(
                f"{self.name}:{result.reason}",
                f"{self.name} could not be delivered ({result.reason}); the next export has them. "
                f"{self.advice}",
            )
        return result

    def _add(self, body: bytes | None) -> None:
        if body is None:
            return
        if self._is_cumulative:
            self._unsent.clear()
        elif len(self._unsent) >= _MAX_UNSENT:
            self._unsent.popleft()
            self._ledger.record(dropped=1, reason=QUEUE_FULL)
        self._unsent.append(body)

    def _settle(self, result: SendResult) -> None:
        if result.reason is not None:
            self._ledger.fail(result.reason)
        else:
            self._ledger.succeed()
        if not result.retryable:
            self._unsent.popleft()
            accepted = int(bool(result.delivered))
            reason = (
                f"refused: {result.reason}"
                if result.payload_rejected
                else "refused: partial success"
            )
            self._ledger.record(delivered=accepted, dropped=1 - accepted, reason=reason)


def _too_late(_request: FlushRequest) -> FlushResult:
    return FlushResult(pending=1, reason="closed")
