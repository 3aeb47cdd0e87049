"""A Logwell that behaves as the real one: strict about records, silent about what it ignores."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "lw_" + "k" * 32
MAX_BODY_BYTES = 524_288
MAX_RECORDS = 100
LEVELS = {"debug", "info", "warn", "error", "fatal"}
FIELDS = {"level", "message", "timestamp", "service", "metadata", "sourceFile", "lineNumber"}


@dataclass
class Answer:
    """What the server says instead of what it would, and how often."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = None
    after_storing: bool = False
    act: Callable[[BaseHTTPRequestHandler], bool] | None = None


@dataclass
class Seen:
    """One ingest request as it arrived."""

    status: int
    size: int
    records: int
    at: float


class FakeLogwell:
    """Listens on a port of this machine while used as a context manager.

    Attributes:
        stored: The records that were stored, in order.
        seen: Every ingest request.
        faults: What no client should send: unknown fields, wrong types, a wrong key.
        is_down: Whether the database is away.
        is_poison: Whether the server cannot store a record, which costs the whole batch.
    """

    def __init__(self, port: int = 0, tls: Any = None) -> None:
        self.stored: list[dict[str, Any]] = []
        self.seen: list[Seen] = []
        self.faults: list[str] = []
        self.answers: list[Answer] = []
        self.health_checks = 0
        self.connections_accepted = 0
        self.max_records = MAX_RECORDS
        self.max_body_bytes = MAX_BODY_BYTES
        self.is_down = False
        self.is_poison: Callable[[dict[str, Any]], bool] = lambda record: False
        self.in_flight = 0
        self.most_in_flight = 0
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.daemon_threads = False
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[str]:
        return [record["message"] for record in list(self.stored)]

    def event_ids(self) -> list[str]:
        return [record["metadata"]["event_id"] for record in list(self.stored)]

    def __enter__(self) -> "FakeLogwell":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if kind is None:
            assert self.faults == []

    def stop(self) -> None:
        """Cut every connection, as a server does that is killed."""
        self._leaving.set()
        self._server.shutdown()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._server.server_close()
        self._thread.join(10)

    def answer(self, status: int, body: bytes = b"", **options: Any) -> None:
        """Answer the next requests so, ``times`` times or for good."""
        self.answers.append(Answer(status, body, **options))

    def be_mute(self) -> None:
        """Take requests and never answer."""

        def wait(_: BaseHTTPRequestHandler) -> bool:
            self._leaving.wait(60)
            return False

        self.answers.append(Answer(act=wait))

    def pause(self, seconds: float) -> bool:
        """Wait, unless the server is to end; return whether it is."""
        return self._leaving.wait(seconds)

    def recover(self) -> None:
        self.answers.clear()

    def wait_for(
        self, predicate: Callable[["FakeLogwell"], bool], timeout_seconds: float = 15
    ) -> None:
        """Wait until ``predicate`` holds; it is tried after every request."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not predicate(self):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout_seconds} s: {self.seen[-5:]}"
                self._changed.wait(left)

    def _next_answer(self) -> Answer | None:
        with self._changed:
            if not self.answers:
                return None
            answer = self.answers[0]
            if answer.times is not None:
                answer.times -= 1
                if answer.times <= 0:
                    self.answers.pop(0)
            return answer

    def _ingest(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        if size > self.max_body_bytes:
            # Decided before the body is read, and closed while it is still being sent.
            self._note(413, size, 0)
            handler.close_connection = True
            self._reply(handler, 413, b"", {"Connection": "close"})
            return
        with self._changed:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self._deal_with(handler, handler.rfile.read(size))
        finally:
            with self._changed:
                self.in_flight -= 1

    def _deal_with(self, handler: BaseHTTPRequestHandler, raw: bytes) -> None:
        answer = self._next_answer()
        if answer is not None and answer.act is not None:
            self._note(0, len(raw), 0)
            if not answer.act(handler):
                handler.close_connection = True
                return
            answer = None
        if answer is None or answer.after_storing:
            status, body, headers = self._store(handler, raw)
        if answer is not None:
            status, body, headers = answer.status, answer.body, answer.headers
        try:
            count = len(json.loads(raw))
        except ValueError:
            count = 0
        self._note(status, len(raw), count)
        self._reply(handler, status, body, headers)

    def _store(  # noqa: PLR0911 - one for each answer
        self, handler: BaseHTTPRequestHandler, raw: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if handler.headers.get("Content-Type", "").split(";")[0] != "application/json":
            return 415, _error("unsupported_media_type", "not JSON"), {}
        if handler.headers.get("Authorization") != f"Bearer {KEY}":
            return 401, _error("unauthorized", "Invalid API key"), {}
        try:
            body = json.loads(raw, parse_constant=_refuse)
        except ValueError:
            return 400, _error("invalid_json", "Invalid JSON body"), {}
        records = body if isinstance(body, list) else [body]
        if not records:
            return 400, _error("validation_error", "empty"), {}
        if len(records) > self.max_records:
            return 400, _error("batch_too_large", f"more than {self.max_records}"), {}
        if self.is_down or any(self._cannot_store(record) for record in records):
            return 500, b"<html>Internal Error</html>", {"Content-Type": "text/html"}
        errors = []
        good = []
        for index, record in enumerate(records):
            why = self._rejected(record)
            if why is None:
                good.append(record)
            else:
                errors.append(f"index {index}: {why}")
        with self._changed:
            self.stored += good
            self._changed.notify_all()
        reply: dict[str, Any] = {"accepted": len(good)}
        if errors:
            reply |= {"rejected": len(errors), "errors": errors}
        return 200, json.dumps(reply).encode(), {"Content-Type": "application/json"}

    def _rejected(self, record: Any) -> str | None:
        if not isinstance(record, dict):
            return "not an object"
        if record.get("level") not in LEVELS:
            return "level"
        message = record.get("message")
        if not isinstance(message, str) or not message.strip():
            return "message"
        self._look_for_faults(record)
        return None

    def _look_for_faults(self, record: dict[str, Any]) -> None:
        """Note what the real server would ignore in silence."""
        unknown = set(record) - FIELDS
        if unknown:
            self.faults.append(f"unknown fields {unknown}")
        if not isinstance(record.get("metadata", {}), dict):
            self.faults.append("metadata is no object")
        if not isinstance(record.get("service", "x"), str) or record.get("service") == "":
            self.faults.append("service")
        if not isinstance(record.get("sourceFile", ""), str):
            self.faults.append("sourceFile")
        line = record.get("lineNumber", 1)
        if isinstance(line, bool) or not isinstance(line, int) or line < 1:
            self.faults.append("lineNumber")
        moment = record.get("timestamp")
        if moment is not None:
            parsed = datetime.fromisoformat(moment)
            if parsed.tzinfo is None:
                self.faults.append("timestamp without a zone")

    def _cannot_store(self, record: Any) -> bool:
        if not isinstance(record, dict):
            return False
        line = record.get("lineNumber")
        return (
            any("\0" in text or _has_lone_surrogate(text) for text in _texts(record))
            or (isinstance(line, (int, float)) and (line != int(line) or line > 2**31 - 1))
            or self.is_poison(record)
        )

    def _note(self, status: int, size: int, records: int) -> None:
        with self._changed:
            self.seen.append(Seen(status, size, records, time.monotonic()))
            self._changed.notify_all()

    def _health(self, handler: BaseHTTPRequestHandler) -> None:
        self.health_checks += 1
        if self.is_down:
            self._reply(handler, 503, b'{"status": "unhealthy", "database": "disconnected"}', {})
        else:
            self._reply(handler, 200, b'{"status": "healthy", "database": "connected"}', {})

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _handler(self) -> type[BaseHTTPRequestHandler]:  # noqa: C901
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                server.connections_accepted += 1
                server._connections.add(self.connection)

            def finish(self) -> None:
                server._connections.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def do_POST(self) -> None:
                if self.path != "/v1/ingest":
                    self.send_error(404)
                    return
                try:
                    server._ingest(self)
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:
                if self.path != "/api/health":
                    self.send_error(404)
                    return
                try:
                    server._health(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        return Handler


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


def _has_lone_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(letter) < 0xE000 for letter in text)


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": code, "message": message}).encode()


def _refuse(token: str) -> None:
    raise ValueError(token)
