"""A real OTLP/HTTP receiver that decodes every byte with ``opentelemetry-proto``."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from uuid import uuid4

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

DECODERS: dict[str, Any] = {
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}
OVERFLOW = "otel.metric.overflow"


def attributes(pairs: Any) -> dict[str, Any]:
    """Return decoded attributes as a dict; a key that comes twice is an error."""
    found = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
    assert len(found) == len(pairs), "an attribute is there twice"
    return found


class Labels(dict[str, Any]):
    """The attributes of a metric point, hashable."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    size: int
    is_gzipped: bool
    message: Any


@dataclass
class Answer:
    """What the receiver says next, and how often."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    times: int | None = None
    behave: Callable[[BaseHTTPRequestHandler], bool] | None = None


class OtlpReceiver:
    """Listens on a port of this machine while used as a context manager."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self._base = f"/{uuid4().hex[:8]}"
        self.forget_requests = False
        self.refuses: Callable[[bytes], bool] | None = None
        self.fails: Callable[[bytes], bool] | None = None
        self.records_per_second: float | None = None
        self._answers: list[Answer] = []
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        # A client that does not trust the certificate leaves in the middle of the handshake.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._server.daemon_threads = False
        self._server.block_on_close = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def endpoint(self) -> str:
        """The base URL, with a path of our own: a port may have been another test's before."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}{self._base}"

    def __enter__(self) -> "OtlpReceiver":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._server.shutdown()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._server.server_close()
        self._thread.join(10)
        if kind is None:
            assert self.faults == []

    def respond_with(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        times: int | None = None,
    ) -> None:
        """Answer the next requests like this, ``times`` times or for good."""
        self._answers.append(Answer(status, headers or {}, body, times))

    def behave(self, action: Callable[[BaseHTTPRequestHandler], bool]) -> None:
        """Let ``action`` deal with the connection; it returns whether it answered."""
        self._answers.append(Answer(behave=action))

    def hang(self) -> None:
        """Take requests and never answer."""

        def wait(_: BaseHTTPRequestHandler) -> bool:
            self._leaving.wait(60)
            return True

        self.behave(wait)

    def answer_after(self, seconds: float) -> None:
        """Take requests and answer each after a while."""

        def wait(_: BaseHTTPRequestHandler) -> bool:
            self._leaving.wait(seconds)
            return False

        self.behave(wait)

    def drip(self, pause_seconds: float = 0.05) -> None:
        """Answer one byte at a time, without end."""

        def send_slowly(handler: BaseHTTPRequestHandler) -> bool:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self._leaving.wait(pause_seconds):
                handler.wfile.write(b"x")
                handler.wfile.flush()
            return True

        self.behave(send_slowly)

    def event_ids(self) -> list[str]:
        """Return the event id of each log record."""
        return [attributes(record.attributes)["event_id"] for _, _, _, record in self.log_records()]

    def recover(self) -> None:
        """Answer 200 again."""
        self._answers.clear()

    def wait_for(
        self, predicate: Callable[["OtlpReceiver"], bool], timeout_seconds: float = 10
    ) -> None:
        """Wait until ``predicate`` holds; it is tried after every request."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not predicate(self):
                left = deadline - time.monotonic()
                assert left > 0, (
                    f"not within {timeout_seconds} s; got {len(self.requests)} requests"
                )
                self._changed.wait(left)

    def log_records(self) -> list[tuple[dict[str, Any], str, str, Any]]:
        """Return resource attributes, scope name, scope version and record of each log."""
        return self._items("/v1/logs", "resource_logs", "scope_logs", "log_records")

    def spans(self) -> list[tuple[dict[str, Any], str, str, Any]]:
        """Return the same of each span."""
        return self._items("/v1/traces", "resource_spans", "scope_spans", "spans")

    def metrics(self) -> dict[str, list[tuple[Labels, Any]]]:
        """Return the last points of each metric: value, or the point itself of a histogram."""
        found: dict[str, list[tuple[Labels, Any]]] = {}
        metrics = self._items("/v1/metrics", "resource_metrics", "scope_metrics", "metrics")
        for _, _, _, metric in metrics:
            kind = metric.WhichOneof("data")
            points = getattr(metric, kind).data_points
            found[metric.name] = [
                (Labels(attributes(point.attributes)), _value(kind, point)) for point in points
            ]
        return found

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Return resource attributes and point of each export of a metric, in order."""
        return [
            (resource, point)
            for resource, _, _, metric in self._items(
                "/v1/metrics", "resource_metrics", "scope_metrics", "metrics"
            )
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]

    def series(self, name: str) -> dict[tuple[str, str | None, Labels], list[int]]:
        """Return the values of a counter as Prometheus keeps them: by job, instance and labels."""
        found: dict[tuple[str, str | None, Labels], list[int]] = {}
        for resource, point in self.points(name):
            labels = Labels(attributes(point.attributes))
            key = (resource["service.name"], resource.get("service.instance.id"), labels)
            found.setdefault(key, []).append(point.as_int)
        return found

    def messages(self) -> list[str]:
        """Return the body of each log record."""
        return [record.body.string_value for _, _, _, record in self.log_records()]

    def _items(
        self, path: str, outer: str, scoped: str, inner: str
    ) -> list[tuple[dict[str, Any], str, str, Any]]:
        return [
            (attributes(resource.resource.attributes), scope.scope.name, scope.scope.version, item)
            for request in list(self.requests)
            if request.path == path
            for resource in getattr(request.message, outer)
            for scope in getattr(resource, scoped)
            for item in getattr(scope, inner)
        ]

    def _next_answer(self) -> Answer:
        with self._changed:
            if not self._answers:
                return Answer()
            answer = self._answers[0]
            if answer.times is not None:
                answer.times -= 1
                if answer.times <= 0:
                    self._answers.pop(0)
            return answer

    def _receive(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers["Content-Length"]))
        if not handler.path.startswith(f"{self._base}/"):
            handler.send_error(404)
            return
        handler.path = handler.path.removeprefix(self._base)
        answer = self._next_answer()
        if answer.behave is not None and answer.behave(handler):
            handler.close_connection = True
            return
        if self.refuses is not None and self.refuses(raw):
            answer = Answer(400)
        if self.fails is not None and self.fails(raw):
            answer = Answer(503)
        if self.records_per_second is not None:
            self._leaving.wait(raw.count(b"event_id") / self.records_per_second)
        if answer.status < 300:
            self._keep(handler, raw)
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _keep(self, handler: BaseHTTPRequestHandler, raw: bytes) -> None:
        is_gzipped = handler.headers.get("Content-Encoding") == "gzip"
        decoder = DECODERS.get(handler.path)
        with self._changed:
            try:
                assert decoder is not None, f"nothing is at {handler.path}"
                assert handler.headers["Content-Type"] == "application/x-protobuf"
                message = decoder()
                message.ParseFromString(gzip.decompress(raw) if is_gzipped else raw)
                headers = dict(handler.headers.items())
                if self.forget_requests:
                    return
                self.requests.append(Request(handler.path, headers, len(raw), is_gzipped, message))
            except Exception as error:
                self.faults.append(repr(error))
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self
        self._connections: set[socket.socket] = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                receiver._connections.add(self.connection)

            def finish(self) -> None:
                receiver._connections.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def do_POST(self) -> None:
                try:
                    receiver._receive(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        return Handler


def _value(kind: str, point: Any) -> Any:
    if kind == "histogram":
        return point
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
