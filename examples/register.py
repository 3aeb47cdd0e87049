"""A small company register with real data, for the company lookup to talk real HTTP to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PATH = "/enhetsregisteret/api/enheter/"

COMPANIES = {
    "971277882": ("DIREKTORATET FOR UTVIKLINGSSAMARBEID (NORAD)", "ORGL", "Organisasjonsledd"),
    "915933149": ("DIREKTORATET FOR E-HELSE MELDT TIL OPPHØR", "ORGL", "Organisasjonsledd"),
    "916201478": ("KVISTADMANNEN AS", "AS", "Aksjeselskap"),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        number = self.path.removeprefix(PATH)
        if number not in COMPANIES:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name, code, description = COMPANIES[number]
        company = {
            "organisasjonsnummer": number,
            "navn": name,
            "organisasjonsform": {"kode": code, "beskrivelse": description},
        }
        body = json.dumps(company, ensure_ascii=False).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the console for the entries."""


@contextmanager
def local_register() -> Iterator[str]:
    """Serve the register on this machine; give the URL that a company number is added to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
