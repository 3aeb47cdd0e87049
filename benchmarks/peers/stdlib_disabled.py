"""stdlib's logger at WARNING, asked to log at debug: the least that a call can cost."""

import logging
from pathlib import Path


class Stdlib:
    """A logger that is not wanted; stdlib caches that."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("disabled")
        self._logger.setLevel(logging.WARNING)

    def below(self, count: int) -> None:
        disabled = self._logger
        for _ in range(count):
            disabled.debug("x")


def make(_folder: Path, _endpoint: str | None) -> Stdlib:
    return Stdlib()
