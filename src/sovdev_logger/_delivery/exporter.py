"""The two sides of a sender: a source makes items, an exporter knows a server."""

from collections.abc import Sequence
from typing import Protocol

from sovdev_logger._delivery.results import SendResult


class Exporter(Protocol):
    """Knows a server's wire format and protocol."""

    @property
    def advice(self) -> str:
        """A sentence with what to check when the server does not accept items."""

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


class Source(Protocol):
    """Makes items in the worker's thread, regularly and for each flush.

    Attributes:
        due_at: When to ask for the next.
    """

    due_at: float

    def next_item(self) -> bytes | None:
        """Return an item of what there is now, None when there is nothing."""
