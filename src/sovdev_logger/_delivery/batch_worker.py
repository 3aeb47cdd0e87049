"""What decides where each item goes: to the server, to the spool, or, counted, nowhere.

One thread runs it and never waits for the network: an ``ExportThread`` does. So it can answer a
flush in time, and put on disk what a hanging server holds up.
"""

import time
from queue import SimpleQueue
from typing import Final

from sovdev_logger._delivery.backlog import Backlog, BatchLimits
from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.exporter import Batch, Exporter, ExportThread, Sent
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
    Wake,
    receive,
)
from sovdev_logger._runtime.selflog import warn_once

SEND_TIMEOUT_SECONDS: Final = 30.0

MAX_REFUSALS_IN_A_ROW: Final = 16
"""Parts of a batch that must be refused, and none accepted, before the rest is not tried."""

STALL_SECONDS: Final = 2.0
"""After so long without an answer, what waits behind a batch goes to disk."""

_ADOPTION_INTERVAL_SECONDS: Final = 60.0
_MIN_ATTEMPT_SECONDS: Final = 0.05


class BatchWorker:
    """Sends the oldest first, deals with the answers, and answers those who wait for a flush."""

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        queue: SeverityQueue,
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
        self._backoff = backoff
        self._ledger = ledger
        self._backlog = Backlog(queue, exporter, spool, ledger, limits)
        self._where = f"in {spool.settings.folder}" if spool is not None else "in memory"
        self._export: ExportThread | None = None
        self._in_flight: Batch | None = None
        self._sent_at = 0.0
        self._requests: list[FlushRequest] = []
        self._failed_attempts = 0
        self._refusals = 0
        self._retry_at = 0.0
        self._not_before = 0.0  # when the server said that it may be asked again
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
        while (message := receive(channel, 0)) is not None:
            self._take_note(message)  # an answer that came in time, a flush that came too late
        self._export.stop()
        self.leave_all()
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

    def leave_all(self) -> None:
        """Put everything on disk, or count it as dropped; only when no thread runs this."""
        in_flight, self._in_flight = self._in_flight, None
        self._backlog.leave_all(in_flight)

    # What the thread does with a message

    def _step(self, message: Message | None) -> None:
        self._take_note(message)
        is_stalled = bool(self._in_flight) and time.monotonic() >= self._sent_at + STALL_SECONDS
        self._backlog.relieve_memory(
            is_stuck=is_stalled or bool(self._failed_attempts), is_urgent=bool(self._requests)
        )
        if self._in_flight is None and time.monotonic() >= self._send_at():
            self._ship()

    def _take_note(self, message: Message | None) -> None:
        if isinstance(message, Sent):
            self._in_flight = None
            self._deal_with(message.batch, message.result)
        elif isinstance(message, FlushRequest):
            self._requests.append(message)
            self._retry_at = self._not_before
        elif isinstance(message, Wake):
            self._backlog.note_put()

    def _deal_with(self, batch: Batch, result: SendResult) -> None:
        if result.reason is not None:
            self._ledger.note(result.reason)
        if result.retryable:
            if result.settled:
                done, batch = batch.split_at(result.settled)
                self._backlog.settle(done, result.delivered, "refused: rejected")
            self._try_later(batch, result)
            return
        self._failed_attempts = 0
        self._not_before = self._retry_at = 0.0
        if result.payload_rejected:
            self._split_or_give_up(batch, result)
            return
        self._refusals = 0
        self._ledger.succeed()
        self._backlog.settle(batch, result.delivered, "refused: partial success")
        if result.delivered < len(batch.items):
            self._say_refused(len(batch.items) - result.delivered, result.reason, "are dropped")
        if time.monotonic() - self._adopted_at > _ADOPTION_INTERVAL_SECONDS:
            self._adopt()

    def _try_later(self, batch: Batch, result: SendResult) -> None:
        self._failed_attempts += 1
        if result.may_have_arrived:
            self._ledger.record(repeated=len(batch.items))
        pause = self._backoff.delay(self._failed_attempts, result.retry_after_seconds)
        if self._requests:
            pause = min(pause, max(MAX_FLUSH_PAUSE_SECONDS, result.retry_after_seconds or 0.0))
        now = time.monotonic()
        self._retry_at = now + pause
        self._not_before = now + (result.retry_after_seconds or 0.0)
        for request in self._requests:
            request.failures += 1
        self._ledger.fail(result.reason or "failed")
        self._backlog.keep(batch)
        warn_once(
            f"retry:{self._name}:{result.reason}",
            f"{self._name} could not be delivered ({result.reason}); they are kept {self._where} "
            f"and sent again. {self._exporter.advice}",
        )

    def _split_or_give_up(self, batch: Batch, result: SendResult) -> None:
        """Find what the server refuses: halve the batch, until single items are refused."""
        self._refusals += 1
        if len(batch.items) > 1 and self._refusals < MAX_REFUSALS_IN_A_ROW:
            self._backlog.split(batch)
            return
        given_up = [batch]
        if self._refusals >= MAX_REFUSALS_IN_A_ROW:
            given_up += self._backlog.take_parts()
        for one in given_up:
            body = self._exporter.body(one.items, one.context)
            folder = self._backlog.set_aside(body, self._exporter.suffix)
            fate = "are dropped" if folder is None else f"are set aside in {folder}"
            self._backlog.settle(one, 0, f"refused: {result.reason}")
            self._say_refused(len(one.items), result.reason, fate)

    def _say_defect(self, message: Message | None, error: Exception) -> None:
        reason = f"defect: {type(error).__name__}"
        warn_once(
            f"{reason}:{self._name}",
            f"delivery of {self._name} met a {type(error).__name__}: {error}; this is a defect of "
            "sovdev-logger, please report it.",
        )
        self._ledger.fail(reason)
        if isinstance(message, Sent):
            self._backlog.settle(message.batch, 0, reason)
        self._retry_at = time.monotonic() + MAX_FLUSH_PAUSE_SECONDS

    def _say_refused(self, refused: int, reason: str | None, fate: str) -> None:
        warn_once(
            f"refused:{self._name}:{reason}",
            f"the server refused {refused} {self._name} ({reason}) and they {fate}; "
            "sovdev_status() counts them. The server's own log says what is wrong with them.",
        )

    def _ship(self) -> None:
        """Hand the oldest batch to the thread that sends."""
        batch = self._backlog.next_batch()
        if batch is None or self._export is None:
            return
        if not batch.is_fragment:
            self._refusals = 0
        timeout = SEND_TIMEOUT_SECONDS
        self._sent_at = time.monotonic()
        if self._requests:
            latest = max(request.deadline for request in self._requests)
            timeout = max(_MIN_ATTEMPT_SECONDS, min(timeout, latest - self._sent_at))
        self._in_flight = batch
        self._export.send(batch, timeout)

    def _adopt(self) -> None:
        self._backlog.recover()
        self._adopted_at = time.monotonic()
        self.has_adopted = True

    # When things happen

    def _send_at(self) -> float:
        """Return when the next batch is to be sent; infinity when there is none."""
        backlog = self._backlog
        if backlog.has_started:
            return self._retry_at
        if not len(self._queue):
            return float("inf")
        if self._requests or backlog.is_full:
            return self._retry_at
        return float("inf") if backlog.due_at is None else max(backlog.due_at, self._retry_at)

    def _seconds_to_wait(self) -> float | None:
        """Return how long nothing needs doing; None until a message comes."""
        times: list[float] = [request.deadline for request in self._requests]
        if self._in_flight is None:
            times.append(self._send_at())
        due_at = self._backlog.due_at
        if due_at is not None and self._backlog.can_spool:
            # Until then nothing is moved to disk that could still be sent.
            start = self._sent_at + STALL_SECONDS if self._in_flight else due_at
            times.append(max(due_at, start))
        soonest = min(times, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())

    def _answer(self, request: FlushRequest) -> bool:
        """Finish a request whose time has come; return whether it is finished."""
        if request.mark is None and not self._queue.holds_any_up_to(request.target):
            request.mark = self._backlog.accepted_count
        now = time.monotonic()
        has_to_wait = self._not_before - now > MAX_FLUSH_PAUSE_SECONDS
        has_failed = has_to_wait or request.failures >= MAX_FLUSH_ATTEMPTS
        if self._is_settled(request) or has_failed or now >= request.deadline:
            request.finish(self.outcome(request))
            return True
        return False

    def _is_settled(self, request: FlushRequest) -> bool:
        return request.mark is not None and self._ledger.fates.settled >= request.mark
