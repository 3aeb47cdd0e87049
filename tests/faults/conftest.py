"""The long forms of the fault tests: ``make soak``."""

import os
from collections.abc import Iterator

import pytest

from support import processes


@pytest.fixture
def is_soak() -> bool:
    """Whether a test may take many minutes."""
    return os.environ.get("SOAK") == "1"


@pytest.fixture(autouse=True)
def no_process_survives() -> Iterator[None]:
    """End what a failing test has started."""
    yield
    while processes.started:
        processes.end(processes.started.pop())
