"""The sending side of a queue: batches, retries, and answers to who waits for a flush."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from sovdev_logger.delivery.bounded_queue import BoundedQueue
from sovdev_logger.delivery.results import FlushResult, SendResult
from sovdev_logger.delivery.retry import Backoff
from sovdev_logger.delivery.worker import (
    MAX_FLUSH_ATTEMPTS,
    MAX_FLUSH_PAUSE_SECONDS,
    FlushRequest,
    Message,
    Stop,
    Wake,
    receive,
)
from sovdev_logger.selflog import warn_once

SEND_TIMEOUT_SECONDS: Final = 30.0

_MIN_ATTEMPT_SECONDS: Final = 0.05

Send = Callable[[Sequence[bytes], float], SendResult]
"""Sends a batch within so many seconds and says what became of it."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is complete.

    Attributes:
        max_records: Items in a batch at most.
        max_bytes: A batch is complete when it passes this size.
        delay_seconds: How long an item waits for others.
    """

    max_records: int = 512
    max_bytes: int = 4 * 1024 * 1024
    delay_seconds: float = 1.0


class BatchWorker:
    """Takes from the queue, sends, and knows what became of it. Runs in one thread.

    Attributes:
        delivered: Items that the server took.
        rejected: Items that it refused for good.
        last_reason: Why the last failed attempt failed.
    """

    def __init__(
        self, name: str, queue: BoundedQueue, send: Send, limits: BatchLimits, backoff: Backoff
    ) -> None:
        self.delivered = 0
        self.rejected = 0
        self.last_reason: str | None = None
        self._name = name
        self._queue = queue
        self._send = send
        self._limits = limits
        self._backoff = backoff
        self._batch: list[bytes] = []
        self._batch_start = 0
        self._failed_attempts = 0
        self._pause_seconds = 0.0
        self._asked_until = 0.0  # when the server said that it may be asked again
        self._due_at: float | None = None
        self._is_stopping = False

    def settled(self) -> int:
        """Return how many items, from the first one on, have met their fate."""
        if self._batch:
            return self._batch_start  # what overflowed meanwhile came after the batch in hand
        return self.delivered + self.rejected + self._queue.overflow_count

    def outcome(self, request: FlushRequest) -> FlushResult:
        """Return the result of a request that nobody works on."""
        return self._result(request, self.delivered, self.rejected)

    def run(self, channel: SimpleQueue[Message]) -> None:
        """Send what is queued until told to stop."""
        while True:
            message = receive(channel, self._seconds_to_wait())
            if isinstance(message, Stop):
                return
            if isinstance(message, FlushRequest):
                self._serve([message], channel)
                if self._is_stopping:
                    return
            elif isinstance(message, Wake) and self._due_at is None:
                self._due_at = time.monotonic() + self._limits.delay_seconds
            if self._is_due():
                self._attempt(SEND_TIMEOUT_SECONDS)
                self._schedule()

    def _seconds_to_wait(self) -> float | None:
        if self._due_at is None:
            return None
        return 0.0 if self._is_full() else self._due_at - time.monotonic()

    def _is_due(self) -> bool:
        if self._due_at is None:
            return False
        return self._is_full() or time.monotonic() >= self._due_at

    def _is_full(self) -> bool:
        """Return whether a whole batch waits, and none that failed goes before it."""
        return not self._batch and len(self._queue) >= self._limits.max_records

    def _schedule(self) -> None:
        """Set when to look again after an attempt; with nothing queued the next put wakes us."""
        if self._batch:
            self._due_at = time.monotonic() + self._pause_seconds
        elif self._queue:
            self._due_at = time.monotonic() + self._limits.delay_seconds
        else:
            self._due_at = None

    def _serve(self, requests: list[FlushRequest], channel: SimpleQueue[Message]) -> None:
        """Send until every request is answered; later ones join."""
        delivered, rejected = self.delivered, self.rejected
        resume_at = self._asked_until
        while True:
            requests = [one for one in requests if not self._answer(one, delivered, rejected)]
            if not requests:
                self._schedule()
                return
            message = receive(channel, resume_at - time.monotonic())
            if isinstance(message, FlushRequest):
                requests.append(message)
            elif isinstance(message, Stop):
                self._is_stopping = True  # once the flushes are answered
            if time.monotonic() < resume_at:
                continue
            latest = max(one.deadline for one in requests)
            if not self._attempt(max(_MIN_ATTEMPT_SECONDS, latest - time.monotonic())):
                for one in requests:
                    one.failures += 1
                pause = min(self._pause_seconds, MAX_FLUSH_PAUSE_SECONDS)
                resume_at = min(time.monotonic() + pause, latest)

    def _answer(self, request: FlushRequest, delivered: int, rejected: int) -> bool:
        """Finish a request whose time has come; return whether it is finished."""
        is_settled = self.settled() >= request.target
        now = time.monotonic()
        has_to_wait = self._asked_until - now > MAX_FLUSH_PAUSE_SECONDS
        has_failed = has_to_wait or request.failures >= MAX_FLUSH_ATTEMPTS
        if is_settled or has_failed or now >= request.deadline:
            request.finish(self._result(request, delivered, rejected))
            return True
        return False

    def _result(self, request: FlushRequest, delivered: int, rejected: int) -> FlushResult:
        pending = max(0, request.target - self.settled())
        refused = self.rejected - rejected
        return FlushResult(
            delivered=self.delivered - delivered,
            rejected=refused,
            pending=pending,
            reason=self.last_reason if pending or refused else None,
            timed_out=bool(pending) and time.monotonic() >= request.deadline,
        )

    def _attempt(self, timeout_seconds: float) -> bool:
        """Send the batch in hand, or the next one; return False when it has to be sent again."""
        if not self._batch:
            self._batch_start = self.settled()
            self._batch = self._queue.take(self._limits.max_records, self._limits.max_bytes)
        if not self._batch:
            return True
        try:
            result = self._send(self._batch, timeout_seconds)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever send does
            result = SendResult(retryable=True, reason=f"{type(error).__name__}: {error}")
        self.last_reason = result.reason or self.last_reason
        if result.retryable:
            self._failed_attempts += 1
            self._pause_seconds = self._backoff.delay(
                self._failed_attempts, result.retry_after_seconds
            )
            self._asked_until = time.monotonic() + (result.retry_after_seconds or 0.0)
            self._say_retry(result)
            return False
        self._failed_attempts = 0
        self._asked_until = 0.0
        self.delivered += result.delivered
        refused = len(self._batch) - result.delivered
        self.rejected += refused
        self._batch = []
        if refused:
            self._say_refused(refused, result)
        return True

    def _say_retry(self, result: SendResult) -> None:
        warn_once(
            f"retry:{self._name}:{result.reason}",
            f"{self._name} could not be delivered ({result.reason}); they are kept in memory and "
            "sent again. Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT.",
        )

    def _say_refused(self, refused: int, result: SendResult) -> None:
        warn_once(
            f"refused:{self._name}:{result.reason}",
            f"the collector refused {refused} {self._name} ({result.reason}) and they are dropped. "
            "Check OTEL_EXPORTER_OTLP_HEADERS for 401 and 403, the path of the endpoint for 404, "
            "and the collector's own log for the rest.",
        )
