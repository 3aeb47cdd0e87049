"""Every logger that is compared, one module each.

A module has ``make(folder, endpoint)``: with an endpoint the peer also sends OTLP logs and counts
in a metric. What it returns has some of these methods:

    call()            log the entry of ``call.py``; it is in the file when this returns
    error(exception)  log it as an error with its traceback
    below(count)      make that many calls below the level, in a loop without another frame
    flush()           wait until everything was sent
    call_with(value)  log that input
"""

from importlib import import_module
from pathlib import Path
from typing import Any

MAKERS = {
    "floor": "floor:make",
    "sovdev": "sovdev:make",
    "hand-wired": "handwired:make",
    "hand-wired, orjson": "handwired_orjson:make",
    "structlog": "structlog_file:make",
    "structlog over stdlib": "structlog_stdlib:make",
    "loguru": "loguru_file:make",
    "logfire": "logfire_spans:make",
    "stdlib, disabled": "stdlib_disabled:make",
    "structlog, disabled": "structlog_file:make_disabled",
    "loguru, disabled": "loguru_file:make_disabled",
}

TO_FILE = [
    "floor",
    "sovdev",
    "structlog",
    "structlog over stdlib",
    "hand-wired, orjson",
    "hand-wired",
    "loguru",
]
WITH_OTLP = [
    "floor",
    "sovdev",
    "structlog over stdlib",
    "hand-wired, orjson",
    "hand-wired",
    "loguru",
    "logfire",
]


def make_peer(name: str, folder: Path, endpoint: str | None) -> Any:
    """Return the peer of that name."""
    module, _, function = MAKERS[name].partition(":")
    return getattr(import_module(f"peers.{module}"), function)(folder, endpoint)
