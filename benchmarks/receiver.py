"""An OTLP/HTTP receiver in a process of its own: answers at once, counts afterwards.

Prints its port. What is posted to ``/NAME/v1/…`` is counted for that name: ``GET /NAME/count``
gives the number of log records, or spans, that arrived since it was last asked.

``--port N`` takes a port of one's choice. ``--unavailable SECONDS`` answers 503 to a name until so
long after its first request.
"""

import argparse
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

bodies: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
first_seen: dict[str, float] = {}


def count_items(signal: str, body: bytes) -> int:
    """Return how many log records or spans a request holds; a metric counts nothing."""
    if signal == "logs":
        logs = ExportLogsServiceRequest.FromString(body)
        return sum(len(s.log_records) for one in logs.resource_logs for s in one.scope_logs)
    if signal == "traces":
        traces = ExportTraceServiceRequest.FromString(body)
        return sum(len(s.spans) for one in traces.resource_spans for s in one.scope_spans)
    return 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    unavailable_seconds = 0.0

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name, signal = self.path.split("/")[1], self.path.rpartition("/")[2]
        began = first_seen.setdefault(name, time.monotonic())
        if time.monotonic() - began < self.unavailable_seconds:
            self._answer(503, b"")
            return
        bodies[name].append((signal, body))
        self._answer(200, b"")

    def do_GET(self) -> None:  # noqa: N802
        found = bodies[self.path.split("/")[1]]
        count = 0
        while found:
            count += count_items(*found.pop())
        self._answer(200, str(count).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--unavailable", type=float, default=0.0)
    options = parser.parse_args()
    Handler.unavailable_seconds = options.unavailable
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
