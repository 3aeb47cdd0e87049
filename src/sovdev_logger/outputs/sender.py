"""What an output that leaves the machine hands its finished bytes to."""

from typing import Protocol

from sovdev_logger.status import OutputStatus


class Sender(Protocol):
    """Takes finished bytes for delivery."""

    def put(self, item: bytes, severity: int) -> None:
        """Queue one item; never blocks, never raises."""

    def lose(self, reason: str) -> None:
        """Count an entry that could not be made an item."""

    def status(self) -> OutputStatus:
        """Return what became of the items."""
