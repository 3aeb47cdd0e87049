"""One HTTP connection to one URL, with a deadline for the whole exchange."""

import codecs
import contextlib
import gzip
import math
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sovdev_logger._delivery.failure_reasons import describe, tls_advice
from sovdev_logger._runtime.descriptors import detach_unless_ours, identity, is_ours
from sovdev_logger._settings.endpoint import HttpEndpoint

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_RETRY_AFTER_SECONDS: Final = 300.0
_GZIP_LEVEL: Final = 1
_RETRYABLE: Final = frozenset({408, 429})
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class HttpResult:
    """How a server answered one request.

    Attributes:
        status: The HTTP status, None when there was no answer.
        body: The first 64 KiB of the answer.
        retry_after_seconds: How long the server asked to wait, at most 300.
        error: Why there was no answer.
        was_sent: Whether the server may have got the request; False if there was no connection.
        names_fix: Whether ``error`` says what to set.
    """

    status: int | None
    body: bytes = b""
    retry_after_seconds: float | None = None
    error: str | None = None
    was_sent: bool = True
    names_fix: bool = False

    @property
    def may_have_arrived(self) -> bool:
        """Whether it was sent and not answered."""
        return self.status is None and self.was_sent

    @property
    def accepted(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: no answer, 408, 429 or 5xx."""
        return self.status is None or self.status in _RETRYABLE or self.status >= _SERVER_ERROR


class HttpTransport:
    """Posts bodies to one target over a connection that is kept; for one thread at a time.

    TLS is verified against the system's authorities or the target's own. Redirects are not
    followed and proxies from the environment are not used: credentials go to the target only.
    """

    def __init__(
        self,
        target: HttpEndpoint,
        content_type: str = "application/x-protobuf",
        max_body_bytes: int = _MAX_BODY_BYTES,
        max_idle_seconds: float = math.inf,
    ) -> None:
        self._target = target
        self._max_idle_seconds = max_idle_seconds
        self._used_at = 0.0
        self._max_body_bytes = max_body_bytes
        self._headers: Mapping[str, str] = {
            "User-Agent": "sovdev-logger-python",
            **target.headers,
            "Content-Type": content_type,
            **({"Content-Encoding": "gzip"} if target.gzip else {}),
        }
        parts = urlsplit(target.url)
        self._path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        self._connection: HTTPConnection | None = None
        self._identity: tuple[int, int] | None = None
        self._is_connected = False
        # Here, not at the first post, which is in a thread: a fork meanwhile would leave the child
        # with a module that is never imported to its end. The codec is for the host's name.
        import urllib3.connection  # noqa: PLC0415

        self._urllib3 = urllib3.connection
        codecs.lookup("idna")

    def post(self, body: bytes, timeout_seconds: float | None = None) -> HttpResult:
        """Post a body and return the answer; never raises.

        Args:
            body: The request's content, compressed here if the target asks for it.
            timeout_seconds: A bound on the whole exchange, below the target's own timeout.
        """
        return self.send("POST", self._path, body, timeout_seconds)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout_seconds: float | None = None,
    ) -> HttpResult:
        """Send a request to a path of the target's host and return the answer; never raises."""
        timeout = min(self._target.timeout_seconds, timeout_seconds or float("inf"))
        self._is_connected = False
        try:
            if body is not None and self._target.gzip:
                body = gzip.compress(body, _GZIP_LEVEL)
            return self._exchange(method, path, body, timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is, there was no answer
            was_sent = self._is_connected
            self.close()
            text, advice = describe(error), tls_advice(error, self._target)
            return HttpResult(
                None,
                error=f"{text}; {advice}" if advice else text,
                was_sent=was_sent,
                names_fix=advice is not None,
            )

    def abort(self) -> None:
        """Cut the exchange that another thread is waiting for, if there is one."""
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None and is_ours(sock, self._identity):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next post opens one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                detach_unless_ours(connection.sock, self._identity)
                connection.close()

    def reset_after_fork(self) -> None:
        """Leave the connection to the parent: a forked child opens its own."""
        self._connection = None

    def _exchange(
        self, method: str, path: str, content: bytes | None, timeout: float
    ) -> HttpResult:
        deadline = time.monotonic() + timeout
        connection = self._connected(timeout)
        self._is_connected = True
        with _Watchdog(connection, self._identity, deadline - time.monotonic()) as watchdog:
            # A server that refuses a body may answer and close before it has read all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    method, path, body=content, headers=self._headers, preload_content=False
                )
            answer = connection.getresponse()
            body = answer.read(self._max_body_bytes + 1, decode_content=True)
        if watchdog.has_fired:  # headers that were cut off look like an answer
            raise TimeoutError("the answer did not arrive in time")
        self._used_at = time.monotonic()
        result = HttpResult(
            answer.status,
            body[: self._max_body_bytes],
            _retry_after_seconds(answer.headers.get("Retry-After")),
        )
        if (
            len(body) > self._max_body_bytes
            or answer.headers.get("Connection", "").lower() == "close"
        ):
            self.close()
        return result

    def _connected(self, timeout: float) -> "HTTPConnection":
        """Return the kept connection if the server has not closed it, else a new one."""
        is_stale = time.monotonic() - self._used_at > self._max_idle_seconds
        connection = self._connection
        if (
            connection is None
            or is_stale
            or detach_unless_ours(connection.sock, self._identity)
            or not connection.is_connected
        ):
            self.close()
            connection = self._connection = self._new_connection()
        connection.timeout = timeout
        if connection.sock is None:
            self._identity = None  # what a failed attempt leaves is closed as it is
            connection.connect()
            self._identity = identity(connection.sock.fileno()) if connection.sock else None
        else:
            connection.sock.settimeout(timeout)
        return connection

    def _new_connection(self) -> "HTTPConnection":
        target, parts = self._target, urlsplit(self._target.url)
        host = parts.hostname or ""
        if parts.scheme != "https":
            return self._urllib3.HTTPConnection(host, parts.port or 80)
        return self._urllib3.HTTPSConnection(
            host,
            parts.port or 443,
            cert_reqs="CERT_REQUIRED",
            ca_certs=target.ca_file,
            cert_file=target.client_cert_file,
            key_file=target.client_key_file,
        )


class HttpExporter:
    """An exporter with a connection of its own."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._transport.close()

    def reset_after_fork(self) -> None:
        """Leave the connection to the parent: a forked child opens its own."""
        self._transport.reset_after_fork()


class _Watchdog:
    """Cuts the connection at the deadline: a socket's own timeout starts anew with every byte."""

    def __init__(
        self, connection: "HTTPConnection", ours: tuple[int, int] | None, timeout: float
    ) -> None:
        self.has_fired = False
        self._connection = connection
        self._identity = ours
        self._timer = threading.Timer(max(0.0, timeout), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Watchdog":
        with contextlib.suppress(RuntimeError):  # no new thread while the interpreter ends
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.has_fired = True
        sock = self._connection.sock
        if sock is not None and is_ours(sock, self._identity):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _retry_after_seconds(header: str | None) -> float | None:
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return None if math.isnan(seconds) else min(max(0.0, seconds), _MAX_RETRY_AFTER_SECONDS)
