"""structlog straight to a file: the fast path of its documentation.

``BytesLogger`` with orjson, a filtering bound logger that is cached on first use, static fields
bound once. The documented chain less ``merge_contextvars``, as no context is set; the message
stays under structlog's own name ``event``, as renaming it costs time. The file is unbuffered: like
the other peers' it has the entry when the call returns. It sends no OTLP on this path.
"""

import logging
from pathlib import Path

import call
import orjson
import structlog

from peers.fields import STATIC, fields


class Structlog:
    """A bound logger."""

    def __init__(self, folder: Path, level: int) -> None:
        file = open(folder / "structlog.log", "ab", buffering=0)  # noqa: SIM115 - kept open
        structlog.configure(
            cache_logger_on_first_use=True,
            wrapper_class=structlog.make_filtering_bound_logger(level),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=structlog.BytesLoggerFactory(file),
        )
        self._logger = structlog.get_logger().bind(**STATIC)

    def call(self) -> None:
        self._logger.info(call.MESSAGE, **fields())

    def error(self, exception: Exception) -> None:
        self._logger.error(call.ERROR_MESSAGE, exc_info=exception, **fields())

    def below(self, count: int) -> None:
        log = self._logger
        for _ in range(count):
            log.debug("x")

    def flush(self) -> None:
        """Nothing is kept back."""


def make(folder: Path, endpoint: str | None) -> Structlog:
    assert not endpoint, "this path has no OTLP"
    return Structlog(folder, logging.INFO)


def make_disabled(folder: Path, _endpoint: str | None) -> Structlog:
    """Return it at WARNING: its ``debug`` is then a function that does nothing."""
    return Structlog(folder, logging.WARNING)
