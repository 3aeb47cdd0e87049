"""The SDK's providers of traces and metrics, feeding our own senders."""

from collections.abc import Callable, Mapping
from typing import Protocol

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

from sovdev_logger.otlp_wire import as_item
from sovdev_logger.reentry import Turnstile
from sovdev_logger.selflog import warn_once


class Sender(Protocol):
    """Takes finished bytes for delivery."""

    def put(self, item: bytes) -> None:
        """Queue one item."""


class SpanForwarder(SpanProcessor):
    """Encodes each span when it ends and queues the bytes.

    The SDK's batch processor encodes in the background, which the caller pays for in steps of the
    interpreter's switch interval, drops at 2,048 and waits without a deadline on a flush.
    """

    def __init__(self, sender: Sender) -> None:
        self._turnstile = Turnstile(sender.put)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only ended spans are exported."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        try:
            encoded = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
            self._turnstile.submit(as_item(encoded.SerializeToString()))
        except Exception as error:  # noqa: BLE001 - ending a span never hurts its host
            warn_once(
                f"span:{type(error).__name__}",
                f"a span could not be encoded ({type(error).__name__}) and is not exported.",
            )

    def shutdown(self) -> None:
        """Do nothing: the sender is closed with the service."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Do nothing: ``sovdev_flush`` asks the sender itself."""
        return True


def build_tracer_provider(attributes: Mapping[str, str], sender: Sender) -> TracerProvider:
    """Return a provider whose spans go to ``sender``; it is not made global."""
    provider = TracerProvider(resource=Resource(dict(attributes)), shutdown_on_exit=False)
    provider.add_span_processor(SpanForwarder(sender))
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
