"""The vectors of the specification are what the code makes."""

import re
from pathlib import Path

import pytest

from sovdev_logger.sampling import pattern_of, signature_of

PAGE = Path(__file__).parents[2] / "specification" / "sampling.md"
ROWS = re.findall(r"^\| `(.+)` \| `(.+)` \| `([0-9a-f]{32})` \|$", PAGE.read_text("utf-8"), re.M)


@pytest.mark.parametrize(("message", "pattern", "signature"), ROWS)
def test_a_vector(message: str, pattern: str, signature: str) -> None:
    assert (pattern_of(message), signature_of(message)) == (pattern, signature)


def test_there_are_vectors() -> None:
    assert len(ROWS) > 20
