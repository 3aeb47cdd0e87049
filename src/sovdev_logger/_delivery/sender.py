"""The sender of batches: queue, spool, ledger and threads behind one ``put``."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from sovdev_logger._delivery.backlog import Backlog, BatchLimits
from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.batch_worker import BatchWorker
from sovdev_logger._delivery.exporter import Exporter, Source
from sovdev_logger._delivery.ledger import CLOSED, QUEUE_FULL, Ledger
from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._delivery.severity_queue import DEFAULT_SEVERITY, SeverityQueue
from sovdev_logger._delivery.spool.spool import Spool
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._delivery.worker_thread import FlushRequest, Wake, WorkerThread
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._settings.delivery import DeliverySettings

_MAX_WAIT_FOR_SPOOL_SECONDS: Final = 1.0
_WAIT_SLICE_SECONDS: Final = 0.0005

_MAX_SPOOLING_SECONDS: Final = 1.0
_SPOOLING_SHARE: Final = 0.2
"""Share of the time to close that is reserved for spooling the rest.

Meanwhile the last request may still be answered.
"""

_LAST_SHARE: Final = 0.25
"""Share of the reserve that is left when the last request is not waited for any longer."""


class Sender(Protocol):
    """Takes finished items for delivery; no call blocks or raises."""

    def put(self, item: bytes, severity: int) -> None:
        """Queue one item."""

    def lose(self, reason: str) -> None:
        """Count an item that could not be encoded."""

    def status(self) -> OutputStatus:
        """Return the ledger of the items."""


class BatchSender:
    """Accepts items from callers and sends them in batches from threads of its own.

    ``put`` is for one caller at a time (an output's turnstile sees to that) and never waits;
    ``flush``, ``close`` and ``status`` may be called from any thread or signal handler.

    Args:
        name: What the items are, in the plural, for warnings.
        exporter: Knows the server.
        settings: Bounds of the queue, beyond which the oldest of the lowest severity go, and
            the spool.
        limits: When a batch is complete.
        backoff: Pauses between failed attempts.
    """

    def __init__(
        self,
        name: str,
        exporter: Exporter,
        *,
        settings: DeliverySettings | None = None,
        limits: BatchLimits | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.advice = exporter.advice
        self._exporter = exporter
        self._settings = settings or DeliverySettings()
        self._limits = limits or BatchLimits()
        self._backoff = backoff or Backoff()
        self.is_closed = False
        self._start_empty()

    def _start_empty(self) -> None:
        self._late_count = 0
        self._lost: dict[str, int] = {}
        self._ledger = Ledger()
        bounds = self._settings
        self._spool = None
        if bounds.spool is not None:
            self._spool = Spool(bounds.spool, self.name.replace(" ", "-"), self._ledger)
        self._queue = SeverityQueue(
            self.name, bounds.queue_max_records, bounds.queue_max_bytes, self._wait_for_the_spool
        )
        self._wake_every = min(self._limits.max_records, max(1, bounds.queue_max_records // 4))
        self._waited_in_vain_at = -1
        backlog, source = self._backlog_and_source()
        self._worker = BatchWorker(
            self.name,
            self._queue,
            self._exporter,
            self._backoff,
            self._ledger,
            self._spool,
            backlog,
            source,
        )
        self._thread = WorkerThread(self.name, self._worker.run, self._worker.outcome)

    def _backlog_and_source(self) -> tuple[Backlog, Source | None]:
        return self._new_backlog(Backlog), None

    def _new_backlog(self, kind: type[Backlog]) -> Backlog:
        return kind(self.name, self._queue, self._exporter, self._spool, self._ledger, self._limits)

    def start(self) -> None:
        """Start the thread now: an exit hook that logs first could not, from Python 3.12 on."""
        self._thread.ensure_started()

    def put(self, item: bytes, severity: int = DEFAULT_SEVERITY) -> None:
        """Queue one item; never waits for a network. A full queue drops the least severe, counted.

        Args:
            item: Encoded bytes.
            severity: OpenTelemetry's severity number, 1 to 24.
        """
        if self.is_closed:
            self._late_count += 1
            warn_once(
                f"closed:{self.name}",
                f"{self.name} that come after the shutdown, or after the exit hook, are not "
                "sent: shut down last.",
            )
            return
        queued = self._queue.put(item, severity)
        if queued == 1 or queued % self._wake_every == 0:
            self._thread.ensure_started()
            self._thread.channel.put(Wake())

    def _wait_for_the_spool(self, is_over: Callable[[], bool]) -> None:
        """Wait while a full queue is spooled.

        The caller waits for its own disk here, as it does for the log file, and for no network.
        After one timeout it does not wait again until the disk has accepted something.
        """
        if self._spool is None or self._queue.taken_count == self._waited_in_vain_at:
            return
        if not self._spool.is_usable or not self._thread.ensure_started():
            return
        self._thread.channel.put(Wake())
        deadline = time.monotonic() + _MAX_WAIT_FOR_SPOOL_SECONDS
        while is_over() and self._spool.is_usable:
            if time.monotonic() > deadline:
                self._waited_in_vain_at = self._queue.taken_count
                return
            time.sleep(_WAIT_SLICE_SECONDS)

    @property
    def overflow_count(self) -> int:
        """How many items a full queue dropped."""
        return self._queue.overflow_count

    def open_count(self) -> int:
        """Return how many items are in memory or on disk."""
        return self._worker.open_count()

    def drop_oldest_beyond(self, max_records: int) -> None:
        """Drop the oldest queued items while more are open; the newest always stays."""
        while self.open_count() > max_records and len(self._queue) > 1:
            self._queue.drop_oldest()

    def lose(self, reason: str) -> None:
        """Count an item that could not be encoded; for one caller at a time, as ``put`` is."""
        self._lost[reason] = self._lost.get(reason, 0) + 1

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Ask for an attempt at everything queued so far; wait with ``end_flush``."""
        return self._ask(time.monotonic() + timeout_seconds)

    def _ask(self, deadline: float, ends_at: float | None = None) -> FlushRequest:
        counts = self._ledger.counts
        request = FlushRequest(
            self._queue.put_count,
            deadline,
            counts.delivered,
            sum(counts.dropped.values()),
            ends_at,
        )
        if self._worker.is_idle or not self._thread.ensure_started():
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
        return self._worker.outcome(request)

    def flush(self, timeout_seconds: float) -> FlushResult:
        """Wait until everything put before has been delivered, refused, or tried in vain.

        Returns early when three attempts failed, or the server asked to be left alone for longer:
        what is pending stays queued or spooled and is sent later.
        """
        return self.end_flush(self.begin_flush(timeout_seconds))

    def begin_close(self, timeout_seconds: float) -> FlushRequest:
        """Accept nothing more and ask for an attempt at the rest; wait with ``end_close``."""
        self.is_closed = True
        end = time.monotonic() + timeout_seconds
        reserve = min(_MAX_SPOOLING_SECONDS, timeout_seconds * _SPOOLING_SHARE)
        return self._ask(end - reserve, ends_at=end - reserve * _LAST_SHARE)

    def end_close(self, request: FlushRequest, deadline: float) -> FlushResult:
        """Wait for the last flush, spool the rest and end the thread, by the deadline."""
        result = self.end_flush(request)
        self._thread.stop(deadline)
        if not self._thread.is_running:
            self._worker.leave_all()  # where no thread could be started
        self._exporter.close()
        left = self._worker.outcome(request)
        return FlushResult(
            left.delivered, left.rejected, left.pending, left.spooled, result.reason or left.reason,
            timed_out=result.timed_out,
        )  # fmt: skip

    def close(self, timeout_seconds: float) -> FlushResult:
        """Flush, then end the thread; what is put later is counted as dropped."""
        deadline = time.monotonic() + timeout_seconds
        return self.end_close(self.begin_close(timeout_seconds), deadline)

    def status(self) -> OutputStatus:
        """Return the fate of every item so far."""
        counts = self._ledger.counts  # first: no item has a fate before it is put
        overflow, late = self._queue.overflow_count, self._late_count
        further = {QUEUE_FULL: overflow, CLOSED: late, **self._lost}
        lost = sum(further.values()) - overflow
        return self._ledger.status(counts, self._queue.put_count + lost, further)

    def reset_after_fork(self) -> None:
        """Start empty in a forked child: what is queued is the parent's to send."""
        self._exporter.reset_after_fork()
        self._start_empty()
