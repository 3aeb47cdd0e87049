"""Spans: started and ended by hand, current in the OpenTelemetry context meanwhile."""

import os
import sys
import time
import traceback
from collections.abc import Mapping, MutableMapping
from itertools import count
from types import TracebackType
from typing import Final

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
from sovdev_logger._entry.identifiers import new_trace_id
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._telemetry.attributes import span_attributes
from sovdev_logger._telemetry.counters import SpanCounts, SpanLabels
from sovdev_logger._telemetry.span_scope import SpanScope, parent_context

PEER_ATTRIBUTES: Final = ("peer.service", "service.peer.name")
"""The attribute that draws service maps, and its successor in the semantic conventions."""

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
        "_name",
        "_process_id",
        "_scope",
        "_spans",
        "_started",
        "ended",
        "labels",
        "span_id",
        "trace_id",
    )

    def __init__(self, spans: "Spans", name: str | None, scope: SpanScope, before: Context) -> None:
        self.ended = False
        self.trace_id, self.span_id = scope.ids
        self._spans = spans
        self._name = name
        self._process_id = os.getpid()
        self._scope = scope
        self._before = before
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

    def __copy__(self) -> "SovdevSpan":
        return self  # there is one span to end

    def __deepcopy__(self, memo: object) -> "SovdevSpan":
        return self

    def __del__(self) -> None:
        if self.ended or self._name is None or sys.is_finalizing():
            return
        if self._process_id == os.getpid():  # a forked child need not end its parent's
            warn_once(
                "span:never-ended",
                f"the span {self._name!r} was never ended and its handle is gone, so it will not "
                "be exported: keep what sovdev_start_span returns and pass it to sovdev_end_span, "
                "or use it in a with statement.",
            )

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
        before = parent_context()
        name = self._sanitizer.text(operation_name) or "unknown"
        is_callers = kind is None  # an integration's ends with a request, if that ends
        if kind is None:
            kind = SpanKind.INTERNAL if peer is None else SpanKind.CLIENT
        described = span_attributes(attributes, self._sanitizer)
        if peer is not None:
            described |= dict.fromkeys(PEER_ATTRIBUTES, peer)
        scope = SpanScope(self._start_otel_span(name, kind, described, before))
        span = SovdevSpan(self, name if is_callers else None, scope, before)
        if self._counts is not None:
            span.labels = self._counts.labels(peer or self._service_name, name)
            self._counts.start(span.labels)
        scope.enter(before)
        return span

    def end(self, span: SovdevSpan, error: object = None) -> None:
        """End a span and make its nearest open parent current; harmless out of order or twice."""
        if next(span._ends):  # noqa: SLF001 - the handle is this module's
            return
        span.ended = True
        span._scope.leave(span._before)  # noqa: SLF001
        if self._counts is not None:
            elapsed_ms = (time.perf_counter() - span._started) * 1000  # noqa: SLF001
            self._counts.end(span.labels, elapsed_ms)
        try:
            if error is not None and error is not False:
                self._mark_failed(span._scope.otel_span, error)  # noqa: SLF001
            span._scope.otel_span.end()  # noqa: SLF001
        except Exception as failure:  # noqa: BLE001 - the processors may be the application's
            _warn_failure("end", failure)

    def describe(self, span: SovdevSpan, name: str, attributes: object) -> None:
        """Rename a span and add attributes to it."""
        try:
            span._scope.otel_span.update_name(name)  # noqa: SLF001 - the handle is this module's
            span._scope.otel_span.set_attributes(span_attributes(attributes, self._sanitizer))  # noqa: SLF001
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


def inject(headers: MutableMapping[str, str]) -> None:
    """Write the W3C headers of the current span, if there is one."""
    _PROPAGATOR.inject(headers, context=parent_context())


def extract(headers: Mapping[str, str]) -> Context:
    """Return the context in a caller's W3C headers, an empty one if they hold none."""
    carrier = {name: value for name, value in headers.items() if name in _PROPAGATOR.fields}
    return _PROPAGATOR.extract(carrier, context=Context())


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


def _qualified(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _warn_failure(what: str, failure: Exception) -> None:
    warn_once(
        f"span:{what}:{type(failure).__name__}",
        f"a tracer or span processor raised {type(failure).__name__} at a span's {what}; check the "
        "application's OpenTelemetry providers.",
    )
