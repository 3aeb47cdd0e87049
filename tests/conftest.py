"""What every test gets: a clean environment, a schema check of each entry, and no leftovers."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3  # noqa: F401 - its import adds a handler, which is nobody's leftover
from opentelemetry import context as otel_context

from sovdev_logger._entry import entry
from sovdev_logger._entry.context import replace_request_fields
from sovdev_logger._runtime import selflog
from support import schema, service
from support.service import Started

OUR_PREFIXES = (
    "SOVDEV_",
    "LOG_",
    "LOGWELL_",
    "RELAY_",
    "ERROR_LOG_",
    "OTEL_",
    "SERVICE_VERSION",
    "RUN_ENVIRONMENT",
    "LIPSERVICE_",
)


_LIBFFI = re.compile(r"/libffi\.so(\.\d+)*$")
"""It keeps its own file open from the first ctypes callback on: it maps trampolines out of it."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the variables of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(OUR_PREFIXES) or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def every_entry_satisfies_the_schema(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check each line that any test's code makes against the published schema."""
    original = entry.dumps_line
    wrong: list[str] = []

    def checked(*arguments: Any) -> bytes:
        line = original(*arguments)
        wrong.extend(schema.faults_of(line))
        return line

    monkeypatch.setattr(entry, "dumps_line", checked)
    yield
    assert not wrong, "\n".join(wrong)


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """Put process-wide state back; fail a test that leaves threads, files or a logger's set-up."""
    threads = set(threading.enumerate())
    loggers = {name: _state_of(logger) for name, logger in _loggers()}
    files = _open_files()
    selflog.reset()
    context = otel_context.get_current()
    yield
    service.stop()
    otel_context.attach(context)
    replace_request_fields(None)
    _wait_for(lambda: set(threading.enumerate()) <= threads)
    assert {t.name for t in set(threading.enumerate()) - threads} == set(), "threads left behind"
    for name, logger in _loggers():
        logger.disabled = False
        before = loggers.get(name, (logging.NOTSET, True, []))
        assert _state_of(logger) == before, f"left on {name}"
    _wait_for(lambda: _open_files() <= files)
    assert _open_files() <= files, "files left open"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Started]:
    """Start a service: ``start(LOG_TO_CONSOLE="true")``; ``name``, ``version``, ``peers`` too."""

    def start_it(**options: Any) -> Started:
        arguments = {k: options.pop(k) for k in ("name", "version", "peers") if k in options}
        for variable, value in service.environment(tmp_path, **options).items():
            monkeypatch.setenv(variable, value)
        return service.start(tmp_path, **arguments)

    return start_it


def _loggers() -> list[tuple[str, logging.Logger]]:
    existing = logging.Logger.manager.loggerDict
    return [(name, one) for name, one in existing.items() if isinstance(one, logging.Logger)]


def _state_of(logger: logging.Logger) -> tuple[int, bool, list[logging.Handler]]:
    """Return level, propagation and the handlers, without pytest's own: those come and go."""
    handlers = [one for one in logger.handlers if type(one).__module__ != "_pytest.logging"]
    return logger.level, logger.propagate, handlers


def _open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return set()
    found = set()
    for descriptor in folder.iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        is_file = target.startswith("/") and not target.startswith(("/dev", "/proc"))
        if is_file and not _LIBFFI.search(target):
            found.add(target)
    return found


def _wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
