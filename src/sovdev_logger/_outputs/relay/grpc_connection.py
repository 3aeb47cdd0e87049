"""A gRPC connection for one thread: one streaming call at a time, each step with a deadline.

It speaks gRPC over HTTP/2 by itself because gRPC's own library does not survive in a forked child
of a process that used it (it hangs there, and holds the interpreter's lock while it does), and
cannot open a stream while the interpreter ends. Here no thread is started and no lock is held.
"""

import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from sovdev_logger._settings.endpoint import TlsConfig

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024

_PREFIX_BYTES: Final = 5
_READ_BYTES: Final = 65_536
_HTTP_OK: Final = "200"


class StatusCode(IntEnum):
    """How a call ended, in gRPC's numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# For the answers of a proxy instead of the server.
_CODES_BY_HTTP_STATUS: Final = {
    "400": StatusCode.INTERNAL,
    "401": StatusCode.UNAUTHENTICATED,
    "403": StatusCode.PERMISSION_DENIED,
    "404": StatusCode.UNIMPLEMENTED,
    "429": StatusCode.UNAVAILABLE,
    "502": StatusCode.UNAVAILABLE,
    "503": StatusCode.UNAVAILABLE,
    "504": StatusCode.UNAVAILABLE,
}


_KNOWN_CODES: Final = frozenset(str(int(code)) for code in StatusCode)


class CallStatus(NamedTuple):
    """How a call ended, and the words for it."""

    code: StatusCode
    details: str = ""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.details}" if self.details else self.code.name


def framed(message: bytes) -> bytes:
    """Return a message with its length in front, as it travels in a stream."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class GrpcConnection:
    """One connection to one server, with one call at a time.

    No method raises for a failure of the server or the network: it sets ``status``.

    Attributes:
        messages: Answers that have arrived and were not read yet.
        status: How the call ended; None while it goes on.
        is_open: Whether another call can be made.
    """

    def __init__(self, target: str, tls: TlsConfig | None, deadline: float) -> None:
        self.messages: deque[bytes] = deque()
        self.status: CallStatus | None = None
        self.is_open = False
        self._target = target
        self._scheme = "http" if tls is None else "https"
        self._stream_id = 0
        self._partial = bytearray()
        self._trailers: dict[str, str] = {}
        self._is_half_closed = False
        self._protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._socket: socket.socket | None = None
        try:
            self._socket = _connected(target, tls, deadline)
            self._protocol.initiate_connection()
            self.is_open = True
            self._transmit(deadline)
        except (OSError, ValueError) as error:
            self.fail(_describe(error))

    def call(self, path: str, metadata: Mapping[str, str], deadline: float) -> None:
        """Begin a call; the one before it must have ended."""
        self.messages.clear()
        self._partial.clear()
        self._trailers = {}
        self._is_half_closed = False
        if not self.is_open:
            return
        self.status = None
        headers = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._target),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "sovdev-logger-python"),
            *metadata.items(),
        ]
        with self._breaking():
            self._stream_id = self._protocol.get_next_available_stream_id()
            self._protocol.send_headers(self._stream_id, headers)
            self._transmit(deadline)

    def send(self, data: bytes, deadline: float) -> bool:
        """Send framed messages; return False when that cannot be done in time."""
        rest = memoryview(data)
        while rest and self.status is None:
            with self._breaking():
                room = min(
                    len(rest),
                    self._protocol.local_flow_control_window(self._stream_id),
                    self._protocol.max_outbound_frame_size,
                )
                if room > 0:
                    self._protocol.send_data(self._stream_id, bytes(rest[:room]))
                    rest = rest[room:]
                    if len(rest) == 0 or room < self._protocol.max_outbound_frame_size:
                        self._transmit(deadline)
                    continue
            if self.status is None and not self.receive(deadline):
                return False
        return self.status is None

    def end(self, deadline: float) -> None:
        """Half-close the call: only the server's last answers and its status follow."""
        if self.status is None:
            self._is_half_closed = True
            with self._breaking():
                self._protocol.end_stream(self._stream_id)
                self._transmit(deadline)

    def receive(self, deadline: float) -> bool:
        """Wait until something arrives or the call ends; return False when nothing did in time."""
        if self._socket is None:
            return self.status is not None
        with self._breaking():
            self._socket.settimeout(max(0.000_001, deadline - time.monotonic()))
            try:
                data = self._socket.recv(_READ_BYTES)
            except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
                return False
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._handle_events(self._protocol.receive_data(data))
            self._transmit(deadline)
        return True

    def poll(self) -> None:
        """Read what has arrived already, without waiting, also that the connection is gone."""
        while self.is_open and self.receive(0.0):
            pass

    def close(self) -> None:
        """Cut the connection; another thread that waits for it is woken."""
        self.is_open = False
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                self._socket.close()

    def fail(self, details: str) -> None:
        """End the call and the connection, because the server or the network broke them."""
        self.status = self.status or CallStatus(StatusCode.UNAVAILABLE, details)
        self.close()

    def _transmit(self, deadline: float) -> None:
        data = self._protocol.data_to_send()
        if data and self._socket is not None:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            self._socket.sendall(data)

    def _handle_events(self, events: Iterable[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                self.fail("the server is going away")
            elif getattr(event, "stream_id", None) == self._stream_id:
                self._handle_event(event)

    def _handle_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                self._protocol.acknowledge_received_data(
                    event.flow_controlled_length, self._stream_id
                )
                self._partial += event.data
                self._split_messages()
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self._trailers.update(event.headers)  # type: ignore[arg-type]
            case h2.events.StreamEnded():
                self.status = self.status or _status(self._trailers)
                if not self._is_half_closed:
                    with contextlib.suppress(h2.exceptions.H2Error):
                        self._protocol.reset_stream(self._stream_id)
            case h2.events.StreamReset():
                self.status = self.status or _status_of_reset(event.error_code)

    def _split_messages(self) -> None:
        partial = self._partial
        while len(partial) >= _PREFIX_BYTES:
            end = _PREFIX_BYTES + int.from_bytes(partial[1:_PREFIX_BYTES], "big")
            if partial[0] or end > MAX_ANSWER_BYTES:
                raise ValueError("the server sent something that is not a gRPC message")
            if len(partial) < end:
                return
            self.messages.append(bytes(partial[_PREFIX_BYTES:end]))
            del partial[:end]

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """Turn an error into the end of the call and the connection."""
        try:
            yield
        except (OSError, ValueError, h2.exceptions.H2Error) as error:
            self.fail(_describe(error))


def _connected(target: str, tls: TlsConfig | None, deadline: float) -> socket.socket:
    host, _, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    plain = socket.create_connection((host, int(port)), max(0.001, deadline - time.monotonic()))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return plain
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.set_alpn_protocols(["h2"])
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        plain.settimeout(max(0.001, deadline - time.monotonic()))
        return context.wrap_socket(plain, server_hostname=tls.server_name or host)
    except Exception:
        plain.close()
        raise


def _status(headers: Mapping[str, str]) -> CallStatus:
    code, details = headers.get("grpc-status"), unquote(headers.get("grpc-message", ""))
    if code is not None and code in _KNOWN_CODES:
        return CallStatus(StatusCode(int(code)), details)
    http = headers.get(":status", "")
    if http != _HTTP_OK:
        return CallStatus(_CODES_BY_HTTP_STATUS.get(http, StatusCode.UNKNOWN), f"HTTP {http}")
    return CallStatus(StatusCode.UNKNOWN, "the server ended the stream without a status")


def _status_of_reset(error_code: int | None) -> CallStatus:
    refused = error_code == h2.errors.ErrorCodes.REFUSED_STREAM
    code = StatusCode.UNAVAILABLE if refused else StatusCode.INTERNAL
    return CallStatus(code, f"the server reset the stream ({error_code})")


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__
