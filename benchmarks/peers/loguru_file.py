"""loguru to a file with ``serialize=True``: its structured output.

Static fields are bound once, the rest is given with each call. ``backtrace`` and ``diagnose`` are
off and the format is the bare message: both make it faster. Its line has loguru's own record
around the fields. With OTLP: the SDK's handler as a second sink, the way loguru documents for
handlers, and a counter (``otel.py``).
"""

import logging
from pathlib import Path

import call
from loguru import logger

from peers.fields import STATIC, fields
from peers.otel import Otel

MAX_BYTES = 50 * 1024 * 1024


class Loguru:
    """The one logger of loguru, with a file sink."""

    def __init__(self, folder: Path, otel: Otel | None, level: int) -> None:
        self._otel = otel
        logger.remove()
        plain = {"level": level, "format": "{message}", "backtrace": False, "diagnose": False}
        logger.add(folder / "loguru.log", serialize=True, rotation=MAX_BYTES, **plain)
        if otel:
            logger.add(otel.handler, **plain)
        self._logger = logger.bind(**STATIC)

    def call(self) -> None:
        self._logger.info(call.MESSAGE, **fields())
        if self._otel:
            self._otel.count()

    def error(self, exception: Exception) -> None:
        self._logger.opt(exception=exception).error(call.ERROR_MESSAGE, **fields())

    def below(self, count: int) -> None:
        log = self._logger
        for _ in range(count):
            log.debug("x")

    def flush(self) -> None:
        """The file has each line; the SDK is asked to send."""
        if self._otel:
            self._otel.flush()


def make(folder: Path, endpoint: str | None) -> Loguru:
    return Loguru(folder, Otel(endpoint) if endpoint else None, logging.INFO)


def make_disabled(folder: Path, _endpoint: str | None) -> Loguru:
    """Return it with nothing but a sink at WARNING."""
    return Loguru(folder, None, logging.WARNING)
