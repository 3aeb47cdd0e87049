"""An OTLP/HTTP receiver in a process of its own: answers at once, counts log records afterwards.

Prints its port; ``GET /count`` answers with the number of log records received so far.
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

bodies: list[bytes] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/logs":
            bodies.append(body)
        self._answer(b"")

    def do_GET(self) -> None:  # noqa: N802
        count = 0
        while bodies:
            request = ExportLogsServiceRequest.FromString(bodies.pop())
            count += sum(
                len(scope.log_records)
                for resource in request.resource_logs
                for scope in resource.scope_logs
            )
        self._answer(str(count).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
