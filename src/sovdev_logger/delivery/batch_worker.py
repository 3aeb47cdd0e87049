"""What decides where each item goes: to the server, to the spool, or, counted, nowhere.

One thread runs it and never waits for the network: an ``ExportThread`` does. So it can answer a
flush in time, and put on disk what a hanging server holds up.
"""

import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from sovdev_logger.delivery.bounded_queue import BoundedQueue
from sovdev_logger.delivery.exporting import Batch, Exporter, ExportThread, Sent
from sovdev_logger.delivery.ledger import NOT_SENT, Ledger
from sovdev_logger.delivery.results import NO_ANSWER, FlushResult, SendResult
from sovdev_logger.delivery.retry import Backoff
from sovdev_logger.delivery.spool import Spool
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

MAX_REFUSALS_IN_A_ROW: Final = 16
"""Parts of a batch that must be refused, and none accepted, before the rest is not tried."""

STALL_SECONDS: Final = 2.0
"""After so long without an answer, what waits behind a batch goes to disk."""

_HIGH_FILL_LEVEL: Final = 0.75
_LOW_FILL_LEVEL: Final = 0.5
_ADOPTION_INTERVAL_SECONDS: Final = 60.0
_MIN_ATTEMPT_SECONDS: Final = 0.05


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
    """Sends the oldest first: what waits here, then the spool, then the queue."""

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        queue: BoundedQueue,
        exporter: Exporter,
        limits: BatchLimits,
        backoff: Backoff,
        ledger: Ledger,
        spool: Spool | None,
    ) -> None:
        self.has_adopted = spool is None
        self._name = name
        self._queue = queue
        self._exporter = exporter
        self._limits = limits
        self._backoff = backoff
        self._ledger = ledger
        self._spool = spool
        self._export: ExportThread | None = None
        self._waiting: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._sent_at = 0.0
        self._requests: list[FlushRequest] = []
        self._accepted_count = 0  # items that left the queue, or were recovered, in this order
        self._failed_attempts = 0
        self._refusals = 0
        self._retry_at = 0.0
        self._asked_until = 0.0  # when the server said that it may be asked again
        self._due_at: float | None = None
        self._adopted_at = 0.0

    def run(self, channel: SimpleQueue[Message]) -> None:
        """Deliver what is queued until told to stop."""
        self._export = ExportThread(self._name, self._exporter, channel.put)
        self._export.ensure_started()
        self._adopt()
        while True:
            message = receive(channel, self._seconds_to_wait())
            if isinstance(message, Stop):
                break
            try:
                self._step(message)
            except Exception as error:  # noqa: BLE001 - nobody else delivers
                self._say_defect(message, error)
            self._requests = [one for one in self._requests if not self._answer(one)]
        self._export.stop()
        self.set_aside_all()
        for request in self._requests:
            request.finish(self.outcome(request))

    def open_count(self) -> int:
        """Return how many items are in memory or on disk."""
        fates = self._ledger.fates  # first: nothing has a fate before it was put
        overflow = self._queue.overflow_count
        return self._queue.put_count + fates.recovered - overflow - fates.settled

    def outcome(self, request: FlushRequest) -> FlushResult:
        """Return what a flush has achieved by now."""
        put_later = self._queue.put_count - request.target
        pending = 0 if self._is_settled(request) else max(0, self.open_count() - put_later)
        fates = self._ledger.fates
        rejected = sum(fates.dropped.values()) - request.dropped_before
        return FlushResult(
            delivered=fates.delivered - request.delivered_before,
            rejected=rejected,
            pending=pending,
            spooled=min(pending, fates.spooled),
            reason=(self._ledger.last_error or NO_ANSWER) if pending or rejected else None,
            timed_out=bool(pending) and time.monotonic() >= request.deadline,
        )

    def set_aside_all(self) -> None:
        """Put everything on disk, or count it as dropped; only when no thread runs this."""
        started = [*([self._in_flight] if self._in_flight else []), *self._waiting]
        self._waiting.clear()
        self._in_flight = None
        for batch in reversed(started):
            self._leave(batch, in_front=True)
        while items := self._take_from_queue():
            self._leave(Batch(items, self._exporter.context))
        if self._spool is not None:
            self._spool.close()

    # What the thread does with a message

    def _step(self, message: Message | None) -> None:
        self._take_note(message)
        self._relieve_memory()
        if self._in_flight is None and time.monotonic() >= self._send_at():
            self._ship()

    def _take_note(self, message: Message | None) -> None:
        if isinstance(message, Sent):
            self._in_flight = None
            self._deal_with(message.batch, message.result)
        elif isinstance(message, FlushRequest):
            self._requests.append(message)
            self._retry_at = self._asked_until
        elif isinstance(message, Wake) and self._due_at is None:
            self._due_at = time.monotonic() + self._limits.delay_seconds

    def _deal_with(self, batch: Batch, result: SendResult) -> None:
        if result.reason is not None:
            self._ledger.note(result.reason)
        if result.retryable:
            self._try_later(batch, result)
            return
        self._failed_attempts = 0
        self._asked_until = self._retry_at = 0.0
        if result.is_refused:
            self._split_or_give_up(batch, result)
            return
        self._refusals = 0
        self._ledger.succeed()
        self._settle(batch, result.delivered, "refused: partial success")
        if result.delivered < len(batch.items):
            self._say_refused(len(batch.items) - result.delivered, result.reason, "are dropped")
        if time.monotonic() - self._adopted_at > _ADOPTION_INTERVAL_SECONDS:
            self._adopt()

    def _try_later(self, batch: Batch, result: SendResult) -> None:
        self._failed_attempts += 1
        pause = self._backoff.delay(self._failed_attempts, result.retry_after_seconds)
        if self._requests:
            pause = min(pause, max(MAX_FLUSH_PAUSE_SECONDS, result.retry_after_seconds or 0.0))
        now = time.monotonic()
        self._retry_at = now + pause
        self._asked_until = now + (result.retry_after_seconds or 0.0)
        for request in self._requests:
            request.failures += 1
        self._ledger.fail(result.reason or "failed")
        self._keep(batch)
        where = "in memory" if self._spool is None else f"in {self._spool.settings.folder}"
        warn_once(
            f"retry:{self._name}:{result.reason}",
            f"{self._name} could not be delivered ({result.reason}); they are kept {where} and "
            "sent again. Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT, and "
            "OTEL_EXPORTER_OTLP_HEADERS for 401 and 403.",
        )

    def _split_or_give_up(self, batch: Batch, result: SendResult) -> None:
        """Find what the server refuses: halve the batch, until single items are refused."""
        self._refusals += 1
        if len(batch.items) > 1 and self._refusals < MAX_REFUSALS_IN_A_ROW:
            # To the end of the line: both halves of the whole are tried before any quarter, so
            # that a server that refuses everything is recognised soon.
            self._waiting.extend(batch.halves())
            return
        given_up = [batch]
        if self._refusals >= MAX_REFUSALS_IN_A_ROW:
            given_up += [one for one in self._waiting if one.is_part]
            self._waiting = deque(one for one in self._waiting if not one.is_part)
            self._refusals = 0
        for one in given_up:
            path = None
            if self._spool is not None:
                body = self._exporter.body(one.items, one.context)
                path = self._spool.set_aside(body, self._exporter.suffix)
            fate = "are dropped" if path is None else f"are set aside in {path.parent}"
            self._settle(one, 0, f"refused: {result.reason}")
            self._say_refused(len(one.items), result.reason, fate)

    def _say_defect(self, message: Message | None, error: Exception) -> None:
        reason = f"defect: {type(error).__name__}"
        warn_once(
            f"{reason}:{self._name}",
            f"delivery of {self._name} met a {type(error).__name__}: {error}; this is a defect of "
            "sovdev-logger, please report it.",
        )
        self._ledger.fail(reason)
        if isinstance(message, Sent) and message.batch not in self._waiting:
            self._settle(message.batch, 0, reason)
        self._retry_at = time.monotonic() + MAX_FLUSH_PAUSE_SECONDS

    def _say_refused(self, refused: int, reason: str | None, fate: str) -> None:
        warn_once(
            f"refused:{self._name}:{reason}",
            f"the collector refused {refused} {self._name} ({reason}) and they {fate}; "
            "sovdev_status() counts them. The collector's own log says what is wrong with them.",
        )

    # Where items go

    def _settle(self, batch: Batch, delivered: int, reason: str) -> None:
        """Count the items as delivered, the rest as dropped; none of them is touched again."""
        size = len(batch.items)
        self._ledger.record(
            delivered=delivered,
            spooled=-size if batch.spooled else 0,
            dropped=size - delivered,
            reason=reason,
        )
        if batch.spooled is not None and self._spool is not None:
            self._spool.done(batch.spooled, size)

    def _keep(self, batch: Batch) -> None:
        """Put a batch that failed on disk, unless it is there; else in front of the others."""
        self._check_that_it_is_there(batch)
        if batch.spooled is None and self._spool is not None and self._spool.is_usable:
            batch = self._spooled_rest(self._spool, batch, in_front=True)
        if batch.items:
            self._waiting.appendleft(batch)

    def _check_that_it_is_there(self, batch: Batch) -> None:
        """Make a batch whose file somebody removed one that is in memory."""
        spooled = batch.spooled
        if spooled is None or self._spool is None or spooled.segment.path.exists():
            return
        self._ledger.record(spooled=-len(batch.items))
        self._spool.done(spooled, len(batch.items))
        self._spool.forget_vanished()
        batch.spooled = None

    def _leave(self, batch: Batch, *, in_front: bool = False) -> None:
        """Put a batch on disk for the next process, or count it as dropped."""
        self._check_that_it_is_there(batch)
        spooled = batch.spooled
        if self._spool is None:
            self._settle(batch, 0, NOT_SENT)
        elif spooled is None:
            self._settle(self._spooled_rest(self._spool, batch, in_front=in_front), 0, NOT_SENT)
        elif spooled.open_count < len(spooled.items):
            # Some of its block was settled: what is left becomes a block of its own.
            rest = self._spooled_rest(self._spool, batch, in_front=in_front)
            kept = len(batch.items) - len(rest.items)
            self._settle(rest, 0, NOT_SENT)
            self._ledger.record(spooled=-kept)
            self._spool.done(spooled, kept)

    def _spooled_rest(self, spool: Spool, batch: Batch, *, in_front: bool = False) -> Batch:
        """Write a batch to the spool and return what did not get there."""
        in_front = in_front and bool(spool)
        written = spool.append(batch.items, batch.context, in_front=in_front)
        return Batch(batch.items[written:], batch.context, batch.spooled, batch.is_part)

    def _relieve_memory(self) -> None:
        """Move the queue to disk while the server does not keep up."""
        if not len(self._queue):
            self._due_at = None
            return
        if self._spool is None or not self._spool.is_usable:
            return
        now = time.monotonic()
        is_stalled = self._in_flight is not None and now >= self._sent_at + STALL_SECONDS
        is_due = self._is_full() or bool(self._requests) or (self._due_at or now) <= now
        if (self._failed_attempts or is_stalled) and is_due:
            self._move_to_spool(self._spool, keep_share=0.0)
        elif self._fill_level() > _HIGH_FILL_LEVEL:
            self._move_to_spool(self._spool, keep_share=_LOW_FILL_LEVEL)

    def _move_to_spool(self, spool: Spool, keep_share: float) -> None:
        while spool.is_usable and self._fill_level() > keep_share:
            items = self._take_from_queue()
            if not items:
                return
            rest = self._spooled_rest(spool, Batch(items, self._exporter.context))
            if rest.items:
                self._waiting.append(rest)

    def _fill_level(self) -> float:
        queue = self._queue
        return max(len(queue) / queue.max_records, queue.queued_bytes / queue.max_bytes)

    def _take_from_queue(self) -> list[bytes]:
        items = self._queue.take(self._limits.max_records, self._limits.max_bytes)
        self._accepted_count += len(items)
        self._due_at = time.monotonic() + self._limits.delay_seconds if len(self._queue) else None
        return items

    def _ship(self) -> None:
        """Hand the oldest batch to the thread that sends."""
        batch = self._next_batch()
        if batch is None or self._export is None:
            return
        timeout = SEND_TIMEOUT_SECONDS
        self._sent_at = time.monotonic()
        if self._requests:
            latest = max(request.deadline for request in self._requests)
            timeout = max(_MIN_ATTEMPT_SECONDS, min(timeout, latest - self._sent_at))
        self._in_flight = batch
        self._export.send(batch, timeout)

    def _next_batch(self) -> Batch | None:
        if self._waiting:
            return self._waiting.popleft()
        if self._spool:
            spooled = self._spool.take(self._limits.max_records, self._limits.max_bytes)
            if spooled is not None:
                return Batch(spooled.items, spooled.segment.context, spooled)
        items = self._take_from_queue()
        return Batch(items, self._exporter.context) if items else None

    def _adopt(self) -> None:
        if self._spool is not None:
            before = self._ledger.fates.recovered
            self._spool.adopt()
            self._accepted_count += self._ledger.fates.recovered - before
            self._adopted_at = time.monotonic()
            self.has_adopted = True

    # When things happen

    def _is_full(self) -> bool:
        return len(self._queue) >= self._limits.max_records

    def _send_at(self) -> float:
        """Return when the next batch is to be sent; infinity when there is none."""
        if self._waiting or self._spool:
            return self._retry_at
        if self._requests or self._is_full():
            return self._retry_at if len(self._queue) else float("inf")
        return float("inf") if self._due_at is None else max(self._due_at, self._retry_at)

    def _seconds_to_wait(self) -> float | None:
        """Return how long nothing needs doing; None until a message comes."""
        times: list[float] = [request.deadline for request in self._requests]
        if self._in_flight is None:
            times.append(self._send_at())
        if self._due_at is not None and self._spool is not None and self._spool.is_usable:
            # Until then nothing is moved to disk that could still be sent.
            start = self._sent_at + STALL_SECONDS if self._in_flight else self._due_at
            times.append(max(self._due_at, start))
        soonest = min(times, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())

    def _answer(self, request: FlushRequest) -> bool:
        """Finish a request whose time has come; return whether it is finished."""
        if request.mark is None and not self._queue.holds_any_up_to(request.target):
            request.mark = self._accepted_count
        now = time.monotonic()
        has_to_wait = self._asked_until - now > MAX_FLUSH_PAUSE_SECONDS
        has_failed = has_to_wait or request.failures >= MAX_FLUSH_ATTEMPTS
        if self._is_settled(request) or has_failed or now >= request.deadline:
            request.finish(self.outcome(request))
            return True
        return False

    def _is_settled(self, request: FlushRequest) -> bool:
        return request.mark is not None and self._ledger.fates.settled >= request.mark
