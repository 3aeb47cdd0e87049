"""The sampler: decides which entries are kept and at which rate, and counts them."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from zlib import crc32

from sovdev_logger._entry.levels import INFO, LEVELS, Level, level_of_number
from sovdev_logger._entry.sample_rate import KEEP_ALL, NOT_SAMPLED, RATE_ATTRIBUTE
from sovdev_logger._runtime.atomic_counter import AtomicCounter
from sovdev_logger._runtime.fork import Phase, register_for_fork
from sovdev_logger._sampling.pattern_table import Pattern, PatternCount, PatternTable
from sovdev_logger._sampling.policy import LOCAL_DEFAULTS, Policy
from sovdev_logger._settings.sampling import DEFAULT_MAX_PATTERNS

_CRC_VALUES: Final = 2**32


class Report(NamedTuple):
    """The counts of one period; the total is exact, some patterns may have been evicted."""

    total: int
    unique_patterns: int
    patterns: list[PatternCount]


class _Rates(NamedTuple):
    """A policy and what the hot path needs of it; replaced as a whole."""

    policy: Policy
    by_level: Mapping[str, float]
    of_traces: float
    boost: float


def _rates_for(policy: Policy) -> _Rates:
    by_level = {level.name: policy.rate_for_level(level) for level in LEVELS}
    return _Rates(policy, by_level, by_level[INFO.name], policy.anomaly_boost)


class _LevelCounts:
    """How many entries of one level were seen, and how many were kept."""

    __slots__ = ("keep", "kept", "see", "seen")

    def __init__(self) -> None:
        self.seen, self.kept = AtomicCounter(), AtomicCounter()
        self.see, self.keep = self.seen.increment, self.kept.increment


class Sampler:
    """Decides about entries, and counts them by pattern and level.

    Errors, entries with an exception, job status and the first of a pattern are always kept. For
    others the rate of the pattern, of the level or the global one decides, by chance or by trace.
    Thread and signal safe: it holds no lock. Never raises.

    Args:
        policy: The rates until a server sends others.
        max_patterns: Maximum number of patterns in the table.
        by_trace: Whether traces are kept or dropped as a whole.
        from_template: Whether a stdlib record's pattern is that of its template, before its
            arguments are inserted.
        clock: Returns Unix seconds.
        chance: Draws a number in [0, 1); by default from a private generator.
    """

    def __init__(
        self,
        policy: Policy = LOCAL_DEFAULTS,
        *,
        max_patterns: int = DEFAULT_MAX_PATTERNS,
        by_trace: bool = False,
        from_template: bool = False,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.by_trace = by_trace
        self.from_template = from_template
        self.on_new_pattern: Callable[[], object] | None = None
        self._max_patterns = max_patterns
        self._clock = clock
        self._generator = random.Random()  # noqa: S311 - sampling is not secret
        self._draw = chance or self._generator.random
        self._rates = _rates_for(policy)
        self._policy_since = time.monotonic()
        self._reported = self._reported_evictions = 0
        self._start_counting()
        register_for_fork(Phase.SAMPLERS, self)

    @property
    def policy(self) -> Policy:
        """The policy in use."""
        return self._rates.policy

    @property
    def policy_age_seconds(self) -> float:
        """Seconds since the policy was set or confirmed."""
        return max(0.0, time.monotonic() - self._policy_since)

    def set_policy(self, policy: Policy) -> None:
        """Apply another policy from now on."""
        self._policy_since = time.monotonic()
        if policy != self.policy:
            self._rates = _rates_for(policy)

    def decide(
        self,
        level: Level,
        message: str,
        always: bool = False,  # noqa: FBT001, FBT002 - by position it costs less
        trace_digits: str | None = None,
    ) -> float:
        """Return the rate at which an entry is kept, ``NOT_SAMPLED`` if it is not.

        Args:
            level: The entry's.
            message: The entry's, which determines its pattern.
            always: Whether the entry must be kept.
            trace_digits: The trace id as 32 hex digits, if the entry belongs to a trace.
        """
        pattern = None
        try:
            now = self._clock()
            by_text = self._patterns.by_text
            pattern = by_text.get(message)
            is_new = False
            if pattern is None:
                pattern, is_new = self._patterns.find(message, now)
            else:
                by_text.move_to_end(message)
            if is_new and self.on_new_pattern is not None:
                self.on_new_pattern()
            if is_new or always or level.is_error:
                rate = KEEP_ALL
            else:
                rate = self._rate(pattern, now, level, message, trace_digits)
        except Exception:  # noqa: BLE001 - an undecided entry is kept
            now, rate = 0.0, KEEP_ALL
        self._count(level, pattern, rate, now)
        return rate

    def _count(self, level: Level, pattern: Pattern | None, rate: float, now: float) -> None:
        """Count an entry as kept before it counts as seen; collect_counts relies on the order."""
        counts = self._levels[level.name]
        if rate:
            counts.keep()
            if pattern is not None:
                pattern.keep()
        if pattern is not None:
            number = pattern.see()
            pattern.last_seen = now
            if not pattern.window_start <= now < pattern.window_end:
                pattern.begin_window(now, number + 1)
            elif number >= pattern.alarm_at:
                pattern.note_jump(now)
        counts.see()

    def _rate(
        self, pattern: Pattern, now: float, level: Level, message: str, trace_digits: str | None
    ) -> float:
        """Return the rate at which an entry of a known pattern is kept, 0 if it is not."""
        rates = self._rates
        if self.by_trace and trace_digits is not None:
            # Hashed, because parts of an id may be the same in many of them.
            drawn = crc32(trace_digits.encode()) / _CRC_VALUES
            return rates.of_traces if drawn < rates.of_traces else NOT_SAMPLED
        if pattern.policy is not rates.policy:
            pattern.resolve(rates.policy, message)
        rate = pattern.rate
        if rate is None:
            rate = rates.by_level[level.name]
        if now < pattern.boosted_until:
            rate = min(KEEP_ALL, rate * rates.boost)
        return rate if rate >= KEEP_ALL or self._draw() < rate else NOT_SAMPLED

    def decide_record(self, record: logging.LogRecord, trace_digits: str | None = None) -> float:
        """Return the rate at which a stdlib record is kept; the decision is made once a record."""
        rate: float | None = record.__dict__.get(RATE_ATTRIBUTE)
        if rate is None:
            rate = self.decide(
                level_of_number(record.levelno),
                self._message_of(record),
                always=record.exc_info is not None and record.exc_info[0] is not None,
                trace_digits=trace_digits,
            )
            record.__dict__[RATE_ATTRIBUTE] = rate
        return rate

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return by level how many entries were kept, and how many were sampled out."""
        seen = {name: counts.seen.value() for name, counts in self._levels.items()}
        kept = {name: counts.kept.value() for name, counts in self._levels.items()}
        # An entry in between may be counted as kept already.
        return kept, {name: max(0, seen[name] - kept[name]) for name in seen}

    @property
    def patterns_tracked(self) -> int:
        """How many patterns are in the table."""
        return len(self._patterns)

    def collect_report(self) -> Report:
        """Return the counts since the last report; for one thread at a time.

        An entry counts in its pattern before it counts in the total, and the total is read first.
        So counts missing in the patterns were in evicted ones, nothing counts twice, and when no
        entry is in between the totals of all reports add up to the entries seen.
        """
        seen = sum(counts.seen.value() for counts in self._levels.values())
        evicted = self._patterns.evictions.value() - self._reported_evictions
        patterns = [counts for pattern in self._patterns if (counts := pattern.collect_counts())]
        total = max(seen - self._reported, sum(counts.seen for counts in patterns))
        self._reported += total
        self._reported_evictions += evicted
        return Report(total, len(patterns) + evicted, patterns)

    def put_back(self, report: Report) -> None:
        """Count a report again that was not delivered."""
        by_signature = {pattern.signature: pattern for pattern in self._patterns}
        for counts in report.patterns:
            pattern = by_signature.get(counts.signature)
            if pattern is not None:
                pattern.put_back(counts)
        self._reported -= report.total
        self._reported_evictions -= report.unique_patterns - len(report.patterns)

    def reset_after_fork(self) -> None:
        """Start a forked child with counts and random numbers of its own."""
        self._generator.seed()
        self._start_counting()

    def _start_counting(self) -> None:
        self._patterns = PatternTable(self._max_patterns)
        self._levels = {level.name: _LevelCounts() for level in LEVELS}
        self._reported = self._reported_evictions = 0

    def _message_of(self, record: logging.LogRecord) -> str:
        if type(record.msg) is str and (self.from_template or not record.args):
            return record.msg
        try:
            return record.getMessage()
        except Exception:  # noqa: BLE001 - the arguments may not fit the format, or raise
            return record.msg if isinstance(record.msg, str) else type(record.msg).__name__
