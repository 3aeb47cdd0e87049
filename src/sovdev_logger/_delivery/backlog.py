"""What waits to be sent: what failed, what is on disk, what did not get there, then the queue.

One thread uses it at a time. It knows where each item is and writes the ledger when that changes.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from sovdev_logger._delivery.exporter import Batch, Exporter
from sovdev_logger._delivery.ledger import NOT_SENT, Ledger
from sovdev_logger._delivery.severity_queue import SeverityQueue
from sovdev_logger._delivery.spool.spool import Spool

_HIGH_FILL_LEVEL: Final = 0.75
_LOW_FILL_LEVEL: Final = 0.5


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is complete.

    Attributes:
        max_records: Items in a batch at most.
        max_bytes: A batch is complete when it passes this size.
        delay_seconds: How long an item waits for others.
    """

    max_records: int = 512
    max_bytes: int = 4 * 1024 * 1024
    delay_seconds: float = 1.0


class Backlog:
    """Gives the oldest items first, and moves what cannot be sent now to disk.

    Args:
        queue: Where callers put items.
        exporter: Knows what the items of this process need around them.
        spool: Where items wait on disk; None for memory only.
        ledger: Gets the fate of each item.
        limits: When a batch is complete.

    Attributes:
        accepted_count: Items that left the queue, or were recovered, in the order in which they
            are sent.
        due_at: When what is in the queue has waited long enough; None when it is empty.
    """

    def __init__(
        self,
        queue: SeverityQueue,
        exporter: Exporter,
        spool: Spool | None,
        ledger: Ledger,
        limits: BatchLimits,
    ) -> None:
        self.accepted_count = 0
        self.due_at: float | None = None
        self._queue = queue
        self._exporter = exporter
        self._spool = spool
        self._ledger = ledger
        self._limits = limits
        self._waiting: deque[Batch] = deque()
        self._unspooled: Batch | None = None  # what the disk refused, newer than what is on it

    @property
    def has_started(self) -> bool:
        """Whether something waits that was to be sent before: it does not wait for others."""
        return bool(self._waiting) or bool(self._spool) or self._unspooled is not None

    @property
    def is_full(self) -> bool:
        """Whether a whole batch is in the queue."""
        return len(self._queue) >= self._limits.max_records

    @property
    def can_spool(self) -> bool:
        """Whether there is a disk to write to, as far as is known."""
        return self._spool is not None and self._spool.is_usable

    def recover(self) -> None:
        """Take over what ended processes left on disk."""
        if self._spool is not None:
            before = self._ledger.fates.recovered
            self._spool.recover()
            self.accepted_count += self._ledger.fates.recovered - before

    def note_put(self) -> None:
        """Note that something was put into the queue."""
        if self.due_at is None:
            self.due_at = time.monotonic() + self._limits.delay_seconds

    def next_batch(self) -> Batch | None:
        """Return the oldest batch, None when nothing waits."""
        if self._waiting:
            return self._waiting.popleft()
        if self._spool:
            spooled = self._spool.take(self._limits.max_records, self._limits.max_bytes)
            if spooled is not None:
                return Batch(spooled.items, spooled.segment.context, spooled)
        if self._unspooled is not None:
            batch, self._unspooled = self._unspooled, None
            return batch
        items = self._take_from_queue()
        return Batch(items, self._exporter.context) if items else None

    def settle(self, batch: Batch, delivered: int, reason: str) -> None:
        """Count the items as delivered, the rest as dropped; none of them is touched again."""
        size = len(batch.items)
        self._ledger.record(
            delivered=delivered,
            spooled=-size if batch.spooled else 0,
            dropped=size - delivered,
            reason=reason,
        )
        if batch.spooled is not None and self._spool is not None:
            self._spool.done(batch.spooled, size)

    def split(self, batch: Batch) -> None:
        """Put both halves of a batch at the end of what waits here."""
        # Both halves of the whole are tried before any quarter, so that a server that refuses
        # everything is recognised soon.
        self._waiting.extend(batch.bisect())

    def take_parts(self) -> list[Batch]:
        """Remove and return what is left of a batch that was split."""
        parts = [one for one in self._waiting if one.is_fragment]
        self._waiting = deque(one for one in self._waiting if not one.is_fragment)
        return parts

    def keep(self, batch: Batch) -> None:
        """Put a batch that failed on disk, unless it is there; else in front of the others."""
        self._check_that_it_is_there(batch)
        if batch.spooled is None and self._spool is not None and self._spool.is_usable:
            batch = self._spooled_rest(self._spool, batch, in_front=True)
        if batch.items:
            self._waiting.appendleft(batch)

    def set_aside(self, body: bytes, suffix: str) -> str | None:
        """Keep a refused request for people to look at; return the folder, None without one."""
        folder = self._spool.set_aside(body, suffix) if self._spool is not None else None
        return None if folder is None else str(folder)

    def relieve_memory(self, *, is_stuck: bool, is_urgent: bool) -> None:
        """Move the queue to disk while the server does not keep up.

        Args:
            is_stuck: The server does not answer at the moment.
            is_urgent: Do not wait for others then.
        """
        if not len(self._queue):
            self.due_at = None
            return
        now = time.monotonic()
        is_due = is_urgent or self.is_full or (self.due_at or now) <= now
        if is_stuck and is_due:
            self._move_to_spool(keep_share=0.0)
        elif self._fill_level() > _HIGH_FILL_LEVEL:
            self._move_to_spool(keep_share=_LOW_FILL_LEVEL)

    def leave_all(self, in_flight: Batch | None) -> None:
        """Put everything on disk for the next process, or count it as dropped."""
        started = [*([in_flight] if in_flight else []), *self._waiting]
        self._waiting.clear()
        for batch in reversed(started):
            self._leave(batch, in_front=True)
        if self._unspooled is not None:
            self._leave(self._unspooled)
            self._unspooled = None
        while items := self._take_from_queue():
            self._leave(Batch(items, self._exporter.context))
        if self._spool is not None:
            self._spool.close()

    def _check_that_it_is_there(self, batch: Batch) -> None:
        """Make a batch whose file somebody removed one that is in memory."""
        spooled = batch.spooled
        if spooled is None or self._spool is None or spooled.segment.path.exists():
            return
        self._ledger.record(spooled=-len(batch.items))
        self._spool.done(spooled, len(batch.items))
        self._spool.forget_vanished()
        batch.spooled = None

    def _leave(self, batch: Batch, *, in_front: bool = False) -> None:
        self._check_that_it_is_there(batch)
        spooled = batch.spooled
        if self._spool is None:
            self.settle(batch, 0, NOT_SENT)
        elif spooled is None:
            self.settle(self._spooled_rest(self._spool, batch, in_front=in_front), 0, NOT_SENT)
        elif spooled.open_count < len(spooled.items):
            # Some of its block was settled: what is left becomes a block of its own.
            rest = self._spooled_rest(self._spool, batch, in_front=in_front)
            kept = len(batch.items) - len(rest.items)
            self.settle(rest, 0, NOT_SENT)
            self._ledger.record(spooled=-kept)
            self._spool.done(spooled, kept)

    def _spooled_rest(self, spool: Spool, batch: Batch, *, in_front: bool = False) -> Batch:
        """Write a batch to the spool and return what did not get there."""
        in_front = in_front and bool(spool)
        written = spool.append(batch.items, batch.context, in_front=in_front)
        return Batch(batch.items[written:], batch.context, batch.spooled, batch.is_fragment)

    def _move_to_spool(self, keep_share: float) -> None:
        spool = self._spool
        while spool is not None and spool.is_usable:
            batch = self._unspooled
            if batch is None:
                items = self._take_from_queue() if self._fill_level() > keep_share else []
                batch = Batch(items, self._exporter.context)
            if not batch.items:
                return
            rest = self._spooled_rest(spool, batch)
            self._unspooled = rest if rest.items else None
            if self._unspooled is not None:
                return  # no more than one batch: else a disk that refuses would unbound the memory

    def _fill_level(self) -> float:
        queue = self._queue
        return max(len(queue) / queue.max_records, queue.queued_bytes / queue.max_bytes)

    def _take_from_queue(self) -> list[bytes]:
        items = self._queue.take(self._limits.max_records, self._limits.max_bytes)
        self.accepted_count += len(items)
        self.due_at = time.monotonic() + self._limits.delay_seconds if len(self._queue) else None
        return items
