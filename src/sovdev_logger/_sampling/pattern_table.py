"""A bounded table of the patterns seen, with exact counts and without a lock."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from sovdev_logger._runtime.atomic_counter import AtomicCounter
from sovdev_logger._sampling.policy import Policy
from sovdev_logger._sampling.signature import digest, pattern_of

WINDOW_SECONDS: Final = 60.0
BOOST_SECONDS: Final = 300.0
JUMP_FACTOR: Final = 5.0
MIN_JUMP: Final = 20
WINDOWS_BEFORE_A_JUMP: Final = 3
_WEIGHT_OF_A_WINDOW: Final = 0.25

_MAX_KEY_CHARACTERS: Final = 256
_ATTEMPTS: Final = 5


class PatternCount(NamedTuple):
    """How often one pattern was seen and kept in a period; times are Unix seconds."""

    signature: str
    seen: int
    kept: int
    first_seen: float
    last_seen: float


class Pattern:
    """One pattern: its counts, its rate under the policy, and its usual frequency.

    Counts are exact, whichever threads raise them. The usual frequency is an estimate, which
    threads may overwrite.

    Attributes:
        see, keep: Raise the counts; each returns what the count was before.
        rate: The policy's rate for this pattern, None if it has none.
        policy: The policy that ``rate`` belongs to.
        window_start, window_end: The minute in which occurrences are counted now.
        alarm_at: The number of occurrences from which the pattern is unusually frequent.
        boosted_until: The end of the time in which more of it is kept.
    """

    __slots__ = (
        "_kept",
        "_mean",
        "_reported_kept",
        "_reported_seen",
        "_seen",
        "_seen_at_start",
        "_windows",
        "alarm_at",
        "boosted_until",
        "first_seen",
        "keep",
        "last_seen",
        "policy",
        "rate",
        "see",
        "signature",
        "window_end",
        "window_start",
    )

    def __init__(self, signature: str, now: float) -> None:
        self.signature = signature
        self._seen, self._kept = AtomicCounter(), AtomicCounter()
        self.see, self.keep = self._seen.increment, self._kept.increment
        self._reported_seen = self._reported_kept = 0
        self.first_seen = self.last_seen = now
        self.rate: float | None = None
        self.policy: Policy | None = None
        self._mean = 0.0
        self._windows = 0
        self._seen_at_start = 0
        self.window_start, self.window_end = now, now + WINDOW_SECONDS
        self.alarm_at = math.inf
        self.boosted_until = 0.0

    def resolve(self, policy: Policy, message: str) -> None:
        """Look up a policy's rate for this pattern, of which ``message`` is an instance."""
        self.rate = policy.rate_for_pattern(self.signature, message)
        self.policy = policy

    def note_jump(self, now: float) -> None:
        """Keep more of this pattern for a while, since it has become far more frequent."""
        self.boosted_until = now + BOOST_SECONDS
        self.alarm_at = math.inf

    def begin_window(self, now: float, seen: int) -> None:
        """Update the mean with the past minute, and begin to count the next one."""
        passed = (now - self.window_start) // WINDOW_SECONDS if now > self.window_start else 1.0
        in_the_window = seen - self._seen_at_start
        if self._windows:
            self._mean += (in_the_window - self._mean) * _WEIGHT_OF_A_WINDOW
        else:
            self._mean = in_the_window
        # Minutes without any occurrence count too.
        self._mean *= (1 - _WEIGHT_OF_A_WINDOW) ** max(0.0, passed - 1)
        self._windows += int(max(1.0, passed))
        self._seen_at_start = seen
        self.window_start, self.window_end = now, now + WINDOW_SECONDS
        if self._windows >= WINDOWS_BEFORE_A_JUMP:
            self.alarm_at = seen + max(MIN_JUMP, self._mean * JUMP_FACTOR)

    def collect_counts(self) -> PatternCount | None:
        """Return the counts since the last call, None if there are none.

        ``kept`` is incremented before ``seen``; an entry in between is reported next time, so
        ``kept`` never exceeds ``seen``.
        """
        seen, kept = self._seen.value(), self._kept.value()
        count = seen - self._reported_seen
        if not count:
            return None
        kept = min(kept - self._reported_kept, count)
        self._reported_seen = seen
        self._reported_kept += kept
        return PatternCount(self.signature, count, kept, self.first_seen, self.last_seen)

    def put_back(self, counts: PatternCount) -> None:
        """Count again what ``collect_counts`` returned and was not delivered."""
        self._reported_seen -= counts.seen
        self._reported_kept -= counts.kept


class PatternTable:
    """The patterns seen last; a new one evicts the one least recently seen.

    Args:
        max_patterns: Maximum number of patterns.

    Attributes:
        by_text: Patterns by their text. A message without values is its own pattern and is found
            here directly.
        evictions: Number of patterns evicted.
    """

    def __init__(self, max_patterns: int) -> None:
        self._max_patterns = max_patterns
        self.by_text: OrderedDict[str, Pattern] = OrderedDict()
        self.evictions = AtomicCounter()

    def find(self, message: str, now: float) -> tuple[Pattern, bool]:
        """Return the pattern of a message, and whether this call added it."""
        text = pattern_of(message)
        key = text if len(text) <= _MAX_KEY_CHARACTERS else digest(text)
        pattern = self.by_text.get(key)
        if pattern is not None:
            try:  # noqa: SIM105 - suppress() costs more than the rest
                self.by_text.move_to_end(key)
            except KeyError:  # another thread has evicted it meanwhile
                pass
            return pattern, False
        new = Pattern(digest(text), now)
        pattern = self.by_text.setdefault(key, new)
        while len(self.by_text) > self._max_patterns:
            self._evict_oldest()
        return pattern, pattern is new

    def __iter__(self) -> Iterator[Pattern]:
        """Iterate over a copy, since threads go on adding."""
        for _ in range(_ATTEMPTS):
            try:
                return iter(list(self.by_text.values()))
            except RuntimeError:  # a finalizer that ran meanwhile added one
                continue
        return iter(())

    def __len__(self) -> int:
        return len(self.by_text)

    def _evict_oldest(self) -> None:
        with suppress(KeyError):
            self.by_text.popitem(last=False)
            self.evictions.increment()
