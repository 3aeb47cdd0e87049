"""A sender that makes its items itself, periodically: the exports of metrics."""

import time
from collections.abc import Callable
from typing import Final

from sovdev_logger._delivery.backlog import Backlog, BatchLimits
from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.exporter import Exporter, Source
from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._delivery.sender import BatchSender
from sovdev_logger._delivery.snapshots import SnapshotBacklog
from sovdev_logger._delivery.worker_thread import FlushRequest
from sovdev_logger._settings.delivery import DeliverySettings

DEFAULT_INTERVAL_SECONDS: Final = 60.0


class PeriodicSource:
    """Calls ``produce`` every interval, and for each flush.

    Attributes:
        due_at: The end of the interval.
    """

    def __init__(self, produce: Callable[[], bytes | None], interval_seconds: float) -> None:
        self._produce = produce
        self._interval_seconds = interval_seconds
        self.due_at = time.monotonic() + interval_seconds

    def next_item(self) -> bytes | None:
        """Return the next export, None when there is nothing."""
        now = time.monotonic()
        if self.due_at <= now:
            self.due_at = now + self._interval_seconds
        return self._produce()


class PeriodicSender(BatchSender):
    """Sends what ``produce`` returns every interval, and whenever it is flushed.

    Args:
        name: What is sent, in the plural, for warnings.
        produce: Returns the next export, None when there is nothing; runs in the sender's thread.
        exporter: Knows the server.
        settings: The spool, and the bounds of what waits.
        interval_seconds: Between two exports.
        backoff: Pauses between failed attempts.
        is_cumulative: Whether each export holds the earlier ones of this process, so that only the
            last counts; else all are kept until sent.
    """

    def __init__(
        self,
        name: str,
        produce: Callable[[], bytes | None],
        exporter: Exporter,
        *,
        settings: DeliverySettings | None = None,
        interval_seconds: float = DEFAULT_INTERVAL_SECONDS,
        backoff: Backoff | None = None,
        is_cumulative: bool = True,
    ) -> None:
        self._produce = produce
        self._interval_seconds = interval_seconds
        self._is_cumulative = is_cumulative
        limits = BatchLimits(delay_seconds=0.0)
        super().__init__(name, exporter, settings=settings, limits=limits, backoff=backoff)

    def _backlog_and_source(self) -> tuple[Backlog, Source | None]:
        kind = SnapshotBacklog if self._is_cumulative else Backlog
        return self._new_backlog(kind), PeriodicSource(self._produce, self._interval_seconds)

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Ask for an export to be made and sent now; wait with ``end_flush``."""
        request = super().begin_flush(timeout_seconds)
        if not self.is_closed and not self._thread.is_running:
            request.result = FlushResult(pending=1, reason="the interpreter is ending")
        return request

    def reset_after_fork(self) -> None:
        """Start empty in a forked child, which exports what it counts itself."""
        super().reset_after_fork()
        if not self.is_closed:
            self.start()
