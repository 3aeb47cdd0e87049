"""The output to the application's own logger provider, by the public Logs API."""

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from sovdev_logger._delivery.otlp_messages import SCOPE_VERSION, native_times
from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._runtime.selflog import warn_once

_IN_THE_RECORD = frozenset({"level", "message", "session_id"})
"""Fields that a record expresses natively, or its resource does."""


class LogsApiHandler(OutputHandler):
    """Emits each entry to the application's own logger provider, with the same attributes."""

    leaves_machine = True

    def __init__(
        self, provider: LoggerProvider, name: str, entry_from_record: EntryFactory
    ) -> None:
        super().__init__(entry_from_record)
        self._otel_logger = provider.get_logger(name, SCOPE_VERSION)

    def write(self, entry: Entry) -> None:
        """Emit one entry; the provider processes it."""
        fields = entry.fields
        attributes = {name: value for name, value in fields.items() if name not in _IN_THE_RECORD}
        # The session is not in a resource that the application made.
        attributes["session_id"] = fields["session_id"] or ""
        attributes["input_json"] = entry.input_text.decode()
        attributes["response_json"] = entry.response_text.decode()
        if entry.sample_rate is not None:
            attributes["sample_rate"] = entry.sample_rate
        time_ns, observed_ns = native_times(entry.time_ns)
        self._otel_logger.emit(
            LogRecord(
                timestamp=time_ns,
                observed_timestamp=observed_ns,
                context=_context(entry),
                severity_number=SeverityNumber(entry.level.otel_severity),
                severity_text=entry.level.severity_text,
                body=fields["message"],
                attributes=attributes,
            )
        )

    def report(self, error: Exception) -> str:
        """Warn once that the application's provider raised; the other outputs have the entry."""
        warn_once(
            f"logs-api:{type(error).__name__}",
            f"the application's logger provider raised {type(error).__name__} for an entry; "
            "check its processors.",
        )
        return type(error).__name__


def _context(entry: Entry) -> Context:
    """Return a context with the entry's own ids, so that the record carries them natively."""
    if entry.trace_digits is None:
        return Context({"sovdev-no-span": True})
    span_id = entry.fields.get("span_id")
    span_context = SpanContext(
        trace_id=int(entry.trace_digits, 16),
        span_id=int(span_id, 16) if span_id else 0,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())
