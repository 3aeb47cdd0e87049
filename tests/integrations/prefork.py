"""A server that forks its workers after the application was made, as uWSGI does."""

import os
import signal
import sys
import threading
from typing import NoReturn
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
    # All workers wake for one connection, and one gets it; the others must not wait for the next.
    server.socket.setblocking(False)
    workers = []
    for _ in range(3):
        worker = os.fork()
        if worker == 0:
            work(server)
        workers.append(worker)

    def stop(*_: object) -> None:
        for worker in workers:
            os.kill(worker, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for worker in workers:
        os.waitpid(worker, 0)


def work(server: WSGIServer) -> NoReturn:
    # Not by an exception: wsgiref swallows one that lands in a request, SystemExit too.
    def leave(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, leave)
    server.serve_forever(poll_interval=0.05)
    sys.exit(0)


if __name__ == "__main__":
    main()
