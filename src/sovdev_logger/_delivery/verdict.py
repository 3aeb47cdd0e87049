"""Judges failed HTTP answers: whether the payload, the sender or the moment is to blame."""

from typing import Final

from sovdev_logger._delivery.http_transport import HttpResult
from sovdev_logger._delivery.results import SendResult

TURNED_AWAY_PAUSE_SECONDS: Final = 30.0
"""Pause after a response about our credentials or URL rather than the payload."""

_PAYLOAD_STATUSES: Final = frozenset({400, 413, 422})


def judge_failure(answer: HttpResult, reason: str, detail: str = "") -> SendResult:
    """Return what becomes of a batch: only a rejected payload is not sent again as it was."""
    if answer.status in _PAYLOAD_STATUSES:
        return SendResult(payload_rejected=True, reason=reason, detail=detail)
    pause = answer.retry_after_seconds
    if not answer.retryable:
        # Credentials, path or method: an immediate retry fails too, but no entry has to be lost.
        pause = max(pause or 0.0, TURNED_AWAY_PAUSE_SECONDS)
    return SendResult(
        retryable=True,
        retry_after_seconds=pause,
        reason=reason,
        detail=detail,
        may_have_arrived=answer.may_have_arrived,
    )
