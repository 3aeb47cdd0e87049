"""The handler of every remote output: it encodes entries and queues them for delivery."""

from typing import Protocol

from sovdev_logger._delivery.ledger import with_turnstile
from sovdev_logger._delivery.sender import Sender
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._runtime.selflog import warn_once


class Encoder(Protocol):
    """Knows the format of a server's records."""

    @property
    def destination(self) -> str:
        """The server, as warnings name it."""

    def encode(self, entry: Entry) -> bytes:
        """Return an entry as an item for the sender."""


class RemoteHandler(OutputHandler):
    """Encodes each entry and queues it; no call waits for the network.

    Args:
        sender: Delivers the items.
        encoder: Makes them.
        entry_from_record: Makes entries of records from plain logging.
    """

    leaves_machine = True

    def __init__(self, sender: Sender, encoder: Encoder, entry_from_record: EntryFactory) -> None:
        super().__init__(entry_from_record)
        self._sender = sender
        self._encoder = encoder

    def write(self, entry: Entry) -> None:
        """Encode one entry and queue it."""
        self._sender.put(self._encoder.encode(entry), entry.level.otel_severity)

    def ledger(self) -> OutputStatus:
        """Return the sender's ledger, with what still waits in front of it."""
        return with_turnstile(self._sender.status(), self._turnstile.counts())

    def report(self, error: Exception) -> str:
        """Warn that an entry could not be encoded; the other outputs have it."""
        destination, kind = self._encoder.destination, type(error).__name__
        warn_once(
            f"encoder:{destination}:{kind}",
            f"an entry could not be encoded for {destination} ({kind}); this is a bug in "
            "sovdev-logger; please report it.",
        )
        reason = f"not encoded: {kind}"
        self._sender.lose(reason)
        return reason
