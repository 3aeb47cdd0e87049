"""What a team wires by hand: stdlib logging, python-json-logger and the OpenTelemetry SDK.

``JsonFormatter`` on a ``RotatingFileHandler``; what never changes is given to the formatter once,
the rest by ``extra``. With OTLP: the SDK's handler on the same logger, and a counter (``otel.py``).
"""

import logging
import logging.handlers
from pathlib import Path
from typing import Any

import call
from pythonjsonlogger.json import JsonFormatter

from peers.fields import STATIC, fields
from peers.otel import Otel

FORMAT = "%(levelname)s %(message)s"
MAX_BYTES = 50 * 1024 * 1024
BACKUPS = 5


class Handwired:
    """One logger with a file, and with an SDK handler where there is an endpoint."""

    def __init__(self, folder: Path, otel: Otel | None, formatter: Any) -> None:
        self._otel = otel
        self._logger = json_logger(folder / "handwired.log", formatter)
        if otel:
            self._logger.addHandler(otel.handler)

    def call(self) -> None:
        self._logger.info(call.MESSAGE, extra=fields())
        if self._otel:
            self._otel.count()

    def error(self, exception: Exception) -> None:
        self._logger.error(call.ERROR_MESSAGE, extra=fields(), exc_info=exception)

    def flush(self) -> None:
        """The file handler flushes each line; the SDK is asked to."""
        if self._otel:
            self._otel.flush()


def json_logger(path: Path, formatter: logging.Formatter) -> logging.Logger:
    """Return a logger that writes to a rotating file and nowhere else."""
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8"
    )
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return logger


def make(folder: Path, endpoint: str | None) -> Handwired:
    formatter = JsonFormatter(FORMAT, timestamp=True, static_fields=STATIC)
    return Handwired(folder, Otel(endpoint) if endpoint else None, formatter)
