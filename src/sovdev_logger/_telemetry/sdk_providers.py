"""The SDK's providers of traces and metrics, feeding our own senders."""

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
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from sovdev_logger._delivery.otlp_messages import SCOPE_VERSION, as_item
from sovdev_logger._delivery.otlp_resource import Resource
from sovdev_logger._delivery.sender import Sender
from sovdev_logger._entry.levels import ERROR, INFO
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._runtime.turnstile import Turnstile, TurnstileCounts
from sovdev_logger._telemetry.counters import EntryCounts, SpanCounts
from sovdev_logger._telemetry.instruments import Instruments
from sovdev_logger._telemetry.start_times import StartTimes


class SpanForwarder(SpanProcessor):
    """Encodes each span when it ends and queues the bytes.

    The SDK's batch processor encodes in the background, which delays callers by the interpreter's
    switch interval, drops spans beyond 2,048 and flushes without a deadline.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._turnstile = Turnstile(self._forward, self._count_lost)
        self._is_retired = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only ended spans are exported."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if self._is_retired or span.context is None or not span.context.trace_flags.sampled:
            return
        self._turnstile.submit(span)

    def counts(self) -> TurnstileCounts:
        """Return the counts of spans before the sender had them."""
        return self._turnstile.counts()

    def retire(self) -> None:
        """Forward no more spans: in a forked child the open ones belong to the parent."""
        self._is_retired = True

    def _forward(self, span: ReadableSpan) -> None:
        encoded = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
        is_error = span.status.status_code is StatusCode.ERROR
        severity = ERROR.otel_severity if is_error else INFO.otel_severity
        self._sender.put(as_item(encoded.SerializeToString()), severity)

    def _count_lost(self, error: Exception) -> None:
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


class OwnTracer:
    """A tracer of a provider of our own, which is not made global.

    Attributes:
        tracer: Its spans go to the sender.
    """

    def __init__(self, resource: Resource, sender: Sender) -> None:
        self._resource = resource
        self._sender = sender
        self._start()

    def counts(self) -> TurnstileCounts:
        """Return the counts of spans before the sender had them."""
        return self._forwarder.counts()

    def reset_after_fork(self) -> None:
        """Leave the open spans to the parent, and trace for a resource that was described anew."""
        self._forwarder.retire()
        self._start()

    def _start(self) -> None:
        self._forwarder = SpanForwarder(self._sender)
        provider = TracerProvider(resource=_for_sdk(self._resource), shutdown_on_exit=False)
        provider.add_span_processor(self._forwarder)
        self.tracer = provider.get_tracer(self._resource.identity.service_name, SCOPE_VERSION)


class OwnMeter:
    """The instruments on a meter provider of our own, which is not made global."""

    def __init__(
        self, resource: Resource, entries: EntryCounts, spans: SpanCounts, *, is_delta: bool
    ) -> None:
        self._resource = resource
        self._entries = entries
        self._spans = spans
        kinds: tuple[type, ...] = (Counter, Histogram, ObservableCounter)
        delta = dict.fromkeys(kinds, AggregationTemporality.DELTA)
        self._temporality = delta if is_delta else None
        self._start()

    def export(self) -> bytes | None:
        """Return an export request of the metrics so far, None without any."""
        metrics = self._reader.get_metrics_data()
        if metrics is None:
            return None
        request = encode_metrics(metrics)
        self._start_times.set(request)
        return request.SerializeToString()

    def reset_after_fork(self) -> None:
        """Take another provider: the parent's may hold locks that nobody is left to release."""
        self._start()

    def _start(self) -> None:
        self._start_times = StartTimes()
        self._reader = InMemoryMetricReader(preferred_temporality=self._temporality)
        provider = MeterProvider(
            [self._reader], resource=_for_sdk(self._resource), shutdown_on_exit=False
        )
        Instruments(provider, self._resource.identity, self._entries, self._spans)


def _for_sdk(resource: Resource) -> SdkResource:
    return SdkResource(dict(resource.attributes))
