"""A real gunicorn whose application logs each request."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.processes import TESTS, mutation, unmeasured
from support.service import environment

APPLICATION = """
import os
import sovdev_logger as log

log.sovdev_initialize("shop")
log.sovdev_log("info", "preload", "preloaded", None)

def application(environ, start_response):
    log.sovdev_log("info", "request", environ["PATH_INFO"], None)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Gunicorn:
    """A server that says on stderr where it listens."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._port = 0

    def ask(self, requests: int) -> set[str]:
        """Send requests and return the ids of the workers that answered."""
        workers = set()
        for number in range(requests):
            connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=10)
            connection.request("GET", f"/{number}")
            workers.add(connection.getresponse().read().decode())
            connection.close()
        return workers

    def port(self) -> int:
        """Return the port, once the server has said it."""
        assert self._process.stderr is not None
        while not self._port:
            line = self._process.stderr.readline()
            assert line, "the server ended"
            found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line)
            self._port = int(found[1]) if found else 0
        return self._port


@contextlib.contextmanager
def gunicorn(folder: Path, *options: str, **variables: str) -> Iterator[Gunicorn]:
    """Run gunicorn with ``options`` and end it by SIGTERM, after which it must end well."""
    (folder / "server.py").write_text(mutation() + APPLICATION)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"),
            *("--graceful-timeout", "10", *options, "server:application"),
        ],
        env={
            **unmeasured(),
            **environment(folder, **variables),
            "PYTHONPATH": f"{folder}{os.pathsep}{TESTS}",
        },
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Gunicorn(server)
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=30)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0, err
