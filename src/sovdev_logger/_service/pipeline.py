"""The three signals on their way out: what is built when an endpoint or a provider is set."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from sovdev_logger._delivery.ledger import with_turnstile
from sovdev_logger._delivery.otlp_messages import SCOPE_VERSION, make_context
from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._entry.entry import Identity
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._settings.delivery import DeliverySettings
from sovdev_logger._settings.otlp import HttpEndpoint, OtlpSettings
from sovdev_logger._telemetry.app_providers import (
    application_logger_provider,
    application_meter_provider,
)
from sovdev_logger._telemetry.counters import EntryCounts, SpanCounts

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer

    from sovdev_logger._delivery.periodic import PeriodicSender
    from sovdev_logger._delivery.sender import BatchSender
    from sovdev_logger._outputs.otlp.exporter import OtlpExporter
    from sovdev_logger._telemetry.sdk_providers import SpanForwarder


class Connection(Protocol):
    """What a sender sends over."""

    def close(self) -> None:
        """End it; the next use opens another."""

    def forget(self) -> None:
        """Leave it to a fork's parent."""


class Pipeline:
    """The senders of one service, and the providers that feed them.

    Where the application has set a global provider of a signal, that provider gets what is ours
    and nothing of that signal is sent by us; it is flushed with the rest and never shut down.
    Without endpoint and provider everything here is empty and the SDK is not imported.
    """

    def __init__(self, identity: Identity, otlp: OtlpSettings, delivery: DeliverySettings) -> None:
        self._identity = identity
        self._otlp = otlp
        self._delivery = delivery
        self._logger_provider = application_logger_provider()
        self._transports: list[Connection] = []
        self._others: list[BatchSender] = []
        self._exporters: list[OtlpExporter] = []
        self._flush_application: list[Callable[[], object]] = []
        self._forwarder: SpanForwarder | None = None
        self.entry_counts: EntryCounts | None = None
        self.span_counts: SpanCounts | None = None
        self.tracer: Tracer | None = None
        self.logs: BatchSender | None = None
        self.traces: BatchSender | None = None
        self.metrics: PeriodicSender | None = None
        self._describe(identity)
        if otlp.logs is not None and self._logger_provider is None:
            self.logs = self._batch_sender("log entries", otlp.logs)
        if otlp.traces is not None:
            self.traces = self._batch_sender("spans", otlp.traces)
            self._start_tracer(self.traces)
        self._start_metrics()

    def log_output(self, entry_from_record: EntryFactory) -> OutputHandler | None:
        """Return the output for entries that leave the machine, None when there is none."""
        if self._logger_provider is not None:
            return self._application_output(self._logger_provider, entry_from_record)
        if self.logs is None:
            return None
        from sovdev_logger._outputs.otlp.encoder import OTLPLoggingHandler  # noqa: PLC0415

        return OTLPLoggingHandler(self.logs, entry_from_record)

    def add(self, sender: "BatchSender", connection: Connection) -> None:
        """Let a sender of another output be flushed, closed and forked with ours."""
        self._others.append(sender)
        self._transports.append(connection)

    def flush(self, timeout_seconds: float) -> dict[str, FlushResult]:
        """Ask every sender to deliver, and wait for all of them with one deadline."""
        application = self._begin_application_flush()
        requests = [(one, one.begin_flush(timeout_seconds)) for one in self._senders()]
        results = {sender.name: sender.end_flush(request) for sender, request in requests}
        _wait_for_all(application, timeout_seconds)
        return results

    def close(self, timeout_seconds: float) -> dict[str, FlushResult]:
        """Deliver what is queued and end the senders for good, with one deadline for all."""
        deadline = time.monotonic() + timeout_seconds
        application = self._begin_application_flush()
        requests = [(one, one.begin_close(timeout_seconds)) for one in self._senders()]
        results = {one.name: one.end_close(request, deadline) for one, request in requests}
        _wait_for_all(application, max(0.0, deadline - time.monotonic()))
        for transport in self._transports:
            transport.close()
        return results

    def advice(self, name: str) -> str:
        """Return what to check when a sender does not get rid of its items."""
        others = {sender.name: sender.advice for sender in self._others}
        return others.get(name, "Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT.")

    def status(self) -> dict[str, OutputStatus]:
        """Return the ledgers of the senders that are not behind a log output."""
        found = {}
        if self.traces is not None and self._forwarder is not None:
            found["otlp_traces"] = with_turnstile(self.traces.status(), self._forwarder.counts())
        if self.metrics is not None:
            found["otlp_metrics"] = self.metrics.status()
        return found

    def reset_after_fork(self, identity: Identity) -> None:
        """Give a forked child queues, threads, connections and a resource of its own."""
        for transport in self._transports:
            transport.forget()
        self._describe(identity)
        for sender in (self.logs, self.traces, *self._others):
            if sender is not None:
                sender.reset_after_fork()
        for counts in (self.entry_counts, self.span_counts):
            if counts is not None:
                counts.reset()
        if self._forwarder is not None and self.traces is not None:
            self._forwarder.retire()
            self._start_tracer(self.traces)
        if self.metrics is not None and self._otlp.metrics is not None:
            # The parent's provider may hold locks that nobody is left to release.
            is_closed = self.metrics.is_closed
            self._make_own_metrics(self._otlp.metrics)
            self.metrics.is_closed = is_closed
            if not is_closed:
                self.metrics.start()

    def _describe(self, identity: Identity) -> None:
        """Say in the resource which service and session the items are of."""
        self._identity = identity
        self._attributes = resource_attributes(identity, self._otlp)
        self._context = make_context(self._attributes, identity.service_name)
        for exporter in self._exporters:
            exporter.context = self._context

    def _senders(self) -> "list[BatchSender | PeriodicSender]":
        ours = (self.logs, self.traces, self.metrics, *self._others)
        return [one for one in ours if one is not None]

    def _batch_sender(self, name: str, target: HttpEndpoint) -> "BatchSender":
        from sovdev_logger._delivery.sender import BatchSender  # noqa: PLC0415

        sender = BatchSender(name, self._exporter(target), settings=self._delivery)
        sender.start()
        return sender

    def _exporter(self, target: HttpEndpoint) -> "OtlpExporter":
        from sovdev_logger._delivery.http_transport import HttpTransport  # noqa: PLC0415
        from sovdev_logger._outputs.otlp.exporter import OtlpExporter  # noqa: PLC0415

        transport = HttpTransport(target)
        self._transports.append(transport)
        self._exporters.append(OtlpExporter(transport, self._context))
        return self._exporters[-1]

    def _start_tracer(self, sender: "BatchSender") -> None:
        from sovdev_logger._telemetry.sdk_providers import (  # noqa: PLC0415
            SpanForwarder,
            build_tracer_provider,
        )

        self._forwarder = SpanForwarder(sender)
        provider = build_tracer_provider(self._attributes, self._forwarder)
        self.tracer = provider.get_tracer(self._identity.service_name, SCOPE_VERSION)

    def _start_metrics(self) -> None:
        provider = application_meter_provider()
        if provider is None and self._otlp.metrics is None:
            return
        self.entry_counts, self.span_counts = EntryCounts(), SpanCounts()
        if provider is not None:
            self._instrument(provider, self.entry_counts, self.span_counts)
            self._flush_application.append(getattr(provider, "force_flush", _nothing))
        elif self._otlp.metrics is not None:
            self._make_own_metrics(self._otlp.metrics).start()

    def _make_own_metrics(self, target: HttpEndpoint) -> "PeriodicSender":
        from sovdev_logger._delivery.periodic import PeriodicSender  # noqa: PLC0415
        from sovdev_logger._telemetry.sdk_providers import build_meter_provider  # noqa: PLC0415

        otlp = self._otlp
        provider, produce = build_meter_provider(self._attributes, delta=otlp.delta_temporality)
        if self.entry_counts is not None and self.span_counts is not None:
            self._instrument(provider, self.entry_counts, self.span_counts)
        self.metrics = PeriodicSender(
            "metrics",
            produce,
            self._exporter(target).send_body,
            interval_seconds=otlp.metric_interval_seconds,
            is_cumulative=not otlp.delta_temporality,
        )
        return self.metrics

    def _instrument(
        self, provider: "MeterProvider", entries: EntryCounts, spans: SpanCounts
    ) -> None:
        from sovdev_logger._telemetry.instruments import Instruments  # noqa: PLC0415

        meter = provider.get_meter(self._identity.service_name, SCOPE_VERSION)
        Instruments(meter, self._identity, entries, spans)

    def _application_output(
        self, provider: "LoggerProvider", entry_from_record: EntryFactory
    ) -> OutputHandler:
        from sovdev_logger._outputs.logs_api import LogsApiHandler  # noqa: PLC0415

        self._flush_application.append(getattr(provider, "force_flush", _nothing))
        return LogsApiHandler(provider, self._identity.service_name, entry_from_record)

    def _begin_application_flush(self) -> "list[_ApplicationFlush]":
        return [one for flush in self._flush_application if (one := _ApplicationFlush.begin(flush))]


class _ApplicationFlush:
    """A flush of the application's provider, in a thread: it may ignore every deadline."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._done = threading.Lock()
        self._done.acquire()

    @classmethod
    def begin(cls, flush: Callable[[], object]) -> "_ApplicationFlush | None":
        made = cls()
        thread = threading.Thread(
            target=made._run, args=(flush,), name="sovdev-flush-application", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            return None  # the interpreter is ending; the application flushes at exit itself
        return made

    def wait(self, timeout_seconds: float) -> None:
        left = self._started + timeout_seconds - time.monotonic()
        self._done.acquire(timeout=max(0.0, left))

    def _run(self, flush: Callable[[], object]) -> None:
        try:
            flush()
        except Exception:  # noqa: BLE001, S110 - the application's provider says what ails it
            pass
        finally:
            self._done.release()


def _wait_for_all(flushes: list[_ApplicationFlush], timeout_seconds: float) -> None:
    for one in flushes:
        one.wait(timeout_seconds)


def resource_attributes(identity: Identity, otlp: OtlpSettings) -> Mapping[str, str]:
    """Return the resource that all three signals carry (specification: OTLP)."""
    return {
        **otlp.resource_attributes,
        "service.name": identity.service_name,
        "service.version": identity.service_version,
        "deployment.environment.name": otlp.deployment_environment,
        "session_id": identity.session_id,
    }


def _nothing() -> None:
    """Stand in for a provider that has nothing to flush."""
