"""The hand-wired logger with python-json-logger's orjson formatter: the fastest it has."""

from pathlib import Path

from pythonjsonlogger.orjson import OrjsonFormatter

from peers.fields import STATIC
from peers.handwired import FORMAT, Handwired
from peers.otel import Otel


def make(folder: Path, endpoint: str | None) -> Handwired:
    formatter = OrjsonFormatter(FORMAT, timestamp=True, static_fields=STATIC)
    return Handwired(folder, Otel(endpoint) if endpoint else None, formatter)
