"""Spans and metrics of one service: the providers, and the senders that they feed."""

from typing import TYPE_CHECKING

from sovdev_logger._delivery.ledger import with_turnstile
from sovdev_logger._delivery.otlp_messages import SCOPE_VERSION
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._outputs.otlp.resource import Resource
from sovdev_logger._service.senders import FlushableSender, batch_sender
from sovdev_logger._settings.service import Settings
from sovdev_logger._telemetry.app_providers import ApplicationProvider, application_meter_provider
from sovdev_logger._telemetry.counters import EntryCounts, SpanCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer

    from sovdev_logger._delivery.periodic import PeriodicSender
    from sovdev_logger._delivery.sender import BatchSender
    from sovdev_logger._telemetry.sdk_providers import SpanForwarder


class Telemetry:
    """The tracer and the counters of a service.

    Where the application has set a global meter provider, that provider gets our metrics and
    nothing of them is sent by us. Without endpoint and provider everything here is None and the SDK
    is not imported.

    Attributes:
        tracer: Makes spans that are exported.
        entry_counts, span_counts: What the metrics are read from.
    """

    tracer: "Tracer | None" = None
    entry_counts: EntryCounts | None = None
    span_counts: SpanCounts | None = None
    _traces: "BatchSender | None" = None
    _metrics: "PeriodicSender | None" = None
    _application: ApplicationProvider | None = None

    def __init__(self, settings: Settings, resource: Resource) -> None:
        otlp = settings.otlp
        self._resource = resource
        self._is_delta = otlp.delta_temporality
        if otlp.traces is not None:
            from sovdev_logger._outputs.otlp.exporter import OtlpExporter  # noqa: PLC0415

            exporter = OtlpExporter(otlp.traces, resource)
            self._traces = batch_sender("spans", exporter, settings.delivery)
            self._forwarder = self._start_tracer(self._traces)
        provider = application_meter_provider()
        if provider is not None:
            self._application = ApplicationProvider(provider)
            self._count_for(provider)
        elif otlp.metrics is not None:
            from sovdev_logger._delivery.periodic import PeriodicSender  # noqa: PLC0415
            from sovdev_logger._outputs.otlp.exporter import OtlpExporter  # noqa: PLC0415

            self._produce = self._start_meter()
            self._metrics = PeriodicSender(
                "metrics",
                self._export_metrics,
                OtlpExporter(otlp.metrics, resource),
                interval_seconds=otlp.metric_interval_seconds,
                is_cumulative=not otlp.delta_temporality,
            )

    @property
    def senders(self) -> list[FlushableSender]:
        """The senders of spans and metrics that are on."""
        senders = (self._traces, self._metrics, self._application)
        return [sender for sender in senders if sender is not None]

    def status(self) -> dict[str, OutputStatus]:
        """Return the ledgers of the senders that are not behind a log output."""
        ledgers = {}
        if self._traces is not None:
            counts = self._forwarder.counts()
            ledgers["otlp_traces"] = with_turnstile(self._traces.status(), counts)
        if self._metrics is not None:
            ledgers["otlp_metrics"] = self._metrics.status()
        return ledgers

    def reset_after_fork(self) -> None:
        """Give a forked child counts and providers of its own; the resource is described anew."""
        for counts in (self.entry_counts, self.span_counts):
            if counts is not None:
                counts.reset()
        if self._traces is not None:
            self._forwarder.retire()
            self._forwarder = self._start_tracer(self._traces)
        if self._metrics is not None:
            # The parent's provider may hold locks that nobody is left to release.
            self._produce = self._start_meter()

    def _start_tracer(self, sender: "BatchSender") -> "SpanForwarder":
        from sovdev_logger._telemetry.sdk_providers import (  # noqa: PLC0415
            SpanForwarder,
            build_tracer_provider,
        )

        forwarder = SpanForwarder(sender)
        provider = build_tracer_provider(self._resource.attributes, forwarder)
        self.tracer = provider.get_tracer(self._resource.identity.service_name, SCOPE_VERSION)
        return forwarder

    def _start_meter(self) -> "Callable[[], bytes | None]":
        """Count for a provider of our own; return what produces an export of it."""
        from sovdev_logger._telemetry.sdk_providers import build_meter_provider  # noqa: PLC0415

        provider, produce = build_meter_provider(self._resource.attributes, delta=self._is_delta)
        self._count_for(provider)
        return produce

    def _count_for(self, provider: "MeterProvider") -> None:
        from sovdev_logger._telemetry.instruments import Instruments  # noqa: PLC0415

        identity = self._resource.identity
        meter = provider.get_meter(identity.service_name, SCOPE_VERSION)
        self.entry_counts = self.entry_counts or EntryCounts()
        self.span_counts = self.span_counts or SpanCounts()
        Instruments(meter, identity, self.entry_counts, self.span_counts)

    def _export_metrics(self) -> bytes | None:
        return self._produce()  # a forked child has another
