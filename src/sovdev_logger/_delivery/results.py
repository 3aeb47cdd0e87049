"""What became of an attempt to send, and of a flush."""

from dataclasses import dataclass
from typing import Final

NO_ANSWER: Final = "no answer in time"


@dataclass(frozen=True, slots=True)
class SendResult:
    """What a server did with one batch.

    Attributes:
        delivered: Items that it took.
        rejected: Items that it refused for good, without saying which.
        payload_rejected: Whether it refuses the batch for what is in it, so that parts may pass.
        retryable: Whether all of it may be sent again.
        retry_after_seconds: How long to leave the server alone at least, None when it did not say.
        reason: What went wrong, in words, None when nothing did.
        settled: With ``retryable``, how many items in front have their fate already, of which
            ``delivered`` were taken.
        may_have_arrived: Whether it was sent and there was no answer: sent again, it may be there
            twice.
    """

    delivered: int = 0
    rejected: int = 0
    payload_rejected: bool = False
    retryable: bool = False
    retry_after_seconds: float | None = None
    reason: str | None = None
    settled: int = 0
    may_have_arrived: bool = False


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What a flush achieved.

    Attributes:
        delivered: Items that the server took meanwhile.
        rejected: Items that were dropped meanwhile.
        pending: Items whose fate is still open.
        spooled: How many of the pending ones are on disk.
        reason: Why something is pending or was rejected, None when nothing is.
        timed_out: Whether the deadline ended it.
    """

    delivered: int = 0
    rejected: int = 0
    pending: int = 0
    spooled: int = 0
    reason: str | None = None
    timed_out: bool = False
