"""OTLP over HTTP: export requests, and the meaning of their answers."""

from collections.abc import Callable, Sequence
from typing import Final

from sovdev_logger._delivery.http_transport import HttpExporter, HttpResult, HttpTransport
from sovdev_logger._delivery.otlp_messages import read_partial_success, wrap
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.verdict import judge_failure
from sovdev_logger._settings.endpoint import HttpEndpoint


class OtlpExporter(HttpExporter):
    """Posts finished items.

    Args:
        endpoint: Where to.
        context: Returns resource and scope around the items of this process.
    """

    suffix: Final = ".pb"
    advice: Final = (
        "Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT, and OTEL_EXPORTER_OTLP_HEADERS for "
        "401 and 403."
    )

    def __init__(self, endpoint: HttpEndpoint, context: Callable[[], bytes]) -> None:
        super().__init__(HttpTransport(endpoint))
        self._context = context

    @property
    def context(self) -> bytes:
        """Resource and scope around the items of this process."""
        return self._context()

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:
        """Return the export request for log records or spans."""
        return wrap(items, context)

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:
        """Send items as one request."""
        return self._send(self.body(items, context), len(items), timeout_seconds)

    def _send(self, body: bytes, count: int, timeout_seconds: float) -> SendResult:
        answer = self._transport.post(body, timeout_seconds)
        if answer.accepted:
            return _accepted(answer, count)
        return judge_failure(answer, answer.error or f"HTTP {answer.status}")


class OtlpMetricsExporter(OtlpExporter):
    """Posts exports of metrics: each is a request of its own, and so are several together."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        super().__init__(endpoint, bytes)  # an export has its resource and scope in it

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:  # noqa: ARG002
        """Return one request for some exports."""
        return b"".join(items)


def _accepted(answer: HttpResult, count: int) -> SendResult:
    rejected, reason = read_partial_success(answer.body)
    rejected = min(rejected, count)
    return SendResult(delivered=count - rejected, rejected_count=rejected, reason=reason or None)
