"""The queue, the sender and the callbacks that a client and its children share."""

import atexit
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sovdev_logger._delivery.backlog import BatchLimits
from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.http_transport import HttpResult
from sovdev_logger._delivery.ledger import NOT_SENT
from sovdev_logger._delivery.results import FlushResult, SendResult
from sovdev_logger._delivery.sender import BatchSender
from sovdev_logger._outputs.logwell.exporter import (
    MAX_REQUEST_BYTES,
    LogwellExporter,
)
from sovdev_logger._runtime.background_thread import BackgroundThread
from sovdev_logger._runtime.fork import Phase, register_for_fork
from sovdev_logger._runtime.multiprocessing_exit import end_with_multiprocessing_child
from sovdev_logger._runtime.selflog import warn, warn_once
from sovdev_logger._runtime.turnstile import Turnstile
from sovdev_logger._settings.delivery import DeliverySettings
from sovdev_logger._settings.logwell import LogwellSettings
from sovdev_logger.logwell.errors import (
    NETWORK_ERROR,
    QUEUE_OVERFLOW,
    VALIDATION_ERROR,
    LogwellError,
    error_for,
)

EXIT_TIMEOUT_SECONDS: Final = 5.0

OnError = Callable[[LogwellError], object]
OnFlush = Callable[[int], object]

_BASE_BACKOFF_SECONDS: Final = 0.1
_MAX_BACKOFF_SECONDS: Final = 10.0
_ONE_SEVERITY: Final = 21
"""All records are in one lane of the queue, so that the oldest go first, whatever their level."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The application's callbacks; one that raises causes one warning and nothing else."""

    on_error: OnError | None = None
    on_flush: OnFlush | None = None

    def error(self, error: LogwellError) -> None:
        """Report an error."""
        if self.on_error is not None:
            _call(self.on_error, error)

    def flushed(self, count: int) -> None:
        """Report how many records of a batch the server accepted."""
        if self.on_flush is not None:
            _call(self.on_flush, count)


class Core:
    """The queue and the sender of a client and its children.

    Any thread, task, signal handler or finalizer may put records.
    """

    def __init__(self, settings: LogwellSettings, callbacks: Callbacks) -> None:
        self.callbacks = callbacks
        self._max_queue_size = settings.queue_size or 1
        self._sender = BatchSender(
            "logwell records",
            _ReportingExporter(settings, callbacks),
            settings=DeliverySettings(queue_max_records=self._max_queue_size),
            limits=BatchLimits(
                # A batch on its way counts in the queue, and must leave room for newer records.
                min(settings.batch_size, max(1, self._max_queue_size // 2)),
                MAX_REQUEST_BYTES,
                settings.flush_interval_seconds,
            ),
            backoff=Backoff(_BASE_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS),
        )
        self._turnstile: Turnstile[bytes] = Turnstile(self._put)
        self._sender.start()
        _live.add(self)
        register_for_fork(Phase.LOGWELL_CLIENTS, self)
        # A client without references sends its queued records, and its thread ends.
        finalizer = weakref.finalize(self, _end_without_waiting, self._sender)
        finalizer.atexit = False
        end_with_multiprocessing_child(self, self.end)

    @property
    def queue_size(self) -> int:
        """How many records are in memory."""
        return self._sender.open_count() + self._turnstile.counts().parked

    def put(self, record: bytes) -> None:
        """Queue a finished record; beyond the bound the oldest are dropped and reported."""
        before = self._sender.overflow_count
        self._turnstile.submit(record)
        for _ in range(self._sender.overflow_count - before):
            self.callbacks.error(
                LogwellError(
                    f"the queue is full ({self._max_queue_size} records): the oldest is dropped",
                    QUEUE_OVERFLOW,
                )
            )

    def flush(self, timeout_seconds: float) -> FlushResult:
        """Wait until everything so far has been tried."""
        self._turnstile.drain_parked(self._put)
        return self._sender.flush(timeout_seconds)

    def close(self, timeout_seconds: float) -> FlushResult:
        """Send queued records, then close; records that cannot be sent are reported."""
        was_closed = self._sender.is_closed
        lost_before = self._lost
        self._turnstile.drain_parked(self._put)
        result = self._sender.close(timeout_seconds)
        lost = self._lost - lost_before
        if lost and not was_closed:
            message = f"{lost} records could not be sent before the end: {result.reason}"
            self.callbacks.error(LogwellError(message, NETWORK_ERROR))
            warn(f"not delivered to Logwell: {message}.")
        return result

    @property
    def _lost(self) -> int:
        return self._sender.status().dropped_by_reason.get(NOT_SENT, 0)

    def end(self) -> None:
        """Close within the time that an exit may take."""
        self.close(EXIT_TIMEOUT_SECONDS)

    def reset_after_fork(self) -> None:
        """Start empty in a forked child: what is queued is the parent's to send."""
        self._sender.reset_after_fork()
        end_with_multiprocessing_child(self, self.end)

    def _put(self, record: bytes) -> None:
        self._sender.put(record, _ONE_SEVERITY)
        # What is being sent, or failed and waits to be sent again, counts too.
        self._sender.drop_oldest_beyond(self._max_queue_size)


class _ReportingExporter(LogwellExporter):
    """An exporter that reports the outcome of each batch to the application's callbacks."""

    advice = "Check the endpoint and the API key."

    def __init__(self, settings: LogwellSettings, callbacks: Callbacks) -> None:
        super().__init__(settings)
        self._callbacks = callbacks
        self._retrying: bytes | None = None
        self._attempts = 0

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:
        """Send records as one request and report the outcome."""
        result = super().send(items, context, timeout_seconds)
        if result.retryable:
            self._report_failure(items[0], result)
            return result
        self._attempts = 0
        if result.payload_rejected:
            if len(items) == 1:  # more are halved, and tried again
                self._callbacks.error(self._error(result))
            return result
        if result.delivered:
            self._callbacks.flushed(result.delivered)
        if result.rejected_count:
            message = f"the server rejected {result.rejected_count} records: {result.reason}"
            self._callbacks.error(LogwellError(message, VALIDATION_ERROR, 200))
        return result

    def _report_failure(self, first: bytes, result: SendResult) -> None:
        """Report a batch that failed, once: after its retries, or at once without any."""
        if first != self._retrying:
            self._retrying, self._attempts = first, 0
        self._attempts += 1
        error = self._error(result)
        if self._attempts == (self._max_retries + 1 if error.retryable else 1):
            self._callbacks.error(error)

    def _error(self, result: SendResult) -> LogwellError:
        return error_for(self.last_answer or HttpResult(None), result.reason or "failed")


def _call(callback: Callable[..., object], argument: object) -> None:
    try:
        callback(argument)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the application's
        warn_once(
            f"logwell-callback:{type(error).__name__}",
            f"a callback of a Logwell client raised {type(error).__name__}; that is ignored.",
        )


def _end_without_waiting(sender: BatchSender) -> None:
    # If it cannot start, the interpreter is ending, and has closed every client already.
    BackgroundThread("logwell end", lambda: sender.close(EXIT_TIMEOUT_SECONDS)).ensure_started()


_live: "weakref.WeakSet[Core]" = weakref.WeakSet()


def _end_all() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_SECONDS
    for core in list(_live):
        core.close(max(0.1, deadline - time.monotonic()))


atexit.register(_end_all)
