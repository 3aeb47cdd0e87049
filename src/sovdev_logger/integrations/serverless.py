"""Handlers of AWS Lambda and Cloud Functions: entries are delivered before the freeze."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast, overload

from sovdev_logger._service.instance import instance

DEFAULT_TIMEOUT_SECONDS: Final = 5.0
DEFAULT_MARGIN_SECONDS: Final = 0.5

_MIN_SECONDS: Final = 0.05

Handler = TypeVar("Handler", bound=Callable[..., Any])


@overload
def sovdev_serverless(handler: Handler) -> Handler: ...
@overload
def sovdev_serverless(
    *, timeout_seconds: float = ..., margin_seconds: float = ...
) -> Callable[[Handler], Handler]: ...
def sovdev_serverless(
    handler: Handler | None = None,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    margin_seconds: float = DEFAULT_MARGIN_SECONDS,
) -> Handler | Callable[[Handler], Handler]:
    """Flush when a handler returns or raises, within the time that the platform leaves it.

    A decorator, with or without arguments, for plain and ``async`` handlers. Where an argument has
    ``get_remaining_time_in_millis`` (AWS Lambda's context), the flush takes at most the remaining
    time less the margin. The handler's result or exception is passed on. Entries that are not
    delivered in time stay queued for the next call.

    Args:
        handler: The function that the platform calls.
        timeout_seconds: The longest that the flush may take.
        margin_seconds: Time reserved for the platform's own work.

    Raises:
        ValueError: A number is negative.

    Specification: integrations, serverless.
    """
    if timeout_seconds < 0 or margin_seconds < 0:
        raise ValueError("timeout_seconds and margin_seconds must not be negative")

    def decorate(function: Handler) -> Handler:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper_async(*args: Any, **named: Any) -> Any:
                try:
                    return await function(*args, **named)
                finally:
                    seconds = _flush_timeout(args, named, timeout_seconds, margin_seconds)
                    loop = asyncio.get_running_loop()
                    await loop.run_in_executor(None, _flush, seconds)

            return cast("Handler", wrapper_async)

        @functools.wraps(function)
        def wrapper(*args: Any, **named: Any) -> Any:
            try:
                return function(*args, **named)
            finally:
                _flush(_flush_timeout(args, named, timeout_seconds, margin_seconds))

        return cast("Handler", wrapper)

    return decorate if handler is None else decorate(handler)


def _flush_timeout(
    args: tuple[Any, ...], named: dict[str, Any], timeout_seconds: float, margin_seconds: float
) -> float:
    for argument in (*args, *named.values()):
        remaining = getattr(argument, "get_remaining_time_in_millis", None)
        if callable(remaining):
            left = float(remaining()) / 1000 - margin_seconds
            return max(_MIN_SECONDS, min(timeout_seconds, left))
    return timeout_seconds


def _flush(timeout_seconds: float) -> None:
    service = instance.service
    if service is not None:
        service.flush(timeout_seconds)
