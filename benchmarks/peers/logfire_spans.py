"""logfire to a collector of one's own: OTLP and a counter, no file.

Nothing goes to its own service, and the console is off. Scrubbing, the inspection of arguments and
baggage are off too, as no other peer has them but sovdev: all three make logfire faster. Its
entries are spans without duration, sent by the SDK's batch processor with a queue that drops
nothing. It has no output of JSON lines to a file, so it is not in the tables of files, and with
OTLP it does less than the others.
"""

from pathlib import Path

import call

from peers.fields import STATIC, fields
from peers.otel import QUEUE_SIZE, labels


class Logfire:
    """The configured instance."""

    def __init__(self, endpoint: str) -> None:
        import logfire
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        spans = BatchSpanProcessor(
            OTLPSpanExporter(f"{endpoint}/v1/traces"), max_queue_size=QUEUE_SIZE
        )
        metrics = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))
        self._logfire = logfire.configure(
            send_to_logfire=False,
            console=False,
            scrubbing=False,
            inspect_arguments=False,
            add_baggage_to_attributes=False,
            service_name=call.SERVICE,
            service_version=call.VERSION,
            resource_attributes=STATIC,
            additional_span_processors=[spans],
            metrics=logfire.MetricsOptions(additional_readers=[metrics]),
        )
        self._counter = self._logfire.metric_counter("operations_total")

    def call(self) -> None:
        self._logfire.log("info", call.MESSAGE, fields())
        self._counter.add(1, labels())

    def flush(self) -> None:
        self._logfire.force_flush(60_000)


def make(_folder: Path, endpoint: str | None) -> Logfire:
    assert endpoint, "logfire writes no JSON lines to a file"
    return Logfire(endpoint)
