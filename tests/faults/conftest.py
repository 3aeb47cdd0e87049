"""No process of a fault test outlives it, and calls that fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import processes
from support.failing_calls import FailingCalls, compiled


@pytest.fixture(autouse=True)
def no_process_survives() -> Iterator[None]:
    """End what a failing test has started."""
    yield
    while processes.started:
        processes.end(processes.started.pop())


@pytest.fixture(scope="session")
def failing_calls_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what makes calls fail."""
    return compiled(tmp_path_factory.mktemp("failing-calls"))


@pytest.fixture
def failing(tmp_path: Path, failing_calls_library: Path) -> Iterator[FailingCalls]:
    """Let calls fail in a program that is started with ``failing.variables()``."""
    rules = FailingCalls(tmp_path / "failing-calls", failing_calls_library)
    yield rules
    rules.close()
