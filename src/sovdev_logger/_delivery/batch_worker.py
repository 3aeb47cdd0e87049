"""Decides the fate of each item: sent, spooled, or dropped and counted.

One thread runs it and never waits for the network: an ``ExportThread`` does. So it answers a flush
in time and spools what a hanging server holds up.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Final

from sovdev_logger._delivery.backlog import Backlog, Batch
from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.export_thread import ExportThread, Sent
from sovdev_logger._delivery.exporter import Exporter, Source
from sovdev_logger._delivery.ledger import Ledger
from sovdev_logger._delivery.results import NO_ANSWER, FlushResult, SendResult
from sovdev_logger._delivery.severity_queue import SeverityQueue
from sovdev_logger._delivery.spool.spool import Spool
from sovdev_logger._delivery.worker_thread import (
    MAX_FLUSH_ATTEMPTS,
    MAX_FLUSH_PAUSE_SECONDS,
    FlushRequest,
    Message,
    Stop,
    receive,
)
from sovdev_logger._runtime.selflog import warn_once

SEND_TIMEOUT_SECONDS: Final = 30.0

MAX_REJECTIONS_IN_A_ROW: Final = 16
"""After so many rejected fragments of a batch in a row, the rest of it is not tried."""

_RECOVERY_INTERVAL_SECONDS: Final = 60.0
_MIN_ATTEMPT_SECONDS: Final = 0.05


class BatchWorker:
    """Sends the oldest items first, handles the server's answers and finishes flush requests."""

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        queue: SeverityQueue,
        exporter: Exporter,
        backoff: Backoff,
        ledger: Ledger,
        spool: Spool | None,
        backlog: Backlog,
        source: Source | None = None,
    ) -> None:
        self.has_recovered = spool is None
        self._name = name
        self._queue = queue
        self._exporter = exporter
        self._backoff = backoff
        self._ledger = ledger
        self._backlog = backlog
        self._source = source
        self._spool = spool
        self._where = f"in {spool.settings.folder}" if spool is not None else "in memory"
        self._export: ExportThread | None = None
        self._in_flight: Batch | None = None
        self._is_ending = False
        self._ends_at = math.inf
        self._requests: list[FlushRequest] = []
        self._failed_attempts = 0
        self._rejections = 0
        self._retry_at = 0.0
        self._not_before = 0.0  # the server asked for no request before
        self._recovered_at = 0.0

    def run(self, channel: SimpleQueue[Message]) -> None:
        """Deliver queued items until a ``Stop`` arrives."""
        self._export = ExportThread(self._name, self._exporter, channel.put)
        self._export.ensure_started()
        self._survive(self._recover)
        self.has_recovered = True
        while not self._is_ending:
            message = receive(channel, self._seconds_to_wait())
            self._survive(partial(self._step, message), message)
        self._wind_down(channel)
        self._export.stop()
        self.leave_all()
        for request in self._requests:
            request.finish(self.outcome(request))

    def _wind_down(self, channel: SimpleQueue[Message]) -> None:
        """Put on disk what waits; handle the answer under way, late flushes and stops."""
        if self._in_flight is not None:
            self._survive(partial(self._backlog.hold, self._in_flight))
            self._survive(self._backlog.spool_queue)
        while True:
            left = self._ends_at - time.monotonic() if self._in_flight is not None else 0.0
            message = receive(channel, left)
            if message is None:
                return
            self._survive(partial(self._handle_message, message), message)
            if isinstance(message, FlushRequest) and message.ends_at is not None:
                self._end_by(message.ends_at)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to send, or to make."""
        has_all = self.has_recovered and not self._has_more_to_recover
        return has_all and self._source is None and not self.open_count()

    @property
    def _has_more_to_recover(self) -> bool:
        return self._spool is not None and self._spool.has_more

    def open_count(self) -> int:
        """Return how many items are in memory or on disk."""
        counts = self._ledger.counts  # first: no item has a fate before it is put
        overflow = self._queue.overflow_count
        return self._queue.put_count + counts.recovered - overflow - counts.settled

    def outcome(self, request: FlushRequest) -> FlushResult:
        """Return the result of a flush so far."""
        put_later = self._queue.put_count - request.last_item
        pending = 0
        if not self._is_settled(request):
            # What cannot be read for the moment is overtaken by what was put later.
            unreadable = 0 if self._spool is None else self._spool.unreadable_count
            pending = max(self.open_count() - put_later, unreadable)
        counts = self._ledger.counts
        rejected = sum(counts.dropped.values()) - request.dropped_before
        return FlushResult(
            delivered=counts.delivered - request.delivered_before,
            rejected=rejected,
            pending=pending,
            spooled=min(pending, counts.spooled),
            reason=(self._ledger.last_error or NO_ANSWER) if pending or rejected else None,
            timed_out=bool(pending) and time.monotonic() >= request.deadline,
        )

    def leave_all(self) -> None:
        """Spool everything or count it as dropped; only when no thread runs this."""
        in_flight, self._in_flight = self._in_flight, None
        self._backlog.leave_all(in_flight)

    # Messages

    def _step(self, message: Message | None) -> None:
        self._handle_message(message)
        if self._source is not None and self._makes_item_at <= time.monotonic():
            self._make_item(self._source)
        self._backlog.note_puts()
        self._backlog.relieve_memory(
            self._in_flight,
            is_blocked=self._is_blocked(),
            is_urgent=bool(self._failed_attempts and self._requests),
        )
        self._finish_requests()
        if not self._is_ending and self._in_flight is None and time.monotonic() >= self._send_at():
            self._send_next()
            if self._in_flight is None:
                self._finish_requests()  # nothing could be read

    def _handle_message(self, message: Message | None) -> None:
        if isinstance(message, Sent):
            self._in_flight = None
            self._handle_result(message.batch, message.result)
        elif isinstance(message, FlushRequest):
            self._retry_at = self._not_before
            if self._spool is not None:
                self._spool.try_to_read_again()
                message.failed_reads_before = self._spool.failed_reads
            self._requests.append(message)
            if self._source is not None:
                self._make_item(self._source)
                self._wait_for_the_latest()
        elif isinstance(message, Stop):
            self._end_by(message.ends_at)

    @property
    def _makes_item_at(self) -> float:
        """When the source is asked again: not during a flush, which has just asked it."""
        return math.inf if self._source is None or self._requests else self._source.due_at

    def _wait_for_the_latest(self) -> None:
        """Let earlier requests wait for the item of the last: it may supersede theirs."""
        for request in self._requests:
            request.last_item = self._queue.put_count
            request.settled_goal = None

    def _make_item(self, source: Source) -> None:
        try:
            item = source.next_item()
        except Exception as error:  # noqa: BLE001 - whatever it calls, the others must be sent
            reason = f"{type(error).__name__}: {error}"
            self._backlog.lose(f"not made: {type(error).__name__}")
            self._ledger.fail(reason)
            warn_once(f"make:{self._name}:{reason}", f"{self._name} could not be made ({reason}).")
            return
        if item is not None:
            self._backlog.add(item, is_blocked=self._is_blocked())

    def _end_by(self, ends_at: float) -> None:
        self._is_ending = True
        self._ends_at = min(self._ends_at, ends_at)

    def _handle_result(self, batch: Batch, result: SendResult) -> None:
        if result.reason is not None:
            self._ledger.record_loss(result.explanation or result.reason)
        if result.retryable:
            self._schedule_retry(batch, result)
            return
        self._failed_attempts = 0
        self._not_before = self._retry_at = 0.0
        if result.payload_rejected:
            self._bisect_or_reject(batch, result)
            return
        self._rejections = 0
        self._ledger.succeed()
        self._backlog.accept(batch, result)
        if time.monotonic() - self._recovered_at > _RECOVERY_INTERVAL_SECONDS:
            self._recover()

    def _schedule_retry(self, batch: Batch, result: SendResult) -> None:
        self._failed_attempts += 1
        self._ledger.fail(result.explanation or "failed")
        self._backlog.keep(batch, result)  # may drop older ones: a later last error
        pause = self._backoff.delay(self._failed_attempts, result.retry_after_seconds)
        if self._requests:
            pause = min(pause, max(MAX_FLUSH_PAUSE_SECONDS, result.retry_after_seconds or 0.0))
        now = time.monotonic()
        self._retry_at = now + pause
        self._not_before = now + (result.retry_after_seconds or 0.0)
        for request in self._requests:
            request.failures += 1
        warn_once(
            f"retry:{self._name}:{result.reason}",
            f"{self._name} could not be delivered ({result.explanation}); they are kept "
            f"{self._where} and sent again. {self._exporter.advice}",
        )

    def _bisect_or_reject(self, batch: Batch, result: SendResult) -> None:
        """Halve the batch until the rejected items are found; reject these."""
        self._rejections += 1
        if len(batch.items) > 1 and self._rejections < MAX_REJECTIONS_IN_A_ROW:
            self._backlog.split(batch)
            return
        rejected = [batch]
        if self._rejections >= MAX_REJECTIONS_IN_A_ROW:
            rejected += self._backlog.take_fragments()
        for fragment in rejected:
            self._backlog.reject(fragment, result)

    def _survive(self, action: Callable[[], None], message: Message | None = None) -> None:
        """Run a part of this thread's work: whatever it raises, nobody else delivers."""
        try:
            action()
        except Exception as error:  # noqa: BLE001
            self._warn_bug(message, error)
            self._finish_requests()

    def _warn_bug(self, message: Message | None, error: Exception) -> None:
        reason = f"defect: {type(error).__name__}"
        warn_once(
            f"{reason}:{self._name}",
            f"delivery of {self._name} met a {type(error).__name__}: {error}; this is a bug in "
            "sovdev-logger; please report it.",
        )
        self._ledger.fail(reason)
        if isinstance(message, Sent):
            self._backlog.settle(message.batch, 0, reason)
        self._retry_at = time.monotonic() + MAX_FLUSH_PAUSE_SECONDS

    def _send_next(self) -> None:
        """Hand the oldest batch to the thread that sends."""
        batch = self._backlog.next_batch()
        if batch is None or self._export is None:
            return
        if not batch.is_fragment:
            self._rejections = 0
        timeout = SEND_TIMEOUT_SECONDS
        if self._requests:
            latest = max(request.ends_at or request.deadline for request in self._requests)
            timeout = max(_MIN_ATTEMPT_SECONDS, min(timeout, latest - time.monotonic()))
        self._in_flight = batch
        self._export.send(batch, timeout)

    def _recover(self) -> None:
        self._backlog.recover()
        self._recovered_at = time.monotonic()

    # Timing

    def _send_at(self) -> float:
        """Return when the next batch is to be sent; infinity when there is none."""
        backlog = self._backlog
        if backlog.has_started:
            return self._retry_at
        if len(self._queue) and (self._requests or backlog.is_full):
            return self._retry_at
        readable_at = math.inf if self._spool is None else self._spool.due_at
        return max(min(backlog.due_at, readable_at), self._retry_at)

    def _seconds_to_wait(self) -> float | None:
        """Return how long to wait for a message; None without a limit."""
        times: list[float] = [request.deadline for request in self._requests]
        times.append(self._makes_item_at)
        if self._in_flight is None:
            times.append(self._send_at())
        if self._is_blocked():
            times.append(self._backlog.relieve_at(self._in_flight))
        soonest = min(times, default=math.inf)
        return None if soonest == math.inf else max(0.0, soonest - time.monotonic())

    def _is_blocked(self) -> bool:
        return self._in_flight is not None or self._retry_at > time.monotonic()

    def _finish_requests(self) -> None:
        finished = [request for request in self._requests if self._finish_if_due(request)]
        self._requests = [request for request in self._requests if request not in finished]
        for request in finished:
            if request.ends_at is not None:
                self._end_by(request.ends_at)

    def _finish_if_due(self, request: FlushRequest) -> bool:
        """Finish a request that is settled, failed or past its deadline; return whether it was."""
        is_accepted = not self._queue.holds_any_up_to(request.last_item)
        if request.settled_goal is None and is_accepted and not self._has_more_to_recover:
            request.settled_goal = self._backlog.accepted_count
        now = time.monotonic()
        has_to_wait = self._not_before - now > MAX_FLUSH_PAUSE_SECONDS
        has_failed = has_to_wait or request.failures >= MAX_FLUSH_ATTEMPTS
        if self._spool is not None and self._in_flight is None and self._send_at() > now:
            # Nothing is left to be sent but what could not be read.
            failed_reads = self._spool.failed_reads - request.failed_reads_before
            has_failed = has_failed or failed_reads >= MAX_FLUSH_ATTEMPTS
        if self._is_settled(request) or has_failed or now >= request.deadline:
            request.finish(self.outcome(request))
            return True
        return False

    def _is_settled(self, request: FlushRequest) -> bool:
        goal = request.settled_goal
        if goal is None or (self._spool is not None and self._spool.unreadable_count):
            return False
        return self._ledger.counts.settled >= goal
