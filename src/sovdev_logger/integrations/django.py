"""Django: an app that initialises, and a middleware for each request, sync and async.

INSTALLED_APPS = ["sovdev_logger.integrations.django.SovdevConfig", ...]
MIDDLEWARE = ["sovdev_logger.integrations.django.SovdevMiddleware", ...]
SOVDEV = {"SERVICE_NAME": "orders"}
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sovdev_logger._api.service import DEFAULT_VERSION, sovdev_flush, sovdev_initialize
from sovdev_logger._entry.stdlib_records import mark_as_logged
from sovdev_logger.integrations._request import REQUEST_ID_HEADER, RequestScope
from sovdev_logger.integrations._request_options import (
    DEFAULT_QUIET_PATHS,
    RequestInfo,
    RequestOptions,
    request_options,
)
from sovdev_logger.integrations.stdlib import skip_records, sovdev_capture_logging

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.apps import AppConfig
    from django.conf import settings
    from django.core.asgi import get_asgi_application as _get_asgi_application
    from django.core.exceptions import ImproperlyConfigured
    from django.core.signals import got_request_exception
    from django.utils.module_loading import import_string
except ImportError as error:
    raise ImportError("Django is missing: install sovdev-logger[django]") from error

_ATTRIBUTE: Final = "_sovdev_request"
_KNOWN: Final = frozenset(
    {
        "SERVICE_NAME",
        "SERVICE_VERSION",
        "PEER_SERVICES",
        "RESOLVER",
        "QUIET_PATHS",
        "LOG_QUERY",
        "LOG_BODIES",
        "CAPTURE_LOGGING",
    }
)


class SovdevConfig(AppConfig):  # type: ignore[misc]
    """Initialises the logger when Django starts, by the setting ``SOVDEV``.

    Keys of it: ``SERVICE_NAME`` (needed), ``SERVICE_VERSION``, ``PEER_SERVICES``, ``RESOLVER`` (a
    function or its dotted path, gets the request), ``QUIET_PATHS``, ``LOG_QUERY``, ``LOG_BODIES``,
    and ``CAPTURE_LOGGING`` (a level, default ``"info"``; None when ``LOGGING`` names our handler).

    Raises:
        ImproperlyConfigured: ``SOVDEV`` is missing, has unknown keys or values that cannot be used.

    Specification: integrations, Django.
    """

    name = "sovdev_logger.integrations.django"
    label = "sovdev_logger"
    verbose_name = "sovdev-logger"

    def ready(self) -> None:
        """Initialise, and bring Django's own records in."""
        _start()


class SovdevMiddleware:
    """Gives each request its trace, its span, its context and its entry; put it first.

    Args:
        get_response: The rest of the chain, sync or async.

    Raises:
        ImproperlyConfigured: ``SOVDEV`` cannot be used.

    Specification: integrations, Django.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        _start()  # in case the app is not among INSTALLED_APPS
        self._get_response = get_response
        self._options = _options()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Serve one request."""
        if self._is_async:
            return self._serve_async(request)
        scope = self._begin(request)
        try:
            response = self._get_response(request)
        except BaseException as error:
            scope.record_exception(error)
            scope.end()
            raise
        return _finish(scope, response)

    async def _serve_async(self, request: Any) -> Any:
        scope = self._begin(request)
        try:
            response = await self._get_response(request)
        except asyncio.CancelledError:
            scope.client_disconnected = True
            scope.end()
            raise
        except BaseException as error:
            scope.record_exception(error)
            scope.end()
            raise
        return _finish(scope, response)

    def process_view(self, request: Any, view: Any, *_: Any) -> None:
        """Read the route, and call the resolver: the user is known by now."""
        scope = getattr(request, _ATTRIBUTE, None)
        if isinstance(scope, RequestScope):
            route = getattr(request.resolver_match, "route", None)
            scope.route = f"/{route.removeprefix('^').removesuffix('$')}" if route else None
            view = getattr(view, "view_class", view)
            scope.function_name = getattr(view, "__name__", None)
            scope.resolve(request)

    def _begin(self, request: Any) -> RequestScope:
        scope = RequestScope(_request_info(request), self._options)
        setattr(request, _ATTRIBUTE, scope)
        scope.begin()
        if scope.wants_body and request.META.get("CONTENT_LENGTH"):
            scope.add_to_body(request.body)
        return scope


def get_asgi_application() -> Any:
    """Return Django's ASGI application, with a flush when the server shuts it down.

    Use it in ``asgi.py`` instead of Django's own, which ignores shutdown: servers such as uvicorn
    end by the signal that they received, without exit hooks.

    Specification: integrations, Django.
    """
    application = _get_asgi_application()

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.get_running_loop().run_in_executor(None, sovdev_flush)
        await send({"type": "lifespan.shutdown.complete"})

    return with_lifespan


def _start() -> None:
    """Initialise by the settings; safe to repeat."""
    options = _settings()
    try:
        sovdev_initialize(
            options.get("SERVICE_NAME", ""),
            options.get("SERVICE_VERSION", DEFAULT_VERSION),
            options.get("PEER_SERVICES"),
        )
        _options()
        level = options.get("CAPTURE_LOGGING", "info")
        if level is not None:
            sovdev_capture_logging(level)
    except (TypeError, ValueError, ImportError) as error:
        raise ImproperlyConfigured(f"SOVDEV: {error}") from error
    # Our entry of the request says the same, with the exception.
    skip_records("django.request", lambda record: _scope_from(record) is not None)
    got_request_exception.connect(_note_exception, dispatch_uid="sovdev_logger")


def _finish(scope: RequestScope, response: Any) -> Any:
    scope.status = response.status_code
    if REQUEST_ID_HEADER not in response:
        response[REQUEST_ID_HEADER] = scope.request_id
    if getattr(response, "streaming", False):
        until_sent = _until_sent_async if response.is_async else _until_sent
        response.streaming_content = until_sent(scope, response.streaming_content)
    else:
        scope.end()
    return response


def _until_sent(scope: RequestScope, parts: Any) -> Iterator[Any]:
    """Pass the parts of a streaming response on; the request ends with them."""
    with _sending(scope):
        yield from parts


async def _until_sent_async(scope: RequestScope, parts: Any) -> AsyncIterator[Any]:
    with _sending(scope):
        async for part in parts:
            yield part


@contextmanager
def _sending(scope: RequestScope) -> Iterator[None]:
    is_complete = False
    try:
        yield
        is_complete = True
    except Exception as error:
        scope.record_exception(error)
        raise
    finally:
        scope.client_disconnected = not is_complete and scope.error is None
        scope.end()


def _note_exception(request: Any = None, **_: Any) -> None:
    scope = getattr(request, _ATTRIBUTE, None)
    error = sys.exc_info()[1]
    if isinstance(scope, RequestScope) and error is not None:
        scope.record_exception(error)
        mark_as_logged(error)


def _scope_from(record: Any) -> RequestScope | None:
    scope = getattr(getattr(record, "request", None), _ATTRIBUTE, None)
    return scope if isinstance(scope, RequestScope) else None


def _settings() -> Mapping[str, Any]:
    options = getattr(settings, "SOVDEV", None)
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured('SOVDEV is missing: set SOVDEV = {"SERVICE_NAME": "orders"}')
    unknown = sorted(map(str, options.keys() - _KNOWN))
    if unknown:
        raise ImproperlyConfigured(
            f"SOVDEV has unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}"
        )
    return options


def _options() -> RequestOptions:
    options = _settings()
    resolver = options.get("RESOLVER")
    return request_options(
        import_string(resolver) if isinstance(resolver, str) else resolver,
        options.get("QUIET_PATHS", DEFAULT_QUIET_PATHS),
        log_query=bool(options.get("LOG_QUERY", False)),
        log_bodies=bool(options.get("LOG_BODIES", False)),
    )


def _request_info(request: Any) -> RequestInfo:
    meta = request.META
    port = str(meta.get("SERVER_PORT", ""))
    return RequestInfo(
        method=str(request.method),
        path=str(request.path),
        scheme=str(request.scheme),
        query=str(meta.get("QUERY_STRING", "")),
        headers={name.lower(): value for name, value in request.headers.items()},
        server=(str(meta.get("SERVER_NAME", "")), int(port) if port.isdecimal() else None),
        client_address=meta.get("REMOTE_ADDR"),
        http_version=str(meta.get("SERVER_PROTOCOL", "")).removeprefix("HTTP/") or None,
    )
