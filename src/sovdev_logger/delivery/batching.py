"""A bounded queue of finished bytes and the thread that sends them in batches."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    Wake,
    WorkerThread,
    receive,
)
from sovdev_logger.selflog import warn_once

DEFAULT_MAX_RECORDS: Final = 65_536
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024
DEFAULT_BATCH_RECORDS: Final = 512
DEFAULT_BATCH_BYTES: Final = 4 * 1024 * 1024
DEFAULT_SCHEDULE_DELAY_SECONDS: Final = 1.0
DEFAULT_SEND_TIMEOUT_SECONDS: Final = 30.0

QUEUE_FULL: Final = "queue full"
CLOSED: Final = "closed"
_MIN_ATTEMPT_SECONDS: Final = 0.05

NO_ANSWER: Final = "no answer in time"

Send = Callable[[Sequence[bytes], float], SendResult]
"""Sends a batch within so many seconds and says what became of it."""


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

    ``put`` is for one caller at a time (an output's turnstile sees to that) and shares no lock
    with the sending thread: each side keeps its own counts, and the deque between them is atomic.
    ``flush``, ``close`` and ``counts`` may be called from any thread or signal handler.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        *,
        max_records: int = DEFAULT_MAX_RECORDS,
        max_bytes: int = DEFAULT_MAX_BYTES,
        batch_max_records: int = DEFAULT_BATCH_RECORDS,
        batch_max_bytes: int = DEFAULT_BATCH_BYTES,
        schedule_delay_seconds: float = DEFAULT_SCHEDULE_DELAY_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self._send = send
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._batch_max_records = batch_max_records
        self._batch_max_bytes = batch_max_bytes
        self._schedule_delay_seconds = schedule_delay_seconds
        self._backoff = backoff or Backoff()
        self._worker = WorkerThread(name, self._run, self._outcome)
        self._closed = False
        self._start_empty()

    def _start_empty(self) -> None:
        self._queue: deque[bytes] = deque()
        # Written by the putting side only.
        self._put_count = self._put_bytes = 0
        self._overflow_count = self._overflow_bytes = 0
        self._late_count = 0
        # Written by the sending thread only.
        self._batch: list[bytes] = []
        self._batch_start = 0
        self._taken_bytes = 0
        self._delivered = self._rejected = 0
        self._failed_attempts = 0
        self._pause = 0.0
        self._asked_until = 0.0  # when the server said that it may be asked again
        self._due_at: float | None = None
        self._stopping = False
        self._last_reason: str | None = None

    def start(self) -> None:
        """Start the thread now: an exit hook that logs first could not, from Python 3.12 on."""
        self._worker.ensure_started()

    def put(self, item: bytes) -> None:
        """Queue one item; never blocks. Over the bounds the oldest goes, counted."""
        if self._closed:
            self._late_count += 1
            return
        queue = self._queue
        queue.append(item)
        self._put_count += 1
        self._put_bytes += len(item)
        queued = len(queue)
        if queued == 1 or (queued % self._batch_max_records == 0 and queued <= self._max_records):
            self._worker.ensure_started()
            self._worker.channel.put(Wake())
        if queued > self._max_records or self._queued_bytes() > self._max_bytes:
            self._make_room()

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Ask for everything so far to be tried; wait with ``end_flush``."""
        request = FlushRequest(self._put_count, time.monotonic() + timeout_seconds)
        if self._settled() >= request.target or not self._worker.ensure_started():
            # With nothing to do, or nobody to do it, there is nothing to wait for.
            request.finish(self._outcome(request))
        else:
            self._worker.ask(request)
        return request

    def end_flush(self, request: FlushRequest) -> FlushResult:
        """Wait for a flush until its deadline and return what it achieved."""
        result = request.wait()
        if result is not None:
            return result
        return FlushResult(
            pending=max(0, request.target - self._settled()),
            reason=self._last_reason or NO_ANSWER,
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
        self._worker.stop(request.deadline)
        return result

    def close(self, timeout_seconds: float) -> FlushResult:
        """Flush, then end the thread; what is put later is counted as dropped."""
        return self.end_close(self.begin_close(timeout_seconds))

    def counts(self) -> SenderCounts:
        """Return what became of every item so far."""
        delivered, rejected = self._delivered, self._rejected
        overflow, late, put = self._overflow_count, self._late_count, self._put_count
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
        self._worker.forget()
        self._start_empty()

    def _settled(self) -> int:
        """Return how many items, from the first one on, have met their fate."""
        if self._batch:
            return self._batch_start  # what overflowed meanwhile came after the batch in hand
        return self._delivered + self._rejected + self._overflow_count

    def _make_room(self) -> None:
        """Drop the oldest until the queue is within its bounds, and count them."""
        while len(self._queue) > self._max_records or self._queued_bytes() > self._max_bytes:
            try:
                item = self._queue.popleft()
            except IndexError:
                break  # the sending thread took it
            self._overflow_count += 1
            self._overflow_bytes += len(item)
        warn_once(
            f"overflow:{self.name}",
            f"the queue of {self.name} is full and the oldest are dropped; the collector is slow "
            "or down, check OTEL_EXPORTER_OTLP_ENDPOINT.",
        )

    def _queued_bytes(self) -> int:
        return self._put_bytes - self._taken_bytes - self._overflow_bytes

    def _run(self, channel: SimpleQueue[Message]) -> None:
        while True:
            message = receive(channel, self._seconds_to_wait())
            if isinstance(message, Stop):
                return
            if isinstance(message, FlushRequest):
                self._serve([message], channel)
                if self._stopping:
                    return
            elif isinstance(message, Wake) and self._due_at is None:
                self._due_at = time.monotonic() + self._schedule_delay_seconds
            if self._is_due():
                self._attempt(DEFAULT_SEND_TIMEOUT_SECONDS)
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
        return not self._batch and len(self._queue) >= self._batch_max_records

    def _schedule(self) -> None:
        """Set when to look again after an attempt; with nothing queued the next put wakes us."""
        if self._batch:
            self._due_at = time.monotonic() + self._pause
        elif self._queue:
            self._due_at = time.monotonic() + self._schedule_delay_seconds
        else:
            self._due_at = None

    def _serve(self, requests: list[FlushRequest], channel: SimpleQueue[Message]) -> None:
        """Send until every request is answered; later ones join."""
        delivered, rejected = self._delivered, self._rejected
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
                self._stopping = True  # once the flushes are answered
            if time.monotonic() < resume_at:
                continue
            latest = max(one.deadline for one in requests)
            if not self._attempt(max(_MIN_ATTEMPT_SECONDS, latest - time.monotonic())):
                for one in requests:
                    one.failures += 1
                pause = min(self._pause, MAX_FLUSH_PAUSE_SECONDS)
                resume_at = min(time.monotonic() + pause, latest)

    def _answer(self, request: FlushRequest, delivered: int, rejected: int) -> bool:
        """Finish a request whose time has come; return whether it is finished."""
        is_settled = self._settled() >= request.target
        now = time.monotonic()
        has_to_wait = self._asked_until - now > MAX_FLUSH_PAUSE_SECONDS
        has_failed = has_to_wait or request.failures >= MAX_FLUSH_ATTEMPTS
        if is_settled or has_failed or now >= request.deadline:
            request.finish(self._result(request, delivered, rejected))
            return True
        return False

    def _result(self, request: FlushRequest, delivered: int, rejected: int) -> FlushResult:
        pending = max(0, request.target - self._settled())
        refused = self._rejected - rejected
        return FlushResult(
            delivered=self._delivered - delivered,
            rejected=refused,
            pending=pending,
            reason=self._last_reason if pending or refused else None,
            timed_out=bool(pending) and time.monotonic() >= request.deadline,
        )

    def _outcome(self, request: FlushRequest) -> FlushResult:
        """Return the result of a request that nobody works on."""
        return self._result(request, self._delivered, self._rejected)

    def _attempt(self, timeout_seconds: float) -> bool:
        """Send the batch in hand, or the next one; return False when it has to be sent again."""
        if not self._batch:
            self._take_batch()
        if not self._batch:
            return True
        try:
            result = self._send(self._batch, timeout_seconds)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever send does
            result = SendResult(retryable=True, reason=f"{type(error).__name__}: {error}")
        self._last_reason = result.reason or self._last_reason
        if result.retryable:
            self._failed_attempts += 1
            self._pause = self._backoff.delay(self._failed_attempts, result.retry_after_seconds)
            self._asked_until = time.monotonic() + (result.retry_after_seconds or 0.0)
            self._say_retry(result)
            return False
        self._failed_attempts = 0
        self._asked_until = 0.0
        self._delivered += result.delivered
        refused = len(self._batch) - result.delivered
        self._rejected += refused
        self._batch = []
        if refused:
            self._say_refused(refused, result)
        return True

    def _take_batch(self) -> None:
        self._batch_start = self._settled()
        size = 0
        while self._queue and len(self._batch) < self._batch_max_records:
            try:
                item = self._queue.popleft()
            except IndexError:
                break  # the putting side dropped it
            self._batch.append(item)
            size += len(item)
            self._taken_bytes += len(item)
            if size >= self._batch_max_bytes:
                break

    def _say_retry(self, result: SendResult) -> None:
        warn_once(
            f"retry:{self.name}:{result.reason}",
            f"{self.name} could not be delivered ({result.reason}); they are kept in memory and "
            "sent again. Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT.",
        )

    def _say_refused(self, refused: int, result: SendResult) -> None:
        warn_once(
            f"refused:{self.name}:{result.reason}",
            f"the collector refused {refused} {self.name} ({result.reason}) and they are dropped. "
            "Check OTEL_EXPORTER_OTLP_HEADERS for 401 and 403, the path of the endpoint for 404, "
            "and the collector's own log for the rest.",
        )
