"""What a team wires by hand: stdlib logging, python-json-logger and the OpenTelemetry SDK."""

import logging
import logging.handlers
import uuid
import warnings
from pathlib import Path

import call
from pythonjsonlogger.json import JsonFormatter

QUEUE_SIZE = 2**17
"""Large enough that the SDK's batch processor drops nothing, its best case."""


def fields() -> dict[str, object]:
    """Return what one call logs beside its message."""
    return {
        "service_name": call.SERVICE,
        "service_version": call.VERSION,
        "session_id": SESSION,
        "peer_service": "SYS1234567",
        "function_name": call.FUNCTION,
        "log_type": "transaction",
        "trace_id": uuid.uuid4().hex,
        "event_id": str(uuid.uuid4()),
        "input_json": call.INPUT,
        "response_json": call.RESPONSE,
    }


SESSION = str(uuid.uuid4())


class Handwired:
    name = "hand-wired"

    def __init__(self, folder: Path) -> None:
        self._logger = logging.getLogger("hand-wired")
        self._logger.propagate = False
        self._logger.setLevel(logging.INFO)
        handler = logging.handlers.RotatingFileHandler(
            folder / "handwired.log", maxBytes=50 * 1024 * 1024, backupCount=5, encoding="utf-8"
        )
        handler.setFormatter(JsonFormatter("%(levelname)s %(message)s", timestamp=True))
        self._logger.addHandler(handler)

    def call(self) -> None:
        self._logger.info(call.MESSAGE, extra=fields())

    def flush(self) -> None:
        """The file handler flushes each line."""


class HandwiredOtlp(Handwired):
    """The same with OTLP logs and one counter; the SDK is given what it needs to deliver all."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        super().__init__(folder)
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource

        resource = Resource({"service.name": call.SERVICE})
        self._logs = LoggerProvider(resource=resource)
        exporter = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs")
        self._logs.add_log_record_processor(
            BatchLogRecordProcessor(exporter, max_queue_size=QUEUE_SIZE)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._logger.addHandler(LoggingHandler(logger_provider=self._logs))
        metrics = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
        self._metrics = MeterProvider([PeriodicExportingMetricReader(metrics)], resource=resource)
        meter = self._metrics.get_meter(call.SERVICE)
        self._counter = meter.create_counter("operations_total")

    def call(self) -> None:
        super().call()
        self._counter.add(
            1,
            {
                "service_name": call.SERVICE,
                "service_version": call.VERSION,
                "peer_service": "SYS1234567",
                "log_level": "info",
                "log_type": "transaction",
            },
        )

    def flush(self) -> None:
        self._logs.force_flush(60_000)
        self._metrics.force_flush(60_000)
