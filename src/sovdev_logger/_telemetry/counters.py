"""Plain counters that calls increment, and that instruments read when they export."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sovdev_logger._entry.levels import Level
from sovdev_logger._runtime.atomic_counter import AtomicCounter

MAX_LABEL_SETS: Final = 2000
"""The SDK's own default; label values beyond it are counted together as overflow."""

MAX_LABEL_CHARACTERS: Final = 256
"""Longer label values count as overflow, too: memory is bounded whatever callers pass."""

OVERFLOW: Final = "otel.metric.overflow"

_MAX_PENDING_DURATIONS: Final = 10_000
"""Durations kept for the exporting thread; a caller that exceeds it hands them over itself."""


class EntryLabels(NamedTuple):
    """The labels of an entry's count; all blank means the overflow."""

    peer_service: str
    log_level: str
    log_type: str
    failed: bool
    is_error: bool


_OVERFLOW_LABELS: Final = EntryLabels("", "", "", failed=False, is_error=False)
_OVERFLOW_ERROR_LABELS: Final = EntryLabels("", "", "", failed=False, is_error=True)


class EntryCounts:
    """Counts entries by peer, level, type and whether there was an exception."""

    def __init__(self) -> None:
        self._table: dict[tuple[str, str, str, bool], AtomicCounter] = {}
        self._overflow = {False: AtomicCounter(), True: AtomicCounter()}

    def reset(self) -> None:
        """Start from zero, with fresh locks: in a forked child the counts are the parent's."""
        self._table.clear()
        self._overflow = {False: AtomicCounter(), True: AtomicCounter()}

    def count(self, peer: str, level: Level, log_type: str, *, failed: bool) -> None:
        """Add one entry. Atomic; takes no lock."""
        key = (peer, level.name, log_type, failed)
        counter = self._table.get(key)
        if counter is None:
            if len(self._table) >= MAX_LABEL_SETS or len(peer) > MAX_LABEL_CHARACTERS:
                counter = self._overflow[level.is_error or failed]
            else:
                counter = self._table.setdefault(key, AtomicCounter())
        counter.increment()

    def read(self) -> Iterator[tuple[EntryLabels, int]]:
        """Yield each label set with its count since the start."""
        for (peer, level, log_type, failed), counter in list(self._table.items()):
            is_error = failed or level in {"error", "fatal"}
            yield EntryLabels(peer, level, log_type, failed, is_error), counter.value()
        for is_error, counter in self._overflow.items():
            value = counter.value()
            if value:
                yield (_OVERFLOW_ERROR_LABELS if is_error else _OVERFLOW_LABELS), value


class SpanLabels(NamedTuple):
    """The labels of a span's count, and its process: a fork's parent counts its own spans."""

    peer_service: str
    operation_name: str
    generation: int = 0


class SpanCounts:
    """Counts spans that are open, and keeps the durations of ended ones until they are exported.

    The SDK's histogram takes a lock that a signal handler could meet held, so it is fed by the
    exporting thread and not by the caller.
    """

    def __init__(self) -> None:
        self._started: dict[SpanLabels, AtomicCounter] = {}
        self._ended: dict[SpanLabels, AtomicCounter] = {}
        self._durations: deque[tuple[SpanLabels, float]] = deque()
        self._generation = 0
        self.hand_over: Callable[[], None] = self._durations.clear

    def reset(self) -> None:
        """Start from zero, as ``EntryCounts.reset`` does."""
        self._started.clear()
        self._ended.clear()
        self._durations.clear()
        self._generation += 1

    def labels(self, peer: str, operation_name: str) -> SpanLabels:
        """Return a span's labels; beyond the maximum they share the overflow."""
        labels = SpanLabels(peer, operation_name, self._generation)
        is_short = len(peer) + len(operation_name) <= 2 * MAX_LABEL_CHARACTERS
        if labels in self._started or (is_short and len(self._started) < MAX_LABEL_SETS):
            return labels
        return SpanLabels("", "", self._generation)

    def start(self, labels: SpanLabels) -> None:
        """Count a span as open."""
        self._started.setdefault(labels, AtomicCounter()).increment()

    def end(self, labels: SpanLabels, duration_ms: float) -> None:
        """Count a span as ended and keep its duration, unless a fork's parent started it."""
        if labels.generation != self._generation:
            return
        self._ended.setdefault(labels, AtomicCounter()).increment()
        self._durations.append((labels, duration_ms))
        if len(self._durations) > _MAX_PENDING_DURATIONS:
            self.hand_over()

    def active(self) -> Iterator[tuple[SpanLabels, int]]:
        """Yield each label set with the number of spans that are open now."""
        for labels, started in list(self._started.items()):
            ended = self._ended.get(labels)
            # Read in this order, a span that ends meanwhile cannot make the number negative.
            ended_count = ended.value() if ended else 0
            yield labels, started.value() - ended_count

    def take_durations(self) -> Iterator[tuple[SpanLabels, float]]:
        """Yield and forget the durations, in milliseconds, of spans that ended since last time."""
        while True:
            try:
                yield self._durations.popleft()
            except IndexError:
                return
