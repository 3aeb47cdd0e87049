"""ASGI: FastAPI, Starlette, Quart, Litestar and any other application."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from sovdev_logger._api.service import DEFAULT_VERSION, sovdev_flush, sovdev_initialize
from sovdev_logger.integrations._request import REQUEST_ID_HEADER, RequestScope, warn_resolver
from sovdev_logger.integrations._request_options import (
    DEFAULT_QUIET_PATHS,
    RequestInfo,
    Resolver,
    request_options,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADER_BYTES: Final = REQUEST_ID_HEADER.lower().encode()
_WEBSOCKET_CLOSED_STATUS: Final = 101


class AsgiRequest:
    """The argument of a resolver: the request's scope, with its headers as text.

    Attributes:
        scope: The ASGI scope.
        method, path: Of the request.
        headers: By lower-case name; get them as ``headers.get("x-client")``.
    """

    __slots__ = ("headers", "method", "path", "scope")

    def __init__(self, scope: Scope, headers: Mapping[str, str]) -> None:
        self.scope = scope
        self.method = str(scope.get("method", "GET"))
        self.path = str(scope.get("path", ""))
        self.headers = headers


class SovdevMiddleware:
    """Gives each request its trace, its span, its context and its entry. Pure ASGI.

    ``app.add_middleware(SovdevMiddleware, resolver=...)``, or ``SovdevMiddleware(app)`` around any
    application. A request lasts until its stream or websocket ends; cancellation by the server and
    disconnection of the client are logged as such. Flushes at the end of the application's
    lifespan. Without ``sovdev_initialize`` requests pass unchanged.

    Args:
        app: The application.
        resolver: Gets an ``AsgiRequest`` and returns a mapping with ``client_name``,
            ``service_principal``, ``acting_user``; may be ``async``.
        quiet_paths: Paths whose successful requests make no entry; default are the usual health
            checks.
        log_query: Put the query into entry and span, credentials redacted; default off.
        log_bodies: Put the request's body into the entry, up to 16 KiB; default off.

    Raises:
        TypeError: An argument has the wrong type.

    Specification: integrations, requests.
    """

    def __init__(
        self,
        app: Application,
        *,
        resolver: Resolver | None = None,
        quiet_paths: Iterable[str] = DEFAULT_QUIET_PATHS,
        log_query: bool = False,
        log_bodies: bool = False,
    ) -> None:
        self.app = app
        self._options = request_options(
            resolver, quiet_paths, log_query=log_query, log_bodies=log_bodies
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, _flushing(send))
        elif kind in {"http", "websocket"}:
            await self._serve(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        request = RequestScope(_request_info(scope, headers), self._options)
        request.begin()
        try:
            awaitable = request.resolve(AsgiRequest(scope, headers))
            if awaitable is not None:
                await _apply(request, awaitable)
            observer = _MessageObserver(request, receive, send)
            await self.app(scope, observer.receive, observer.send)
        except asyncio.CancelledError:
            request.client_disconnected = True
            raise
        except BaseException as error:
            request.record_exception(error)
            raise
        finally:
            _note_route(request, scope)
            request.end()


class _MessageObserver:
    """Observes the messages of one connection."""

    def __init__(self, request: RequestScope, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._is_complete = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and self._request.wants_body:
            self._request.add_to_body(message.get("body", b""))
        elif message["type"] == "http.disconnect" and not self._is_complete:
            self._request.client_disconnected = True
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            self._request.status = message["status"]
            _echo(message, self._request.request_id)
        elif kind == "http.response.body":
            self._is_complete = not message.get("more_body", False)
        elif kind == "websocket.accept":
            self._request.status = _WEBSOCKET_CLOSED_STATUS
            _echo(message, self._request.request_id)
        elif kind == "websocket.close" and self._request.status is None:
            self._request.status = 403  # what a server answers before it has accepted
        await self._send(message)


def configure_fastapi(
    app: Any,
    service_name: str | None = None,
    service_version: str | None = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
    *,
    resolver: Resolver | None = None,
    quiet_paths: Iterable[str] = DEFAULT_QUIET_PATHS,
    log_query: bool = False,
    log_bodies: bool = False,
) -> None:
    """Set up a FastAPI or Starlette application in one line, before it serves.

    Initialises the logger if necessary, and adds ``SovdevMiddleware``.

    Args:
        app: The application.
        service_name: Default is the application's ``title``.
        service_version, peer_services: As for ``sovdev_initialize``.
        resolver, quiet_paths, log_query, log_bodies: As for ``SovdevMiddleware``.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: There is no service name.

    Specification: integrations, ASGI.
    """
    name = service_name or getattr(app, "title", None)
    if not name:
        raise ValueError("service_name is missing: the application has no title to use instead")
    sovdev_initialize(name, service_version, peer_services)
    app.add_middleware(
        SovdevMiddleware,
        resolver=resolver,
        quiet_paths=quiet_paths,
        log_query=log_query,
        log_bodies=log_bodies,
    )


async def _apply(request: RequestScope, awaitable: Awaitable[object]) -> None:
    try:
        request.apply(await awaitable)
    except Exception as error:  # noqa: BLE001 - it is the application's
        warn_resolver(error)


def _flushing(send: Send) -> Send:
    async def send_and_flush(message: Message) -> None:
        if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            # In a thread: other tasks of the loop may still have something to do.
            await asyncio.get_running_loop().run_in_executor(None, sovdev_flush)
        await send(message)

    return send_and_flush


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope.get("headers", ())
    }


def _request_info(scope: Scope, headers: Mapping[str, str]) -> RequestInfo:
    server, client = scope.get("server"), scope.get("client")
    return RequestInfo(
        method=str(scope.get("method", "GET")),
        path=str(scope.get("path", "")),
        scheme=str(scope.get("scheme", "http")),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        server=(str(server[0]), server[1]) if server else None,
        client_address=str(client[0]) if client else None,
        http_version=scope.get("http_version"),
        kind=scope["type"],
    )


def _note_route(request: RequestScope, scope: Scope) -> None:
    """Read the template of the route, which frameworks leave in the scope."""
    endpoint = scope.get("endpoint")
    template = None
    if endpoint is not None:
        template = _template(getattr(scope.get("app"), "routes", ()), endpoint)
    if template is None:
        template = getattr(scope.get("route"), "path", None) or scope.get("path_template")
    if isinstance(template, str):
        request.route = template
    name = getattr(endpoint, "__name__", None)
    if isinstance(name, str):
        request.function_name = name


def _template(routes: Iterable[Any], endpoint: object) -> str | None:
    """Return the whole path to an endpoint; the scope's lacks the mounts."""
    for route in routes:
        path = getattr(route, "path", "")
        if getattr(route, "endpoint", None) is endpoint:
            return str(path)
        inside = _template(getattr(route, "routes", None) or (), endpoint)
        if inside is not None:
            return f"{path}{inside}"
    return None


def _echo(message: Message, request_id: str) -> None:
    headers = list(message.get("headers") or ())
    if not any(name.lower() == _HEADER_BYTES for name, _ in headers):
        headers.append((_HEADER_BYTES, request_id.encode("latin-1")))
    message["headers"] = headers
