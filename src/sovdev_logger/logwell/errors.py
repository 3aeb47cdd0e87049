"""Errors of a client of a Logwell server."""

from typing import Final

from sovdev_logger._delivery.http_transport import HttpResult

NETWORK_ERROR: Final = "NETWORK_ERROR"
UNAUTHORIZED: Final = "UNAUTHORIZED"
VALIDATION_ERROR: Final = "VALIDATION_ERROR"
RATE_LIMITED: Final = "RATE_LIMITED"
SERVER_ERROR: Final = "SERVER_ERROR"
QUEUE_OVERFLOW: Final = "QUEUE_OVERFLOW"
INVALID_CONFIG: Final = "INVALID_CONFIG"

_BY_STATUS: Final = {
    None: NETWORK_ERROR,
    400: VALIDATION_ERROR,
    401: UNAUTHORIZED,
    413: VALIDATION_ERROR,
    422: VALIDATION_ERROR,
    429: RATE_LIMITED,
}


class LogwellError(Exception):
    """A record, a batch or a configuration that did not work.

    Attributes:
        code: ``NETWORK_ERROR``, ``UNAUTHORIZED``, ``VALIDATION_ERROR``, ``RATE_LIMITED``,
            ``SERVER_ERROR``, ``QUEUE_OVERFLOW`` or ``INVALID_CONFIG``.
        status_code: The HTTP status, None when there was no answer.
        retryable: Whether the same may succeed later; then the records are kept.
    """

    def __init__(
        self, message: str, code: str, status_code: int | None = None, *, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status_code = status_code
        self.retryable = retryable


def error_for(answer: HttpResult, reason: str) -> LogwellError:
    """Return the error that an answer stands for."""
    code = _BY_STATUS.get(answer.status, SERVER_ERROR)
    return LogwellError(reason, code, answer.status, retryable=answer.retryable)
