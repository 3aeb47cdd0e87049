"""structlog through stdlib logging, the way to its OTLP.

File alone: structlog renders with orjson, a stdlib ``RotatingFileHandler`` writes the text as it
is. With OTLP the SDK's handler needs attributes and not a text, so structlog hands its fields over
as ``extra`` (``render_to_log_kwargs``, as documented), python-json-logger's orjson formatter
writes the file, and the SDK sends (``otel.py``).
"""

import logging
from pathlib import Path

import call
import orjson
import structlog
from pythonjsonlogger.orjson import OrjsonFormatter

from peers.fields import STATIC, fields
from peers.handwired import FORMAT, json_logger
from peers.otel import Otel


class StructlogStdlib:
    """A bound logger over a stdlib logger."""

    def __init__(self, folder: Path, otel: Otel | None) -> None:
        self._otel = otel
        if otel:
            formatter: logging.Formatter = OrjsonFormatter(FORMAT, timestamp=True)
            processors = [structlog.stdlib.render_to_log_kwargs]
        else:
            formatter = logging.Formatter("%(message)s")
            processors = [
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=_dumps),
            ]
        logger = json_logger(folder / "structlog.log", formatter)
        if otel:
            logger.addHandler(otel.handler)
        structlog.configure(
            cache_logger_on_first_use=True,
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=processors,
            logger_factory=lambda *_: logger,
        )
        self._logger = structlog.get_logger().bind(**STATIC)

    def call(self) -> None:
        self._logger.info(call.MESSAGE, **fields())
        if self._otel:
            self._otel.count()

    def flush(self) -> None:
        """The file handler flushes each line; the SDK is asked to."""
        if self._otel:
            self._otel.flush()


def _dumps(value: object, **options: object) -> str:
    return orjson.dumps(value, **options).decode()  # type: ignore[arg-type]


def make(folder: Path, endpoint: str | None) -> StructlogStdlib:
    return StructlogStdlib(folder, Otel(endpoint) if endpoint else None)
