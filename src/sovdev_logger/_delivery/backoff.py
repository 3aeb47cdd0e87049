"""Pauses between attempts."""

import random
from collections.abc import Callable
from typing import Final

DEFAULT_BASE_SECONDS: Final = 0.5
DEFAULT_CAP_SECONDS: Final = 30.0

_MAX_DOUBLINGS: Final = 30


class Backoff:
    """Exponential backoff with full jitter, capped.

    Args:
        base_seconds: The longest first pause; it doubles with each attempt.
        cap_seconds: No pause is longer, unless the server asked for it.
        uniform: Chooses between two bounds; a test puts its own in place.
    """

    def __init__(
        self,
        base_seconds: float = DEFAULT_BASE_SECONDS,
        cap_seconds: float = DEFAULT_CAP_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._uniform = uniform

    def delay(self, attempt: int, retry_after_seconds: float | None = None) -> float:
        """Return the pause in seconds after failed attempt number ``attempt``, counted from 1.

        It is at least what the server asked for.
        """
        longest = self._base_seconds * 2 ** min(attempt - 1, _MAX_DOUBLINGS)
        jittered = self._uniform(0.0, min(longest, self._cap_seconds))
        return max(jittered, retry_after_seconds or 0.0)
