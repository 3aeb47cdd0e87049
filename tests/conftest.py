"""Sizes, and what every test gets: a clean environment, a schema check, and no leftovers."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import urllib3  # noqa: F401 - its import adds a handler, which is nobody's leftover
from opentelemetry import context as otel_context

from sovdev_logger._entry import entry
from sovdev_logger._entry.context import replace_request_fields
from sovdev_logger._runtime import selflog
from sovdev_logger._safety.json_encoding import dumps_line
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

SIZES = {"quick": "make test", "full": "make test-full", "soak": "make soak"}
"""Each with the target that runs it."""
Sized = Callable[..., Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", choices=SIZES, default="quick", help="how large sized tests are")


def pytest_configure(config: pytest.Config) -> None:
    """Try a tenth of the examples of each property at quick size."""
    size = config.getoption("--size")
    examples = 10 if size == "quick" else 100
    hypothesis.settings.register_profile(size, max_examples=examples, deadline=None)
    hypothesis.settings.load_profile(size)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what depends on the size, and skip what takes too long at this one."""
    order = list(SIZES)
    size = order.index(config.getoption("--size"))
    for item in items:
        is_property = hypothesis.is_hypothesis_test(getattr(item, "obj", None))
        if is_property or "sized" in getattr(item, "fixturenames", ()):
            item.add_marker("sized")
        for mark in item.iter_markers("sized"):
            least = mark.kwargs.get("least", "quick")
            if size < order.index(least):
                item.add_marker(pytest.mark.skip(f"takes long: {SIZES[least]} runs it"))


@pytest.fixture(scope="session")
def sized(pytestconfig: pytest.Config) -> Sized:
    """Choose by the size of the run: ``sized(20, full=100)``, and ``soak=1000`` if it differs."""

    def choose(quick: Any, *, full: Any, soak: Any = None) -> Any:
        larger = full if soak is None else soak
        return {"quick": quick, "full": full, "soak": larger}[pytestconfig.getoption("--size")]

    return choose


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
    original = dumps_line
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


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
