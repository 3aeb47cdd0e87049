"""The OpenTelemetry SDK as a team wires it, shared by the peers that send with it.

Its best case: a batch processor with a queue so large that it drops nothing, the OTLP/HTTP
exporter, and one counter that each call adds to. The SDK's own ``LoggingHandler`` is used; it is
deprecated in favour of one in a package of instrumentations that has only pre-releases.
"""

import logging
import warnings

import call

from peers.fields import STATIC

QUEUE_SIZE = 2**17


class Otel:
    """A handler for records, a counter, and a flush of both."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource

        resource = Resource({"service.name": call.SERVICE, **STATIC})
        self._logs = LoggerProvider(resource=resource)
        exporter = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs")
        self._logs.add_log_record_processor(
            BatchLogRecordProcessor(exporter, max_queue_size=QUEUE_SIZE)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.handler: logging.Handler = LoggingHandler(logger_provider=self._logs)
        metrics = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
        self._metrics = MeterProvider([PeriodicExportingMetricReader(metrics)], resource=resource)
        self._counter = self._metrics.get_meter(call.SERVICE).create_counter("operations_total")

    def count(self) -> None:
        """Add one, with the labels of this call."""
        self._counter.add(1, labels())

    def flush(self) -> None:
        """Send everything."""
        self._logs.force_flush(60_000)
        self._metrics.force_flush(60_000)


def labels() -> dict[str, str]:
    """Return what an entry is counted by."""
    return {
        "service_name": call.SERVICE,
        "service_version": call.VERSION,
        "peer_service": call.SYSTEM,
        "log_level": "info",
        "log_type": call.LOG_TYPE,
    }
