"""A thread that sends a snapshot now and then, such as cumulative metrics."""

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from sovdev_logger.delivery.results import FlushResult, SendResult
from sovdev_logger.delivery.retry import Backoff
from sovdev_logger.delivery.worker import (
    MAX_FLUSH_ATTEMPTS,
    MAX_FLUSH_PAUSE_SECONDS,
    FlushRequest,
    Message,
    Stop,
    WorkerThread,
    receive,
)
from sovdev_logger.selflog import warn_once

DEFAULT_INTERVAL_SECONDS: Final = 60.0
DEFAULT_SEND_TIMEOUT_SECONDS: Final = 30.0

_MIN_ATTEMPT_SECONDS: Final = 0.05


class PeriodicSender:
    """Sends what ``produce`` returns every interval, and whenever it is flushed.

    A snapshot that could not be sent is superseded by the next one, which holds it. ``flush`` and
    ``close`` may be called from any thread or signal handler.
    """

    def __init__(
        self,
        name: str,
        produce: Callable[[], bytes | None],
        send: Callable[[bytes, float], SendResult],
        *,
        interval_seconds: float = DEFAULT_INTERVAL_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self._produce = produce
        self._send = send
        self._interval_seconds = interval_seconds
        self._backoff = backoff or Backoff()
        self._worker = WorkerThread(name, self._run, _too_late)
        self._is_closed = False

    def start(self) -> None:
        """Start the interval."""
        self._worker.ensure_started()

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Ask for a snapshot to be sent now; wait with ``end_flush``."""
        request = FlushRequest(1, time.monotonic() + timeout_seconds)
        if self._is_closed:
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
        self._is_closed = True
        return request

    def end_close(self, request: FlushRequest) -> FlushResult:
        """Wait for the last snapshot, and for the thread to end, until the request's deadline."""
        result = self.end_flush(request)
        self._worker.stop(request.deadline)
        return result

    def close(self, timeout_seconds: float) -> FlushResult:
        """Flush, then end the thread; a second call does nothing."""
        return self.end_close(self.begin_close(timeout_seconds))

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
                return FlushResult(result.delivered, result.rejected, 0, result.reason)
            if left <= 0 or attempt == MAX_FLUSH_ATTEMPTS:
                break
            if (result.retry_after_seconds or 0.0) > MAX_FLUSH_PAUSE_SECONDS:
                break  # the server asked to be left alone
            pause = self._backoff.delay(attempt, result.retry_after_seconds)
            time.sleep(min(pause, MAX_FLUSH_PAUSE_SECONDS, left))
        return FlushResult(pending=1, reason=result.reason, timed_out=left <= 0)

    def _send_once(self, timeout_seconds: float) -> SendResult:
        try:
            body = self._produce()
            result = SendResult() if body is None else self._send(body, timeout_seconds)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever these do
            result = SendResult(retryable=True, reason=f"{type(error).__name__}: {error}")
        if result.reason is not None:
            warn_once(
                f"{self.name}:{result.reason}",
                f"{self.name} could not be delivered ({result.reason}); the next export has them. "
                "Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT.",
            )
        return result


def _too_late(_request: FlushRequest) -> FlushResult:
    return FlushResult(pending=1, reason="closed")
