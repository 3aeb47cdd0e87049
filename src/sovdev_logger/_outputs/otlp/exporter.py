"""OTLP over HTTP: export requests, and the meaning of their answers."""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from sovdev_logger._delivery.failure_reasons import SPEAKS_HTTP_2, server_reason
from sovdev_logger._delivery.http_transport import HttpExporter, HttpResult, HttpTransport
from sovdev_logger._delivery.otlp_messages import read_partial_success, wrap
from sovdev_logger._delivery.results import NO_ANSWER, SendResult
from sovdev_logger._delivery.verdict import judge_failure
from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.otlp import ENDPOINT, GRPC_PORT, HTTP_PORT

_CLOSED_WITHOUT_ANSWER: Final = ("reset by peer", "closed connection without response")


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
        self._endpoint = endpoint
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
        if answer.status is None:
            return judge_failure(answer, no_answer_reason(answer, self._endpoint))
        return judge_failure(answer, f"HTTP {answer.status}", server_reason(answer.body))


class OtlpMetricsExporter(OtlpExporter):
    """Posts exports of metrics: each is a request of its own, and so are several together."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        super().__init__(endpoint, bytes)  # an export has its resource and scope in it

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:  # noqa: ARG002
        """Return one request for some exports."""
        return b"".join(items)


def no_answer_reason(answer: HttpResult, endpoint: HttpEndpoint) -> str:
    """Return why there was no answer, and what to set where the port is one for gRPC."""
    reason = answer.error or NO_ANSWER
    if urlsplit(endpoint.url).port == GRPC_PORT and answer.was_sent:
        what = f"port {GRPC_PORT} is that of OTLP over gRPC"
    elif reason == SPEAKS_HTTP_2:
        what = "the port is one for gRPC"
    elif any(text in reason for text in _CLOSED_WITHOUT_ANSWER):
        what = "a port for gRPC does so, too"  # its greeting is often lost with the connection
    else:
        return reason
    variable = endpoint.variables.get("url", ENDPOINT.name)
    return f"{reason}: {what}; set {variable} to the port for OTLP over HTTP, usually {HTTP_PORT}"


def _accepted(answer: HttpResult, count: int) -> SendResult:
    rejected, reason = read_partial_success(answer.body)
    rejected = min(rejected, count)
    return SendResult(delivered=count - rejected, rejected_count=rejected, reason=reason or None)
