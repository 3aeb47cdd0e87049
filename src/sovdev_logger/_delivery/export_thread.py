"""A thread that only sends, so that a hanging server blocks nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from sovdev_logger._delivery.backlog import Batch
from sovdev_logger._delivery.exporter import Exporter
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._runtime.background_thread import BackgroundThread
from sovdev_logger._runtime.own_traffic import own_traffic

NO_THREAD: Final = "no thread can be started, the interpreter is ending"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message with a server's answer to a batch."""

    batch: Batch
    result: SendResult


class ExportThread:
    """Sends one batch at a time in a daemon thread, which a fork leaves behind."""

    def __init__(self, name: str, exporter: Exporter, report: Callable[[Sent], None]) -> None:
        self._exporter = exporter
        self._report = report
        self._inbox: SimpleQueue[tuple[Batch, float] | None] = SimpleQueue()
        self.ensure_started = BackgroundThread(f"export {name}", self._run).ensure_started

    def send(self, batch: Batch, timeout_seconds: float) -> None:
        """Hand a batch over; the outcome is reported as ``Sent``, from the thread."""
        if self.ensure_started():
            self._inbox.put((batch, timeout_seconds))
        else:
            self._report(Sent(batch, SendResult(retryable=True, reason=NO_THREAD)))

    def stop(self) -> None:
        """Let the thread end when its server lets it."""
        self._inbox.put(None)

    def _run(self) -> None:
        with own_traffic():
            while (order := self._inbox.get()) is not None:
                batch, timeout_seconds = order
                self._report(Sent(batch, self._send(batch, timeout_seconds)))

    def _send(self, batch: Batch, timeout_seconds: float) -> SendResult:
        try:
            return self._exporter.send(batch.items, batch.context, timeout_seconds)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever this does
            return SendResult(retryable=True, reason=f"{type(error).__name__}: {error}")
