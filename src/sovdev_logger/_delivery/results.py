"""Results of an attempt to send, and of a flush."""

from dataclasses import dataclass
from typing import Final

NO_ANSWER: Final = "no answer in time"


@dataclass(frozen=True, slots=True)
class SendResult:
    """A server's answer to one batch.

    Attributes:
        delivered: Items that it accepted.
        rejected_count: Items that it rejected for good, without saying which.
        payload_rejected: Whether it rejects the batch for its content, so that parts may pass.
        retryable: Whether all of it may be sent again.
        retry_after_seconds: Minimum pause the server asked for; None without one.
        reason: The failure in words; None after a success.
        detail: The server's own words about it, which may differ each time.
        settled: With ``retryable``, how many items at the front are settled, ``delivered`` of them
            accepted and the others rejected.
        may_have_arrived: Whether it was sent without an answer: sent again, it may arrive twice.
    """

    delivered: int = 0
    rejected_count: int = 0
    payload_rejected: bool = False
    retryable: bool = False
    retry_after_seconds: float | None = None
    reason: str | None = None
    settled: int = 0
    may_have_arrived: bool = False
    detail: str = ""

    @property
    def explanation(self) -> str | None:
        """The reason with the server's own words."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class FlushResult:
    """The outcome of a flush.

    Attributes:
        delivered: Items that the server accepted meanwhile.
        rejected: Items that were dropped meanwhile.
        pending: Items that are not settled.
        spooled: How many of the pending ones are on disk.
        reason: Why items are pending or were rejected; None when there are none.
        timed_out: Whether the deadline ended it.
    """

    delivered: int = 0
    rejected: int = 0
    pending: int = 0
    spooled: int = 0
    reason: str | None = None
    timed_out: bool = False
