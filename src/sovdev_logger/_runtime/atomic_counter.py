"""A number that any thread or signal handler raises, without a lock."""

from itertools import count
from typing import Final

_BEFORE_THE_NUMBER: Final = len("count(")


class AtomicCounter:
    """A number that ``increment()`` raises by one; it returns what the number was before.

    ``next`` on a count is one atomic step, about a tenth of a lock's cost.
    """

    __slots__ = ("_count", "increment")

    def __init__(self) -> None:
        self._count = count()
        self.increment = self._count.__next__

    def value(self) -> int:
        """Return how often ``increment`` was called; any thread or signal handler may ask."""
        # Its text is the one way to read a count without raising it.
        return int(repr(self._count)[_BEFORE_THE_NUMBER:-1])
