"""A bounded queue of finished bytes: what overflows is the oldest, and it is counted."""

from collections import deque
from typing import Final

from sovdev_logger.selflog import warn_once

DEFAULT_MAX_RECORDS: Final = 65_536
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024


class BoundedQueue:
    """Items between one putting and one taking side, which share no lock.

    The deque's own operations are atomic, and each side keeps counts that only it writes. The
    putting side serialises its callers (an output's turnstile does).
    """

    def __init__(self, name: str, max_records: int, max_bytes: int) -> None:
        self.put_count = 0
        self.overflow_count = 0
        self.max_records = max_records
        self._name = name
        self._max_bytes = max_bytes
        self._items: deque[bytes] = deque()
        self._put_bytes = self._overflow_bytes = self._taken_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: bytes) -> int:
        """Add an item and return how many wait; over a bound the oldest go."""
        self._items.append(item)
        self.put_count += 1
        self._put_bytes += len(item)
        queued = len(self._items)
        if queued > self.max_records or self._queued_bytes() > self._max_bytes:
            self._make_room()
        return queued

    def take(self, max_records: int, max_bytes: int) -> list[bytes]:
        """Remove and return the oldest items: so many, or as many as pass ``max_bytes``."""
        taken: list[bytes] = []
        size = 0
        while len(taken) < max_records and size < max_bytes:
            try:
                item = self._items.popleft()
            except IndexError:
                break
            taken.append(item)
            size += len(item)
            self._taken_bytes += len(item)
        return taken

    def _queued_bytes(self) -> int:
        return self._put_bytes - self._taken_bytes - self._overflow_bytes

    def _make_room(self) -> None:
        while len(self._items) > self.max_records or self._queued_bytes() > self._max_bytes:
            try:
                item = self._items.popleft()
            except IndexError:
                break  # the taking side was faster
            self.overflow_count += 1
            self._overflow_bytes += len(item)
        warn_once(
            f"overflow:{self._name}",
            f"the queue of {self._name} is full and the oldest are dropped; the collector is slow "
            "or down, check OTEL_EXPORTER_OTLP_ENDPOINT.",
        )
