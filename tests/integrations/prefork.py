"""A server that forks its workers after the application was made, as uWSGI does."""

import os
import signal
import sys
from types import FrameType
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from web_apps import make_flask


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Patient(WSGIServer):
    request_queue_size = 128


def main() -> None:
    app = make_flask()
    server = make_server("127.0.0.1", int(sys.argv[1]), app, Patient, Quiet)
    workers = []
    for _ in range(3):
        worker = os.fork()
        if worker == 0:
            signal.signal(signal.SIGTERM, leave)
            server.serve_forever()
        workers.append(worker)

    def stop(*_: object) -> None:
        for worker in workers:
            os.kill(worker, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for worker in workers:
        os.waitpid(worker, 0)


def leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
