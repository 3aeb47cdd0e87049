"""A small Logwell for the examples: it prints what it gets."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = "lw_" + "0" * 32


class SmallLogwell(BaseHTTPRequestHandler):
    """Takes records at ``POST /v1/ingest`` and prints them."""

    def do_POST(self) -> None:
        records = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for record in records:
            print(f"the server got: {record['level']:5} {record['message']}", flush=True)
        answer = json.dumps({"accepted": len(records)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Print nothing else."""


def start() -> str:
    """Start the server in a thread, and return its URL."""
    server = HTTPServer(("127.0.0.1", 0), SmallLogwell)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
