"""One request of any framework: its trace, its context, its span and its entry.

What a framework's own file does is to find out what came in and what went out; everything else is
here, so that it is the same everywhere.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind

from sovdev_logger._entry.context import (
    CONTEXT_FIELDS,
    merge_request_fields,
    replace_request_fields,
    request_fields,
)
from sovdev_logger._entry.identifiers import new_uuid
from sovdev_logger._entry.stdlib_records import mark_as_logged
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.redaction import redact_text
from sovdev_logger._service.instance import instance
from sovdev_logger._telemetry.spans import SovdevSpan, extract, is_inside_foreign_span
from sovdev_logger.integrations._request_options import RequestInfo, RequestOptions

REQUEST_ID_HEADER: Final = "X-Request-ID"
MAX_BODY_BYTES: Final = 16 * 1024

_VALID_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,127}", re.ASCII)
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_CLIENT_CLOSED: Final = 499

_request_id: ContextVar[str | None] = ContextVar("sovdev_request_id", default=None)


def sovdev_request_id() -> str | None:
    """Return the id of the request that this task or thread serves, None outside of one.

    It is the caller's ``X-Request-ID`` where that is usable, else a new one. Raises nothing.

    Specification: integrations, requests.
    """
    return _request_id.get()


class RequestScope:
    """From a request's arrival to its entry; begin and end it in the same context.

    Attributes:
        request_id: The caller's, or a new one.
        body: What of the body is to be logged; a framework adds to it.
    """

    def __init__(self, incoming: RequestInfo, options: RequestOptions) -> None:
        self.request_id = _usable_id(incoming.headers.get("x-request-id"))
        self.body = b""
        self.route: str | None = None
        self.function_name: str | None = None
        self.status: int | None = None
        self.error: BaseException | None = None
        self.client_disconnected = False
        self._incoming = incoming
        self._options = options
        self._span: SovdevSpan | None = None
        self._started = time.perf_counter()
        self._before = request_fields(), _request_id.get(), otel_context.get_current()
        self._has_ended = False

    def begin(self) -> None:
        """Continue the caller's trace, start the span and a fresh context. Raises nothing."""
        replace_request_fields(None)
        _request_id.set(self.request_id)
        service = instance.service
        if service is None or is_inside_foreign_span():
            return  # somebody else's instrumentation has a span for this request
        incoming = self._incoming
        otel_context.attach(extract(incoming.headers))
        self._span = service.spans.start(
            self._span_name(), self._span_attributes(), None, kind=SpanKind.SERVER
        )

    def resolve(self, request: Any) -> Any:
        """Ask the resolver whom the request is for; an awaitable is returned, to be applied."""
        resolver = self._options.resolver
        if resolver is None:
            return None
        try:
            found = resolver(request)
        except Exception as error:  # noqa: BLE001 - it is the application's
            say_resolver(error)
            return None
        if hasattr(found, "__await__"):
            return found
        self.apply(found)
        return None

    def apply(self, names: object) -> None:
        """Set the context to what a resolver returned."""
        try:
            set_request_identity(names)
        except Exception as error:  # noqa: BLE001 - it is the application's
            say_resolver(error)

    def note_response(self, status: int) -> None:
        """Note the status that goes out."""
        self.status = status

    def record_exception(self, error: BaseException) -> None:
        """Note an exception that nobody handled."""
        self.error = error

    def end(self) -> None:
        """Log the entry, end the span and put the context back. Raises nothing; once."""
        if self._has_ended:
            return
        self._has_ended = True
        try:
            self._log()
            self._end_span()
        except Exception as error:  # noqa: BLE001 - a request never fails for its entry
            warn_once(
                f"request:{type(error).__name__}",
                f"the entry of a request was lost to a {type(error).__name__}: {error}; this is a "
                "defect of sovdev-logger, please report it.",
            )
        finally:
            fields, request_id, context = self._before
            replace_request_fields(fields)
            _request_id.set(request_id)
            otel_context.attach(context)

    @property
    def wants_body(self) -> bool:
        """Whether the body is to be logged."""
        return self._options.log_bodies

    def add_to_body(self, part: bytes) -> None:
        """Keep the beginning of a body."""
        if len(self.body) < MAX_BODY_BYTES:
            self.body += part[: MAX_BODY_BYTES - len(self.body)]

    # What is written

    def _log(self) -> None:
        service, status = instance.service, self._final_status()
        if service is None or self._is_quiet(status):
            return
        incoming = self._incoming
        given: dict[str, object] = {
            "method": incoming.method,
            "route": self.route,
            "path": incoming.path,
            "request_id": self.request_id,
        }
        if self._options.log_query and incoming.query:
            given["query"] = redact_text(incoming.query)
        if self.body:
            given["body"] = self.body.decode("utf-8", "replace")
        elapsed_ms = round((time.perf_counter() - self._started) * 1000, 3)
        answer: dict[str, object] = {"status": status, "duration_ms": elapsed_ms}
        if self.client_disconnected:
            answer["client_disconnected"] = True
        where = self.route or incoming.path
        service.logger.log(
            self._level(status),
            self.function_name or where,
            f"{self._method()} {where} {status}",
            None,
            given,
            answer,
            self.error,
        )
        if self.error is not None:
            mark_as_logged(self.error)

    def _final_status(self) -> int:
        if self.status is not None:
            return self.status
        if self.error is not None:
            return _SERVER_ERROR
        return _CLIENT_CLOSED if self.client_disconnected else _SERVER_ERROR

    def _is_quiet(self, status: int) -> bool:
        is_quiet_path = self._incoming.path in self._options.quiet_paths
        return is_quiet_path and status < _CLIENT_ERROR and self.error is None

    def _level(self, status: int) -> str:
        if self.error is not None or status >= _SERVER_ERROR:
            return "error"
        return "warn" if status >= _CLIENT_ERROR else "info"

    def _method(self) -> str:
        if self._incoming.kind == "websocket":
            return "WEBSOCKET"
        return self._incoming.method if self._incoming.method in _METHODS else "_OTHER"

    def _span_name(self) -> str:
        method = self._method()
        name = method if method != "_OTHER" else "HTTP"
        return f"{name} {self.route}" if self.route else name

    def _span_attributes(self) -> dict[str, object]:
        incoming = self._incoming
        attributes: dict[str, object] = {
            "http.request.method": self._method() if incoming.kind == "http" else "GET",
            "url.scheme": incoming.scheme,
            "url.path": incoming.path,
            "client.address": incoming.client_address,
            "network.protocol.version": incoming.http_version,
            "user_agent.original": incoming.headers.get("user-agent"),
        }
        if attributes["http.request.method"] == "_OTHER":
            attributes["http.request.method_original"] = incoming.method
        if self._options.log_query and incoming.query:
            attributes["url.query"] = redact_text(incoming.query)
        if incoming.server is not None:
            attributes["server.address"], attributes["server.port"] = incoming.server
        return attributes

    def _end_span(self) -> None:
        span = self._span
        if span is None:
            return
        status = self._final_status()
        attributes: dict[str, object] = {
            "http.route": self.route,
            "http.response.status_code": status,
        }
        if self.error is not None:
            attributes["error.type"] = type(self.error).__qualname__
        elif status >= _SERVER_ERROR:
            attributes["error.type"] = str(status)
        span.describe(self._span_name(), attributes)
        failed = f"HTTP {status}" if status >= _SERVER_ERROR else None
        span.end(self.error or failed)


def set_request_identity(names: object) -> None:
    """Set the context of this task or thread to what a resolver returned.

    Raises:
        TypeError: It is neither a mapping nor None.
    """
    if names is None:
        return
    if not isinstance(names, Mapping):
        raise TypeError(f"it returned a {type(names).__name__}, not a mapping")
    service = instance.service
    merge_request_fields(
        {
            name: service.sanitizer.text(names[name]) if service else str(names[name])
            for name in CONTEXT_FIELDS
            if names.get(name) is not None
        }
    )


def _usable_id(given: str | None) -> str:
    if given is not None and _VALID_REQUEST_ID.fullmatch(given):
        return given
    return new_uuid()


def say_resolver(error: Exception) -> None:
    """Say that the resolver failed. Raises nothing, whatever the error's text does."""
    with contextlib.suppress(Exception):
        warn_once(
            f"resolver:{type(error).__name__}",
            f"the resolver of the context raised {type(error).__name__}: {error}; requests and "
            "tasks go on without client_name, service_principal and acting_user.",
        )
