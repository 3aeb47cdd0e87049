"""The long forms of the fault tests: ``make soak``."""

import os

import pytest


@pytest.fixture
def is_soak() -> bool:
    """Whether a test may take many minutes."""
    return os.environ.get("SOAK") == "1"
