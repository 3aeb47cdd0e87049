"""One request of any framework: its trace, its context, its span and its entry.

Each framework's module reads its own requests and responses; everything else is here, and the same
for all of them.
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
from sovdev_logger._telemetry.span_scope import is_inside_foreign_span
from sovdev_logger._telemetry.spans import SovdevSpan, extract
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

    It is the caller's ``X-Request-ID`` where that is usable, else a new one. Never raises.

    Specification: integrations, requests.
    """
    return _request_id.get()


class RequestScope:
    """From a request's arrival to its entry; begin and end it in the same context.

    Attributes:
        request_id: The caller's, or a new one.
        status: The response's; a framework sets it.
        body: What of the body is to be logged; a framework adds to it.
    """

    def __init__(self, info: RequestInfo, options: RequestOptions) -> None:
        self.request_id = _usable_id(info.headers.get("x-request-id"))
        self.body = b""
        self.route: str | None = None
        self.function_name: str | None = None
        self.status: int | None = None
        self.error: BaseException | None = None
        self.client_disconnected = False
        self._info = info
        self._options = options
        self._span: SovdevSpan | None = None
        self._started = time.perf_counter()
        self._before = request_fields(), _request_id.get(), otel_context.get_current()
        self._has_ended = False

    def begin(self) -> None:
        """Continue the caller's trace, start the span and a fresh context. Never raises."""
        replace_request_fields(None)
        _request_id.set(self.request_id)
        service = instance.service
        if service is None or is_inside_foreign_span():
            return  # other instrumentation has a span for this request
        info = self._info
        otel_context.attach(extract(info.headers))
        self._span = service.spans.start(
            self._span_name(), self._span_attributes(), None, kind=SpanKind.SERVER
        )

    def resolve(self, request: Any) -> Any:
        """Call the resolver; if it returns an awaitable, return that: ``apply`` its result."""
        resolver = self._options.resolver
        if resolver is None:
            return None
        try:
            names = resolver(request)
        except Exception as error:  # noqa: BLE001 - it is the application's
            warn_resolver(error)
            return None
        if hasattr(names, "__await__"):
            return names
        self.apply(names)
        return None

    def apply(self, names: object) -> None:
        """Set the context to what a resolver returned."""
        try:
            set_request_identity(names)
        except Exception as error:  # noqa: BLE001 - it is the application's
            warn_resolver(error)

    def record_exception(self, error: BaseException) -> None:
        """Keep an exception that nobody handled."""
        self.error = error

    def end(self) -> None:
        """Log the entry, end the span and restore the context. Never raises; safe to repeat."""
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
                "bug in sovdev-logger; please report it.",
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

    def _log(self) -> None:
        service, status = instance.service, self._final_status()
        if service is None or self._is_quiet(status):
            return
        info = self._info
        received: dict[str, object] = {
            "method": info.method,
            "route": self.route,
            "path": info.path,
            "request_id": self.request_id,
        }
        if self._options.log_query and info.query:
            received["query"] = redact_text(info.query)
        if self.body:
            received["body"] = self.body.decode("utf-8", "replace")
        elapsed_ms = round((time.perf_counter() - self._started) * 1000, 3)
        answer: dict[str, object] = {"status": status, "duration_ms": elapsed_ms}
        if self.client_disconnected:
            answer["client_disconnected"] = True
        where = self.route or info.path
        service.logger.log(
            self._level(status),
            self.function_name or where,
            f"{self._method()} {where} {status}",
            None,
            received,
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
        is_quiet_path = self._info.path in self._options.quiet_paths
        return is_quiet_path and status < _CLIENT_ERROR and self.error is None

    def _level(self, status: int) -> str:
        if self.error is not None or status >= _SERVER_ERROR:
            return "error"
        return "warn" if status >= _CLIENT_ERROR else "info"

    def _method(self) -> str:
        if self._info.kind == "websocket":
            return "WEBSOCKET"
        return self._info.method if self._info.method in _METHODS else "_OTHER"

    def _span_name(self) -> str:
        method = self._method()
        name = method if method != "_OTHER" else "HTTP"
        return f"{name} {self.route}" if self.route else name

    def _span_attributes(self) -> dict[str, object]:
        info = self._info
        attributes: dict[str, object] = {
            "http.request.method": self._method() if info.kind == "http" else "GET",
            "url.scheme": info.scheme,
            "url.path": info.path,
            "client.address": info.client_address,
            "network.protocol.version": info.http_version,
            "user_agent.original": info.headers.get("user-agent"),
        }
        if attributes["http.request.method"] == "_OTHER":
            attributes["http.request.method_original"] = info.method
        if self._options.log_query and info.query:
            attributes["url.query"] = redact_text(info.query)
        if info.server is not None:
            attributes["server.address"], attributes["server.port"] = info.server
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
    """Set the identities that later entries of this task or thread carry.

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
            name: service.sanitizer.text(names[name], name) if service else str(names[name])
            for name in CONTEXT_FIELDS
            if names.get(name) is not None
        }
    )


def _usable_id(header: str | None) -> str:
    if header is not None and _VALID_REQUEST_ID.fullmatch(header):
        return header
    return new_uuid()


def warn_resolver(error: Exception) -> None:
    """Warn that the resolver failed. Never raises, whatever the error's text does."""
    with contextlib.suppress(Exception):
        warn_once(
            f"resolver:{type(error).__name__}",
            f"the resolver of the context raised {type(error).__name__}: {error}; requests and "
            "tasks go on without client_name, service_principal and acting_user.",
        )
