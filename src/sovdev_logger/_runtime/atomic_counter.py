"""A counter for threads and signal handlers, without a lock."""

from itertools import count
from typing import Final

_BEFORE_THE_NUMBER: Final = len("count(")


class AtomicCounter:
    """A number; ``increment()`` adds one and returns the number before it.

    ``next`` on a count is one atomic step, about a tenth of a lock's cost.
    """

    __slots__ = ("_count", "increment")

    def __init__(self) -> None:
        self._count = count()
        self.increment = self._count.__next__

    def value(self) -> int:
        """Return how often ``increment`` was called. Thread and signal safe."""
        # A count cannot be read without incrementing it, except through its repr.
        return int(repr(self._count)[_BEFORE_THE_NUMBER:-1])
