"""Which span is current: what a context holds of one, and what is current once it has ended.

A context holds a ``SpanScope``, and only the caller's handle holds the context before the span.
The scope is given that context when the span ends, without the ancestors that have ended by then.
So no context leads from one ended span to the next, however many there were; and what a handle
that nobody kept knew of its ancestors is freed with it.
"""

import sys
import threading
import weakref
from typing import Final, TypeGuard

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from sovdev_logger._entry.context import ActiveSpan

_SCOPE_KEY: Final = otel_context.create_key("sovdev-span")


class SpanScope:
    """A span as contexts hold it.

    Attributes:
        otel_span: The span; if another one is current, that one hides it.
        ids: Its ids, as entries carry them.
        home: The task or thread that started it.
        outer: What is current at home once it has ended; None while it is open.
    """

    __slots__ = ("home", "ids", "otel_span", "outer")

    def __init__(self, otel_span: trace.Span) -> None:
        span_context = otel_span.get_span_context()
        self.otel_span = otel_span
        self.ids = ActiveSpan(
            trace.format_trace_id(span_context.trace_id), trace.format_span_id(span_context.span_id)
        )
        self.home = _here()
        self.outer: Context | None = None

    def enter(self, before: Context) -> None:
        """Make the span current, on top of ``before``."""
        current = trace.set_span_in_context(self.otel_span, before)
        otel_context.attach(otel_context.set_value(_SCOPE_KEY, self, current))

    def leave(self, before: Context) -> None:
        """Close the scope, and make what was current before the span so again."""
        self.outer = _open_context(before, self.home)
        current = otel_context.get_current()
        if current.get(_SCOPE_KEY) is self and trace.get_current_span(current) is self.otel_span:
            otel_context.attach(before if self.outer is before else _open_context(before))


def parent_context() -> Context:
    """Return the current context, with the nearest open span as the current one."""
    current = otel_context.get_current()
    outer = _open_context(current)
    if outer is current:
        return current
    # What others put into the context since the ended span began stays.
    parent = trace.set_span_in_context(trace.get_current_span(outer), current)
    return otel_context.set_value(_SCOPE_KEY, outer.get(_SCOPE_KEY), parent)


def active_span() -> ActiveSpan | None:
    """Return the ids of the current span, whoever started it; None when there is none."""
    current = otel_context.get_current()
    if not current:
        return None
    scope = current.get(_SCOPE_KEY)
    otel_span = trace.get_current_span(current)
    if _is_of(scope, otel_span):
        if scope.outer is None or scope.home != _here():
            return scope.ids
        otel_span = trace.get_current_span(_open_context(current))
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
    otel_span = trace.get_current_span(current)
    return otel_span.is_recording() and not _is_of(current.get(_SCOPE_KEY), otel_span)


def _is_of(scope: object, otel_span: trace.Span) -> TypeGuard[SpanScope]:
    return isinstance(scope, SpanScope) and scope.otel_span is otel_span


def _open_context(context: Context, here: object = None) -> Context:
    """Return ``context``, or what is current in it once its ended spans are left.

    A task that inherited a span and outlives it keeps the trace, as with any OTel span; the task
    that started it does not, even if another thread ended it. A scope that has no more to say is
    not in what is returned.
    """
    while True:
        scope = context.get(_SCOPE_KEY)
        if not isinstance(scope, SpanScope) or scope.outer is None:
            return context
        if trace.get_current_span(context) is not scope.otel_span:
            break  # a span of others hides it
        here = here or _here()
        if scope.home != here:
            break  # inherited
        context = scope.outer
    return otel_context.set_value(_SCOPE_KEY, None, context)


class _Thread(threading.local):
    """This thread; the number of one that has ended is given to another."""

    def __init__(self) -> None:
        self.mark = object()


_thread: Final = _Thread()


def _here() -> object:
    """Return what stands for this asyncio task, or for this thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop runs in this thread
            task = None
        if task is not None:
            return weakref.ref(task)
    # A greenlet has a number of its own also where gevent patched too late to give it a mark.
    return threading.get_ident(), _thread.mark
