"""What the outputs that leave the machine share: bytes are made here and delivered elsewhere."""

import logging
from typing import ClassVar

from sovdev_logger._delivery.ledger import with_turnstile
from sovdev_logger._delivery.sender import Sender
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._runtime.selflog import warn_once


class RemoteHandler(OutputHandler):
    """Makes bytes of each entry and hands them to the delivery queue; nothing waits for a network.

    A subclass says where they go and implements ``encode``, or ``write``.

    Args:
        sender: Delivers.
        entry_from_record: Makes entries of records from plain logging.
    """

    leaves_machine = True

    key: ClassVar[str]
    """What warnings are counted by."""

    destination: ClassVar[str]
    """What people call it."""

    def __init__(
        self, sender: Sender, entry_from_record: EntryFactory, level: int = logging.NOTSET
    ) -> None:
        super().__init__(entry_from_record, level)
        self._sender = sender

    def encode(self, entry: Entry) -> bytes:
        """Return an entry as the sender takes it."""
        raise NotImplementedError

    def write(self, entry: Entry) -> None:
        """Encode one entry and queue it."""
        self._sender.put(self.encode(entry), entry.level.otel_severity)

    def ledger(self) -> OutputStatus:
        """Return what became of the entries that were not left out."""
        return with_turnstile(self._sender.status(), self._turnstile.counts())

    def report(self, error: Exception) -> str:
        """Say that an entry could not be encoded; the other outputs have it."""
        kind = type(error).__name__
        warn_once(
            f"{self.key}:{kind}",
            f"an entry could not be encoded for {self.destination} ({kind}); this is a defect of "
            "sovdev-logger, please report it.",
        )
        reason = f"not encoded: {kind}"
        self._sender.lose(reason)
        return reason

    def flush(self) -> None:
        """Do nothing: ``sovdev_flush`` waits for delivery, with a deadline."""
