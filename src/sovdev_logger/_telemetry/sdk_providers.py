"""The SDK's providers of traces and metrics, feeding our own senders."""

from collections.abc import Callable, Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from sovdev_logger._delivery.otlp_messages import as_item
from sovdev_logger._delivery.sender import Sender
from sovdev_logger._entry.levels import ERROR, INFO
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._runtime.turnstile import Turnstile, TurnstileCounts


class SpanForwarder(SpanProcessor):
    """Encodes each span when it ends and queues the bytes.

    The SDK's batch processor encodes in the background, which the caller pays for in steps of the
    interpreter's switch interval, drops at 2,048 and waits without a deadline on a flush.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._turnstile = Turnstile(self._forward, self._say_lost)
        self._is_retired = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only ended spans are exported."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if self._is_retired or span.context is None or not span.context.trace_flags.sampled:
            return
        self._turnstile.submit(span)

    def counts(self) -> TurnstileCounts:
        """Return what came here and what became of it before the sender had it."""
        return self._turnstile.counts()

    def retire(self) -> None:
        """Forward nothing more: in a forked child the parent's open spans are the parent's."""
        self._is_retired = True

    def _forward(self, span: ReadableSpan) -> None:
        encoded = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
        is_error = span.status.status_code is StatusCode.ERROR
        severity = ERROR.otel_severity if is_error else INFO.otel_severity
        self._sender.put(as_item(encoded.SerializeToString()), severity)

    def _say_lost(self, error: Exception) -> None:
        self._sender.lose(f"not encoded: {type(error).__name__}")
        warn_once(
            f"span:{type(error).__name__}",
            f"a span could not be encoded ({type(error).__name__}) and is not exported.",
        )

    def shutdown(self) -> None:
        """Do nothing: the sender is closed with the service."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Do nothing: ``sovdev_flush`` asks the sender itself."""
        return True


def build_tracer_provider(
    attributes: Mapping[str, str], forwarder: SpanForwarder
) -> TracerProvider:
    """Return a provider whose spans go to ``forwarder``; it is not made global."""
    provider = TracerProvider(resource=Resource(dict(attributes)), shutdown_on_exit=False)
    provider.add_span_processor(forwarder)
    return provider


def build_meter_provider(
    attributes: Mapping[str, str], *, delta: bool
) -> tuple[MeterProvider, Callable[[], bytes | None]]:
    """Return a provider, not made global, and what produces an export request of its metrics."""
    kinds: tuple[type, ...] = (Counter, Histogram, ObservableCounter)
    preferred = dict.fromkeys(kinds, AggregationTemporality.DELTA)
    reader = InMemoryMetricReader(preferred_temporality=preferred if delta else None)
    provider = MeterProvider([reader], resource=Resource(dict(attributes)), shutdown_on_exit=False)

    def produce() -> bytes | None:
        data = reader.get_metrics_data()
        return None if data is None else encode_metrics(data).SerializeToString()

    return provider, produce
