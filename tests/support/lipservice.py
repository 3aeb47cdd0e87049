"""A LipService that behaves as the real one: over HTTP, strict about fields, not idempotent."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

DEFAULT_POLICY: dict[str, Any] = {
    "version": 0,
    "global_rate": 1.0,
    "severity_rates": {
        "DEBUG": 0.1, "INFO": 0.3, "WARNING": 0.7, "ERROR": 1.0, "CRITICAL": 1.0,
    },
    "pattern_rates": {},
    "anomaly_boost": 2.0,
    "reasoning": "There is no policy yet.",
    "generated_by": "default",
    "llm_model": None,
}  # fmt: skip

REPORT_FIELDS: dict[str, tuple[type, ...]] = {
    "service_name": (str,),
    "team_id": (int,),
    "timestamp": (int, float),
    "total_logs": (int,),
    "unique_patterns": (int,),
    "patterns": (list,),
}
PATTERN_FIELDS: dict[str, tuple[type, ...]] = {
    "signature": (str,),
    "count": (int,),
    "sampled_count": (int,),
    "first_seen": (int, float),
    "last_seen": (int, float),
}


@dataclass
class Answer:
    """What the server says instead of what it would, and how often."""

    status: int = 200
    body: bytes = b""
    times: int | None = None
    after_taking: bool = False
    act: Callable[[BaseHTTPRequestHandler], bool] | None = None


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    status: int
    body: Any = None


@dataclass
class FakeLipService:
    """Listens on a port of this machine while used as a context manager.

    Attributes:
        services: What exists, by team and name; a report makes it.
        policies: The active policies.
        reports: The reports that were taken, in order.
        seen: Every request.
    """

    services: set[tuple[int, str]] = field(default_factory=set)
    policies: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeLipService":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def set_policy(self, name: str, team_id: int = 7, **fields: Any) -> None:
        """Let a service exist, with an active policy."""
        self.services.add((team_id, name))
        self.policies[team_id, name] = {**DEFAULT_POLICY, "version": 3, **fields}

    def answer(self, status: int, body: bytes = b"", **options: Any) -> None:
        """Answer the next requests so, ``times`` times or for good."""
        self.answers.append(Answer(status, body, **options))

    def be_mute(self) -> None:
        """Take requests and never answer."""

        def wait(_: BaseHTTPRequestHandler) -> bool:
            self._leaving.wait(60)
            return False

        self.answers.append(Answer(act=wait))

    def recover(self) -> None:
        self.answers.clear()

    def total(self, field_name: str = "total_logs") -> int:
        """Return the sum over all reports."""
        return sum(report[field_name] for report in self.reports)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return by signature how many were seen and kept, over all reports."""
        found: dict[str, tuple[int, int]] = {}
        for report in self.reports:
            for one in report["patterns"]:
                seen, kept = found.get(one["signature"], (0, 0))
                found[one["signature"]] = (seen + one["count"], kept + one["sampled_count"])
        return found

    def wait_for(
        self, predicate: Callable[["FakeLipService"], bool], timeout_seconds: float = 10
    ) -> None:
        """Wait until ``predicate`` holds; it is tried after every request."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not predicate(self):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout_seconds} s: {self.seen}"
                self._changed.wait(left)

    def requests(self, method: str) -> list[Seen]:
        return [one for one in list(self.seen) if one.method == method]

    def _respond(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        answer = self._next_answer()
        if answer is not None and answer.act is not None:
            with self._changed:
                self.seen.append(Seen(method, handler.path, dict(handler.headers.items()), 0))
                self._changed.notify_all()
            if not answer.act(handler):
                return
            answer = None
        if answer is None or answer.after_taking:
            status, body = self._deal_with(method, handler, raw)
        else:
            status, body = answer.status, answer.body
        if answer is not None and answer.after_taking:
            status, body = answer.status, answer.body
        with self._changed:
            try:
                parsed = json.loads(raw) if raw else None
            except ValueError:
                parsed = raw
            headers = dict(handler.headers.items())
            self.seen.append(Seen(method, handler.path, headers, status, parsed))
            self._changed.notify_all()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

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

    def _deal_with(
        self, method: str, handler: BaseHTTPRequestHandler, raw: bytes
    ) -> tuple[int, bytes]:
        parts = urlsplit(handler.path)
        if method == "GET" and parts.path.startswith("/api/v1/policies/"):
            return self._policy(parts.path.removeprefix("/api/v1/policies/"), parts.query)
        if parts.path == "/api/v1/patterns/stats":
            return self._stats(handler, raw) if method == "POST" else (405, b"{}")
        return 404, b'{"detail": "Not Found"}'

    def _policy(self, name: str, query: str) -> tuple[int, bytes]:
        name = unquote(name)
        if "/" in name:
            return 404, b'{"detail": "Not Found"}'
        try:
            team_id = int(parse_qs(query)["team_id"][0])
        except (KeyError, ValueError):
            return 422, b'{"detail": [{"type": "missing", "loc": ["query", "team_id"]}]}'
        if (team_id, name) not in self.services:
            return 404, json.dumps({"detail": f"no {name} for team {team_id}"}).encode()
        policy = self.policies.get((team_id, name), DEFAULT_POLICY)
        return 200, json.dumps(policy).encode()

    def _stats(self, handler: BaseHTTPRequestHandler, raw: bytes) -> tuple[int, bytes]:
        if handler.headers.get("Content-Encoding"):
            return 400, b'{"detail": "There was an error parsing the body"}'
        try:
            report = json.loads(raw)
        except ValueError:
            return 422, b'{"detail": [{"type": "json_invalid"}]}'
        wrong = _wrong_fields(report, REPORT_FIELDS)
        for pattern in report.get("patterns") or []:
            wrong += _wrong_fields(pattern, PATTERN_FIELDS)
        if wrong:
            return 422, json.dumps({"detail": wrong}).encode()
        if report["team_id"] > 2**31 - 1 or len(report["service_name"]) > 255:
            return 500, b"Internal Server Error"
        with self._changed:
            self.services.add((report["team_id"], report["service_name"]))
            self.reports.append(report)
        return 202, b'{"status": "accepted", "message": "", "analysis_run_id": 1}'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._respond("GET")

            def do_POST(self) -> None:
                self._respond("POST")

            def _respond(self, method: str) -> None:
                self.close_connection = True
                try:
                    server._respond(self, method)
                except OSError:
                    pass

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        return Handler


def _wrong_fields(given: Any, fields: dict[str, tuple[type, ...]]) -> list[str]:
    if not isinstance(given, dict):
        return ["not an object"]
    return [
        name
        for name, types in fields.items()
        if type(given.get(name)) not in types and not _is_whole(given.get(name), types)
    ]


def _is_whole(value: object, types: tuple[type, ...]) -> bool:
    return int in types and isinstance(value, float) and value.is_integer()
