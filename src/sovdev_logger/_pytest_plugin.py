"""The pytest fixture, registered as an entry point so that installing the package is enough."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sovdev_logger.testing import Captured


@pytest.fixture
def sovdev_capture() -> "Iterator[Captured]":
    """Collect the entries that the test's code logs; nothing is written or sent."""
    from sovdev_logger.testing import capture  # noqa: PLC0415 - only tests that use it pay for it

    with capture() as captured:
        yield captured
