"""No process of a fault test outlives it."""

from collections.abc import Iterator

import pytest

from support import processes


@pytest.fixture(autouse=True)
def no_process_survives() -> Iterator[None]:
    """End what a failing test has started."""
    yield
    while processes.started:
        processes.end(processes.started.pop())
