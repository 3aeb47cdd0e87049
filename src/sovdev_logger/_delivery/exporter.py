"""The thread that does nothing but send: whatever a server does to it, everything else goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, Protocol

from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.spool.spool import Spooled
from sovdev_logger._runtime.background_thread import BackgroundThread
from sovdev_logger._runtime.own_traffic import own_traffic

NO_THREAD: Final = "no thread can be started, the interpreter is ending"


class Exporter(Protocol):
    """Knows a server's wire format and protocol.

    Attributes:
        context: What every item of this process needs around it, kept with items on disk.
        suffix: What the name of a file with a request's body ends with.
        advice: A sentence with what to check when the server does not take something.
    """

    @property
    def advice(self) -> str:
        """A sentence with what to check when the server does not take something."""

    @property
    def context(self) -> bytes:
        """Bytes that every item of this process needs around it; spooled with the items."""

    @property
    def suffix(self) -> str:
        """File name suffix of a request that is set aside."""

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:
        """Return the request for some items."""

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:
        """Send items within so many seconds and return the server's answer."""

    def close(self) -> None:
        """Close the connection; the next request opens another."""

    def reset_after_fork(self) -> None:
        """Leave the connection to the parent: a forked child opens its own."""


@dataclass(slots=True, eq=False)
class Batch:
    """Items that are sent together, and their place in the spool, if they have one.

    Attributes:
        is_fragment: Whether it is part of a batch that the server rejected or answered in part.
    """

    items: Sequence[bytes]
    context: bytes
    spooled: Spooled | None = None
    is_fragment: bool = False

    def bisect(self) -> "tuple[Batch, Batch]":
        """Return its two halves."""
        return self.split_at(len(self.items) // 2)

    def split_at(self, index: int) -> "tuple[Batch, Batch]":
        """Return the items before ``index``, and the rest."""
        first, second = self.items[:index], self.items[index:]
        return (
            Batch(first, self.context, self.spooled, is_fragment=True),
            Batch(second, self.context, self.spooled, is_fragment=True),
        )


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
