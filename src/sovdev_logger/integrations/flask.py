"""Flask: one line for an application, or for each that a factory makes."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sovdev_logger._api.service import DEFAULT_VERSION, sovdev_initialize
from sovdev_logger._entry.stdlib_records import mark_as_logged
from sovdev_logger.integrations._request import REQUEST_ID_HEADER, RequestScope
from sovdev_logger.integrations._request_options import (
    DEFAULT_QUIET_PATHS,
    RequestInfo,
    RequestOptions,
    Resolver,
    request_options,
)

_EXTENSION: Final = "sovdev_logger"
_SCOPE_KEY: Final = "sovdev_logger.request"


def init_app(
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
    """Give each request of a Flask application its trace, its context and its entry.

    Initialises the logger if necessary: several applications of one process share it. Calling it
    twice for one application changes nothing.

    Args:
        app: The application.
        service_name: Default is the application's own name.
        service_version, peer_services: As for ``sovdev_initialize``.
        resolver: Gets Flask's ``request`` and returns a mapping with ``client_name``,
            ``service_principal``, ``acting_user``.
        quiet_paths: Paths whose successful requests make no entry.
        log_query: Put the query into entry and span, credentials redacted; default off.
        log_bodies: Put the request's body into the entry, up to 16 KiB; default off.

    Raises:
        TypeError: An argument has the wrong type.
        ImportError: The extra ``flask`` is missing.

    Specification: integrations, Flask.
    """
    try:
        import flask  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("Flask is missing: install sovdev-logger[flask]") from error
    options = request_options(resolver, quiet_paths, log_query=log_query, log_bodies=log_bodies)
    if _EXTENSION in app.extensions:
        return
    app.extensions[_EXTENSION] = options
    sovdev_initialize(service_name or app.name, service_version, peer_services)
    app.wsgi_app = _Wsgi(app.wsgi_app, options)
    flask.got_request_exception.connect(_note_exception, app)
    app.before_request_funcs.setdefault(None, []).insert(0, _note_request)


class _Wsgi:
    """Wraps the WSGI application: a request lasts until its response is sent."""

    def __init__(self, wsgi_app: Any, options: RequestOptions) -> None:
        self._wsgi_app = wsgi_app
        self._options = options

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = RequestScope(_request_info(environ), self._options)
        environ[_SCOPE_KEY] = request
        request.begin()

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            request.status = int(status[:3])
            if not any(name.lower() == REQUEST_ID_HEADER.lower() for name, _ in headers):
                headers = [*headers, (REQUEST_ID_HEADER, request.request_id)]
            return start_response(status, headers, *exc_info)

        try:
            body = self._wsgi_app(environ, start)
        except BaseException as error:
            request.record_exception(error)
            request.end()
            raise
        return _Body(body, request)


class _Body:
    """A response being sent; its request ends with it."""

    def __init__(self, body: Any, request: RequestScope) -> None:
        self._body = body
        self._parts = iter(body)
        self._request = request
        self._is_complete = False

    def __iter__(self) -> "_Body":
        return self

    def __next__(self) -> Any:
        try:
            return next(self._parts)
        except StopIteration:
            self._is_complete = True
            raise
        except BaseException as error:
            self._request.record_exception(error)
            raise

    def close(self) -> None:
        """End the request; a server calls it also when the client has gone."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            is_list = isinstance(self._body, list | tuple)
            self._request.client_disconnected = not (self._is_complete or is_list) and (
                self._request.error is None
            )
            self._request.end()


def _note_request() -> None:
    """Read the route and call the resolver, before the view."""
    flask = sys.modules["flask"]
    request = flask.request.environ.get(_SCOPE_KEY)
    if not isinstance(request, RequestScope):
        return
    rule = flask.request.url_rule
    request.route = rule.rule if rule is not None else None
    view = flask.current_app.view_functions.get(flask.request.endpoint)
    request.function_name = getattr(view, "__name__", None)
    request.resolve(flask.request)
    if request.wants_body:
        request.add_to_body(flask.request.get_data(cache=True))


def _note_exception(_app: object, exception: BaseException, **_: Any) -> None:
    request = sys.modules["flask"].request.environ.get(_SCOPE_KEY)
    if isinstance(request, RequestScope):
        request.record_exception(exception)
        mark_as_logged(exception)  # by the entry; Flask logs it, too


def _request_info(environ: Mapping[str, Any]) -> RequestInfo:
    headers = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    port = str(environ.get("SERVER_PORT", ""))
    protocol = str(environ.get("SERVER_PROTOCOL", ""))
    return RequestInfo(
        method=str(environ.get("REQUEST_METHOD", "GET")),
        path=f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}",
        scheme=str(environ.get("wsgi.url_scheme", "http")),
        query=str(environ.get("QUERY_STRING", "")),
        headers=headers,
        server=(str(environ.get("SERVER_NAME", "")), int(port) if port.isdecimal() else None),
        client_address=environ.get("REMOTE_ADDR"),
        http_version=protocol.removeprefix("HTTP/") or None,
    )
