"""A bounded queue of encoded items; a full one drops the least severe first, counted."""

from collections import deque
from collections.abc import Callable
from typing import Final

from sovdev_logger._runtime.selflog import warn_once

DEFAULT_SEVERITY: Final = 9
"""OpenTelemetry's number for info."""

NOTE_SECONDS: Final = 0.1
"""How precisely the time at which the oldest item was put is known."""

_SEVERITIES_PER_LANE: Final = 4
_LANES: Final = 6
_FIRST_RESERVED_LANE: Final = 3
"""Warn and above have an eighth of the room that others cannot take."""

Item = tuple[int, bytes]


class SeverityQueue:
    """A queue with one putting and one taking side, which share no lock.

    Each severity has a lane, so that the oldest item of the lowest severity is found at once;
    numbers keep the order across lanes. A deque's own operations are atomic, and each counter is
    written by one side only. The putting side serialises its callers (an output's turnstile does).

    Args:
        name: What the items are, in the plural, for warnings.
        max_records, max_bytes: The bounds.
        wait_for_room: Called before anything is dropped, with a function that tells whether the
            queue is still full; returns when it is not, or when waiting does not help.

    Attributes:
        put_count, taken_count, overflow_count: How many items were put, taken and dropped so far.
    """

    def __init__(
        self,
        name: str,
        max_records: int,
        max_bytes: int,
        wait_for_room: Callable[[Callable[[], bool]], None] | None = None,
    ) -> None:
        self.put_count = 0
        self.overflow_count = 0
        self.max_records = max_records
        self.max_bytes = max_bytes
        self._name = name
        self._wait_for_room = wait_for_room
        self._ordinary_records = max(1, max_records - max_records // 8)
        self._ordinary_bytes = max_bytes - max_bytes // 8
        self._lanes: tuple[deque[Item], ...] = tuple(deque() for _ in range(_LANES))
        self.taken_count = 0
        # The putting side writes what was put and not dropped, the taking side what it took.
        self._put_bytes = self._taken_bytes = 0
        self._ordinary_put_bytes = self._ordinary_taken_bytes = 0

    def __len__(self) -> int:
        return self.put_count - self.taken_count - self.overflow_count

    @property
    def queued_bytes(self) -> int:
        """The size of the queued items."""
        return self._put_bytes - self._taken_bytes

    def put(self, item: bytes, severity: int = DEFAULT_SEVERITY) -> int:
        """Add an item and return how many are queued; a full queue drops the least severe first.

        Args:
            item: Encoded bytes.
            severity: OpenTelemetry's severity number, 1 to 24.
        """
        number = self.put_count + 1
        # Counted before it can be taken: no item has a fate before it is logged.
        self.put_count = number
        self._put_bytes += len(item)
        lane = (severity - 1) // _SEVERITIES_PER_LANE
        if lane < _FIRST_RESERVED_LANE:
            self._ordinary_put_bytes += len(item)
        self._lanes[lane].append((number, item))
        queued = number - self.taken_count - self.overflow_count
        if queued > self._ordinary_records or self.queued_bytes > self._ordinary_bytes:
            self._make_room()
        return queued

    def skip(self) -> None:
        """Count an item that was lost before it could be put; for the taking side's own items."""
        self.put_count += 1
        self.taken_count += 1

    def take(self, max_records: int, max_bytes: int) -> list[bytes]:
        """Remove and return the oldest items, until there are enough or they pass ``max_bytes``."""
        taken: list[bytes] = []
        size = 0
        while len(taken) < max_records and size < max_bytes:
            heads = self._heads()
            if not heads:
                break
            index = heads[0][1]
            lane = self._lanes[index]
            # Up to here the lane's items are older than those of every other lane.
            last = heads[1][0] if len(heads) > 1 else self.put_count
            while len(taken) < max_records and size < max_bytes:
                try:
                    if lane[0][0] > last:
                        break
                    item = lane.popleft()[1]
                except IndexError:  # the putting side was faster
                    break
                taken.append(item)
                size += len(item)
                self.taken_count += 1
                self._taken_bytes += len(item)
                if index < _FIRST_RESERVED_LANE:
                    self._ordinary_taken_bytes += len(item)
        return taken

    def holds_any_up_to(self, number: int) -> bool:
        """Return whether one of the first ``number`` items is still queued."""
        heads = self._heads()
        return bool(heads) and heads[0][0] <= number

    def _heads(self) -> list[tuple[int, int]]:
        """Return the number and lane of each lane's oldest item, oldest first."""
        heads = []
        for index, lane in enumerate(self._lanes):
            try:
                heads.append((lane[0][0], index))
            except IndexError:
                continue
        heads.sort()
        return heads

    def _make_room(self) -> None:
        if self._wait_for_room is not None and self._is_over():
            self._wait_for_room(self._is_over)
        dropped = self.overflow_count
        while self._is_ordinary_over_its_share():
            if not self._drop_oldest(self._lanes[:_FIRST_RESERVED_LANE]):
                break
        while self._is_full():
            if not self._drop_oldest(self._lanes):
                break
        if self.overflow_count > dropped:
            warn_once(
                f"overflow:{self._name}",
                f"the queue of {self._name} is full and the oldest of the lowest severity are "
                "dropped; the collector is slow or down and there is no spool with room: check "
                "OTEL_EXPORTER_OTLP_ENDPOINT, SOVDEV_SPOOL_DIR and SOVDEV_SPOOL_MAX_BYTES.",
            )

    def _is_over(self) -> bool:
        return self._is_full() or self._is_ordinary_over_its_share()

    def _is_full(self) -> bool:
        return len(self) > self.max_records or self.queued_bytes > self.max_bytes

    def _is_ordinary_over_its_share(self) -> bool:
        records = sum(map(len, self._lanes[:_FIRST_RESERVED_LANE]))
        size = self._ordinary_put_bytes - self._ordinary_taken_bytes
        return records > self._ordinary_records or size > self._ordinary_bytes

    def drop_oldest(self) -> bool:
        """Drop the oldest item of the lowest severity; return False for an empty queue."""
        return self._drop_oldest(self._lanes)

    def _drop_oldest(self, lanes: tuple[deque[Item], ...]) -> bool:
        """Drop the oldest item of the lowest severity; return False for an empty queue."""
        for index, lane in enumerate(lanes):
            try:
                _, item = lane.popleft()
            except IndexError:
                continue
            self.overflow_count += 1
            self._put_bytes -= len(item)
            if index < _FIRST_RESERVED_LANE:
                self._ordinary_put_bytes -= len(item)
            return True
        return False


class PutTimes:
    """Knows when the oldest item of a queue was put, without reading the clock for each put.

    The taking side notes now and then how many items were put so far: they were put before.
    """

    def __init__(self, queue: SeverityQueue) -> None:
        self._queue = queue
        self._notes: deque[tuple[int, float]] = deque()

    @property
    def oldest_at(self) -> float | None:
        """When the oldest item was put at the latest; None for an empty queue."""
        return self._notes[0][1] if self._notes else None

    @property
    def note_at(self) -> float | None:
        """When to note the items that were put since the last note; None without any."""
        if not self._notes or self._notes[-1][0] == self._queue.put_count:
            return None
        return self._notes[-1][1] + NOTE_SECONDS

    def note(self, now: float) -> None:
        """Note what was put, and forget what was taken."""
        queue, notes = self._queue, self._notes
        put_count = queue.put_count
        if not len(queue):
            notes.clear()
            return
        while notes and not queue.holds_any_up_to(notes[0][0]):
            notes.popleft()
        if not notes or (notes[-1][0] < put_count and notes[-1][1] + NOTE_SECONDS <= now):
            notes.append((put_count, now))
