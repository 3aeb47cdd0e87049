"""Spans: started and ended by hand, current in the OpenTelemetry context meanwhile."""

import sys
import threading
import time
import traceback
from collections.abc import Mapping, MutableMapping
from itertools import count
from types import TracebackType
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from sovdev_logger._delivery.otlp_messages import SCOPE_VERSION
from sovdev_logger._entry.context import ActiveSpan
from sovdev_logger._entry.identifiers import new_trace_id
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._telemetry.attributes import span_attributes
from sovdev_logger._telemetry.counters import SpanCounts, SpanLabels

PEER_ATTRIBUTES: Final = ("peer.service", "service.peer.name")
"""The attribute that draws service maps, and its successor in the semantic conventions."""

_SPAN_KEY: Final = otel_context.create_key("sovdev-span")
_SPAN_ID_DIGITS: Final = 16
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class SovdevSpan:
    """A span that ``sovdev_start_span`` began; end it with ``sovdev_end_span`` or ``with``.

    Attributes:
        trace_id: 32 hex digits, the same that entries logged inside the span carry.
        span_id: 16 hex digits.
    """

    labels: SpanLabels
    """The labels of its metrics; set if there are metrics."""

    __slots__ = (
        "_before",
        "_ends",
        "_home",
        "_otel_span",
        "_spans",
        "_started",
        "ended",
        "labels",
        "span_id",
        "trace_id",
    )

    def __init__(self, spans: "Spans", otel_span: trace.Span, before: Context) -> None:
        span_context = otel_span.get_span_context()
        self.trace_id = trace.format_trace_id(span_context.trace_id)
        self.span_id = trace.format_span_id(span_context.span_id)
        self.ended = False
        self._spans = spans
        self._otel_span = otel_span
        self._before = before
        self._home = _here()
        self._started = time.perf_counter()
        self._ends = count()

    def end(self, error: object = None) -> None:
        """End this span, as ``sovdev_end_span`` does."""
        self._spans.end(self, error)

    def describe(self, name: str, attributes: object) -> None:
        """Rename it and add attributes. Never raises."""
        self._spans.describe(self, name, attributes)

    def __enter__(self) -> "SovdevSpan":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        self._spans.end(self, error)

    def __repr__(self) -> str:
        return f"SovdevSpan(trace_id={self.trace_id!r}, span_id={self.span_id!r})"


class Spans:
    """Starts and ends the spans of one service. Never raises; thread and task safe."""

    def __init__(
        self,
        service_name: str,
        sanitizer: Sanitizer,
        own_tracer: Tracer | None = None,
        counts: SpanCounts | None = None,
    ) -> None:
        self._service_name = service_name
        self._sanitizer = sanitizer
        self.own_tracer = own_tracer
        self._counts = counts

    def start(
        self,
        operation_name: object,
        attributes: object,
        peer: str | None,
        kind: SpanKind | None = None,
    ) -> SovdevSpan:
        """Start a span and make it current; ``peer`` is a system id and makes it a client span."""
        before = otel_context.get_current()
        parent = trace.set_span_in_context(_current_span(before), before)
        name = self._sanitizer.text(operation_name) or "unknown"
        if kind is None:
            kind = SpanKind.INTERNAL if peer is None else SpanKind.CLIENT
        described = span_attributes(attributes, self._sanitizer)
        if peer is not None:
            described |= dict.fromkeys(PEER_ATTRIBUTES, peer)
        otel_span = self._start_otel_span(name, kind, described, parent)
        span = SovdevSpan(self, otel_span, before)
        if self._counts is not None:
            span.labels = self._counts.labels(peer or self._service_name, name)
            self._counts.start(span.labels)
        current = trace.set_span_in_context(otel_span, before)
        otel_context.attach(otel_context.set_value(_SPAN_KEY, span, current))
        return span

    def end(self, span: SovdevSpan, error: object = None) -> None:
        """End a span and make its nearest open parent current; harmless out of order or twice."""
        if next(span._ends):  # noqa: SLF001 - the handle is this module's
            return
        span.ended = True
        self._restore_parent(span)
        if self._counts is not None:
            elapsed_ms = (time.perf_counter() - span._started) * 1000  # noqa: SLF001
            self._counts.end(span.labels, elapsed_ms)
        try:
            if error is not None and error is not False:
                self._mark_failed(span._otel_span, error)  # noqa: SLF001
            span._otel_span.end()  # noqa: SLF001
        except Exception as failure:  # noqa: BLE001 - the processors may be the application's
            _warn_failure("end", failure)

    def describe(self, span: SovdevSpan, name: str, attributes: object) -> None:
        """Rename a span and add attributes to it."""
        try:
            span._otel_span.update_name(name)  # noqa: SLF001 - the handle is this module's
            span._otel_span.set_attributes(span_attributes(attributes, self._sanitizer))  # noqa: SLF001
        except Exception as failure:  # noqa: BLE001 - the tracer may be the application's
            _warn_failure("description", failure)

    def _start_otel_span(
        self,
        name: str,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        parent: Context,
    ) -> trace.Span:
        try:
            tracer = self._tracer()
            if tracer is not None:
                span = tracer.start_span(name, context=parent, kind=kind, attributes=attributes)
                if span.get_span_context().is_valid:
                    return span
        except Exception as failure:  # noqa: BLE001 - the tracer may be the application's
            _warn_failure("start", failure)
        return _local_span(parent)

    def _tracer(self) -> Tracer | None:
        """Return the application's tracer where it has set a provider, else ours."""
        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            return self.own_tracer
        return provider.get_tracer(self._service_name, SCOPE_VERSION)

    def _restore_parent(self, span: SovdevSpan) -> None:
        current = otel_context.get_current()
        if current.get(_SPAN_KEY) is span and trace.get_current_span(current) is span._otel_span:  # noqa: SLF001
            otel_context.attach(_open_context(span))

    def _mark_failed(self, otel_span: trace.Span, error: object) -> None:
        if isinstance(error, BaseException):
            message, _ = self._sanitizer.exception(error)
            kind = type(error)
            try:
                trace_text = "".join(traceback.format_exception(error))
            except Exception:  # noqa: BLE001 - an exception may fail to describe itself
                trace_text = ""
            otel_span.add_event(
                "exception",
                {
                    "exception.type": _qualified(kind),
                    "exception.message": message,
                    "exception.stacktrace": self._sanitizer.text(trace_text),
                    "exception.escaped": "False",
                },
            )
        else:
            message = self._sanitizer.text(error)
        otel_span.set_status(Status(StatusCode.ERROR, message))


def active_span() -> ActiveSpan | None:
    """Return the ids of the current span, whoever started it; None when there is none."""
    current = otel_context.get_current()
    if not current:
        return None
    otel_span = _current_span(current)
    handle = current.get(_SPAN_KEY)
    if isinstance(handle, SovdevSpan) and handle._otel_span is otel_span:  # noqa: SLF001
        return ActiveSpan(handle.trace_id, handle.span_id)
    span_context = otel_span.get_span_context()
    if not span_context.is_valid:
        return None
    return ActiveSpan(
        trace.format_trace_id(span_context.trace_id), trace.format_span_id(span_context.span_id)
    )


def is_inside_foreign_span() -> bool:
    """Return whether a span that records is active and somebody else started it."""
    current = otel_context.get_current()
    if not current:
        return False
    span, handle = trace.get_current_span(current), current.get(_SPAN_KEY)
    is_ours = isinstance(handle, SovdevSpan) and handle._otel_span is span  # noqa: SLF001
    return span.is_recording() and not is_ours


def inject(headers: MutableMapping[str, str]) -> None:
    """Write the W3C headers of the current span, if there is one."""
    current = otel_context.get_current()
    span = _current_span(current)
    _PROPAGATOR.inject(headers, context=trace.set_span_in_context(span, current))


def extract(headers: Mapping[str, str]) -> Context:
    """Return the context in a caller's W3C headers, an empty one if they hold none."""
    carrier = {name: value for name, value in headers.items() if name in _PROPAGATOR.fields}
    return _PROPAGATOR.extract(carrier, context=Context())


def _current_span(current: Context) -> trace.Span:
    """Return the current span, but never one of ours that was ended where it was started.

    A task that inherited a span and outlives it keeps the trace, as with any OTel span; the task
    that started it does not, even if another thread ended it.
    """
    handle = current.get(_SPAN_KEY)
    otel_span = trace.get_current_span(current)
    if not isinstance(handle, SovdevSpan) or not handle.ended:
        return otel_span
    if handle._otel_span is not otel_span or handle._home != _here():  # noqa: SLF001
        return otel_span
    return trace.get_current_span(_open_context(handle))


def _open_context(span: SovdevSpan) -> Context:
    """Return the context before ``span``, or before its outermost ended ancestor in a row."""
    while True:
        before = span._before  # noqa: SLF001
        parent = before.get(_SPAN_KEY)
        if not isinstance(parent, SovdevSpan) or not parent.ended or parent._home != _here():  # noqa: SLF001
            return before
        if trace.get_current_span(before) is not parent._otel_span:  # noqa: SLF001
            return before
        span = parent


def _local_span(parent: Context) -> trace.Span:
    """Return a span that is not exported, but correlates entries like any other."""
    above = trace.get_current_span(parent).get_span_context()
    return NonRecordingSpan(
        SpanContext(
            trace_id=above.trace_id if above.is_valid else int(new_trace_id(), 16),
            span_id=int(new_trace_id()[:_SPAN_ID_DIGITS], 16),
            is_remote=False,
            # An application that sets its tracer later must not read this as "do not sample".
            trace_flags=above.trace_flags if above.is_valid else TraceFlags(TraceFlags.SAMPLED),
            trace_state=above.trace_state,
        )
    )


def _here() -> tuple[int, int]:
    """Return the identity of this thread and asyncio task."""
    return threading.get_ident(), _current_task_id()


def _current_task_id() -> int:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return 0
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return 0
    return id(task) if task else 0


def _qualified(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _warn_failure(what: str, failure: Exception) -> None:
    warn_once(
        f"span:{what}:{type(failure).__name__}",
        f"a tracer or span processor raised {type(failure).__name__} at a span's {what}; check the "
        "application's OpenTelemetry providers.",
    )
