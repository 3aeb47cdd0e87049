"""OTLP over HTTP: one export request, and what its answer says about each item."""

from collections.abc import Sequence

from sovdev_logger.delivery.results import SendResult
from sovdev_logger.delivery.transport import HttpResult, HttpTransport
from sovdev_logger.otlp_wire import Envelope, read_partial_success


class OtlpExport:
    """Posts finished items or bodies, and reads the answer truthfully."""

    def __init__(self, transport: HttpTransport, envelope: Envelope) -> None:
        self._transport = transport
        self._envelope = envelope

    def send_items(self, items: Sequence[bytes], timeout_seconds: float) -> SendResult:
        """Send log records or spans as one request."""
        return self._send(self._envelope.wrap(items), len(items), timeout_seconds)

    def send_body(self, body: bytes, timeout_seconds: float) -> SendResult:
        """Send a finished request, which counts as one item."""
        return self._send(body, 1, timeout_seconds)

    def _send(self, body: bytes, count: int, timeout_seconds: float) -> SendResult:
        answer = self._transport.post(body, timeout_seconds)
        if answer.accepted:
            return _accepted(answer, count)
        return SendResult(
            delivered=0,
            rejected=0 if answer.retryable else count,
            retryable=answer.retryable,
            retry_after_seconds=answer.retry_after_seconds,
            reason=answer.error or f"HTTP {answer.status}",
        )


def _accepted(answer: HttpResult, count: int) -> SendResult:
    rejected, reason = read_partial_success(answer.body)
    rejected = min(rejected, count)
    return SendResult(
        delivered=count - rejected,
        rejected=rejected,
        retryable=False,
        retry_after_seconds=None,
        reason=reason or None,
    )
