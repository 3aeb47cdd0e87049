"""Spans and metrics of one service: the providers, and the senders that they feed."""

from typing import TYPE_CHECKING

from sovdev_logger._delivery.ledger import with_turnstile
from sovdev_logger._delivery.otlp_resource import Resource
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._service.senders import FlushableSender
from sovdev_logger._settings.service import Settings
from sovdev_logger._telemetry.app_providers import ApplicationProvider, application_meter_provider
from sovdev_logger._telemetry.counters import EntryCounts, SpanCounts

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from sovdev_logger._delivery.periodic import PeriodicSender
    from sovdev_logger._delivery.sender import BatchSender
    from sovdev_logger._telemetry.sdk_providers import OwnMeter, OwnTracer


class Telemetry:
    """The tracer and the counters of a service.

    Where the application has set a global meter provider, that provider gets our metrics and
    nothing of them is sent by us. Without endpoint and provider everything here is None and the SDK
    is not imported.

    Attributes:
        entry_counts, span_counts: What the metrics are read from.
    """

    entry_counts: EntryCounts | None = None
    span_counts: SpanCounts | None = None
    _own_tracer: "OwnTracer | None" = None
    _own_meter: "OwnMeter | None" = None
    _traces: "BatchSender | None" = None
    _metrics: "PeriodicSender | None" = None
    _application: ApplicationProvider | None = None

    def __init__(self, settings: Settings, resource: Resource) -> None:
        otlp = settings.otlp
        if otlp.traces is not None:
            from sovdev_logger._delivery.sender import BatchSender  # noqa: PLC0415
            from sovdev_logger._outputs.otlp.exporter import OtlpExporter  # noqa: PLC0415
            from sovdev_logger._telemetry.sdk_providers import OwnTracer  # noqa: PLC0415

            exporter = OtlpExporter(otlp.traces, resource.span_context)
            self._traces = BatchSender("spans", exporter, settings=settings.delivery)
            self._own_tracer = OwnTracer(resource, self._traces)
        provider = application_meter_provider()
        if provider is None and otlp.metrics is None:
            return
        self.entry_counts, self.span_counts = counts = EntryCounts(), SpanCounts()
        if provider is not None:
            from sovdev_logger._telemetry.instruments import Instruments  # noqa: PLC0415

            Instruments(provider, resource.identity, *counts)
            self._application = ApplicationProvider(provider)
        elif otlp.metrics is not None:
            from sovdev_logger._delivery.periodic import PeriodicSender  # noqa: PLC0415
            from sovdev_logger._outputs.otlp.exporter import OtlpMetricsExporter  # noqa: PLC0415
            from sovdev_logger._telemetry.sdk_providers import OwnMeter  # noqa: PLC0415

            self._own_meter = OwnMeter(resource, *counts, is_delta=otlp.delta_temporality)
            self._metrics = PeriodicSender(
                "metrics",
                self._own_meter.export,
                OtlpMetricsExporter(otlp.metrics),
                settings=settings.delivery,
                interval_seconds=otlp.metric_interval_seconds,
                is_cumulative=not otlp.delta_temporality,
            )

    @property
    def tracer(self) -> "Tracer | None":
        """The tracer whose spans are exported; None when spans are off."""
        return self._own_tracer.tracer if self._own_tracer is not None else None

    @property
    def senders(self) -> list[FlushableSender]:
        """The senders of spans and metrics that are on."""
        senders = (self._traces, self._metrics, self._application)
        return [sender for sender in senders if sender is not None]

    def status(self) -> dict[str, OutputStatus]:
        """Return the ledgers of the senders that are not behind a log output."""
        ledgers = {}
        if self._traces is not None and self._own_tracer is not None:
            counts = self._own_tracer.counts()
            ledgers["otlp_traces"] = with_turnstile(self._traces.status(), counts)
        if self._metrics is not None:
            ledgers["otlp_metrics"] = self._metrics.status()
        return ledgers

    def reset_after_fork(self) -> None:
        """Give a forked child counts and providers of its own; the resource is described anew."""
        for part in (self.entry_counts, self.span_counts):
            if part is not None:
                part.reset()
        for provider in (self._own_tracer, self._own_meter):
            if provider is not None:
                provider.reset_after_fork()
