"""Public functions for spans as blocks, outgoing headers and context in other threads."""

import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TypeVar, cast

from sovdev_logger._service.instance import instance
from sovdev_logger._telemetry.spans import SovdevSpan, inject

Function = TypeVar("Function", bound=Callable[..., Any])


class SpanBlock:
    """The result of ``sovdev_span``: a block for ``with`` or ``async with``, and a decorator."""

    def __init__(
        self, name: str, attributes: Mapping[str, object] | None, peer_service: str | None
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._peer_service = peer_service
        self._span: SovdevSpan | None = None

    def __enter__(self) -> SovdevSpan:
        service = instance.required_by("sovdev_span")
        peer = self._peer_service
        system_id = None if peer is None else service.logger.resolve_peer(peer)
        self._span = service.spans.start(self._name, self._attributes, system_id)
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._span is not None:
            self._span.end(error)

    async def __aenter__(self) -> SovdevSpan:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Function) -> Function:
        """Return the function with a new span around each call."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper_async(*args: Any, **named: Any) -> Any:
                with self._another():
                    return await function(*args, **named)

            return cast("Function", wrapper_async)

        @functools.wraps(function)
        def wrapper(*args: Any, **named: Any) -> Any:
            with self._another():
                return function(*args, **named)

        return cast("Function", wrapper)

    def _another(self) -> "SpanBlock":
        return SpanBlock(self._name, self._attributes, self._peer_service)


def sovdev_span(
    name: str,
    attributes: Mapping[str, object] | None = None,
    *,
    peer_service: str | None = None,
) -> SpanBlock:
    """Return a span for a ``with`` or ``async with`` block, or to decorate a function with.

    The span is current inside; an exception that leaves it marks it failed and propagates.
    Decorated functions, plain or ``async``, have one span per call. Thread and task safe.

    Args:
        name: The operation, a name with few distinct values.
        attributes: Details; credentials are redacted.
        peer_service: The system that is called, which makes it a client span.

    Raises:
        RuntimeError: When it begins, if ``sovdev_initialize`` was not called.

    Specification: API, spans.
    """
    return SpanBlock(name, attributes, peer_service)


Headers = TypeVar("Headers", bound=MutableMapping[str, str])


def sovdev_inject_headers(headers: Headers) -> Headers:
    """Add the W3C headers of the active span to an outgoing request, and return the headers.

    Sets ``traceparent``, and ``tracestate`` if there is one; without an active span nothing. The
    work of the other service is then part of this trace. Raises only what ``headers`` raises.

    Args:
        headers: Any mutable mapping of names to texts.

    Specification: API, spans.
    """
    inject(headers)
    return headers


def sovdev_carry(function: Function) -> Function:
    """Return the function bound to this context, in whichever thread it is called.

    For threads and executors, which otherwise start without trace, request context and request id:
    ``executor.submit(sovdev_carry(work), item)``. Changes to the context stay inside a call. The
    function may be called several times, also concurrently.

    Args:
        function: A plain function; tasks of asyncio carry their context by themselves.

    Specification: API, context.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        return context.copy().run(function, *args, **named)

    return cast("Function", wrapper)
