"""Everything waiting to be sent, oldest first.

Failed batches come first, then spooled ones, those that the spool refused, and the queue.
One thread uses it at a time. It knows where each item is and updates the ledger when that changes.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.exporter import Exporter
from sovdev_logger._delivery.ledger import NOT_SENT, Ledger
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.severity_queue import SeverityQueue
from sovdev_logger._delivery.spool.spool import Spool, Spooled
from sovdev_logger._runtime.selflog import warn_once

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


@dataclass(slots=True, eq=False)
class Batch:
    """Items that are sent together, and their place in the spool, if they have one.

    Attributes:
        is_fragment: Whether it is part of a batch that the server rejected or answered in part.
    """

    items: Sequence[bytes]
    context: bytes
    spooled: Spooled | None = None
    is_fragment: bool = False

    def bisect(self) -> "tuple[Batch, Batch]":
        """Return its two halves."""
        return self.split_at(len(self.items) // 2)

    def split_at(self, index: int) -> "tuple[Batch, Batch]":
        """Return the items before ``index``, and the rest."""
        first, second = self.items[:index], self.items[index:]
        return (
            Batch(first, self.context, self.spooled, is_fragment=True),
            Batch(second, self.context, self.spooled, is_fragment=True),
        )


class Backlog:
    """Hands out the oldest items first and spools those that cannot be sent now.

    Args:
        name: What the items are, in the plural, for warnings.
        queue: Where callers put items.
        exporter: Knows the context of this process's items and the form of a request.
        spool: Where items wait on disk; None for memory only.
        ledger: Gets the fate of each item.
        limits: When a batch is complete.

    Attributes:
        accepted_count: Items that left the queue, or were recovered, in the order in which they
            are sent.
        due_at: When the oldest item in the queue has waited long enough; None when it is empty.
    """

    def __init__(
        self,
        name: str,
        queue: SeverityQueue,
        exporter: Exporter,
        spool: Spool | None,
        ledger: Ledger,
        limits: BatchLimits,
    ) -> None:
        self.accepted_count = 0
        self.due_at: float | None = None
        self._name = name
        self._queue = queue
        self._exporter = exporter
        self._spool = spool
        self._ledger = ledger
        self._limits = limits
        self._waiting: deque[Batch] = deque()
        self._unspooled: Batch | None = None  # refused by the disk, newer than what is on it

    @property
    def has_started(self) -> bool:
        """Whether older work is pending; it is sent without waiting for a full batch."""
        return bool(self._waiting) or bool(self._spool) or self._unspooled is not None

    @property
    def is_full(self) -> bool:
        """Whether a whole batch is in the queue."""
        return len(self._queue) >= self._limits.max_records

    @property
    def can_spool(self) -> bool:
        """Whether there is a spool whose last write did not fail just now."""
        return self._spool is not None and self._spool.is_usable

    def recover(self) -> None:
        """Recover the segments of ended processes."""
        if self._spool is not None:
            before = self._ledger.counts.recovered
            self._spool.recover()
            self.accepted_count += self._ledger.counts.recovered - before

    def note_put(self) -> None:
        """Start the delay of the first item in the queue."""
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

    def accept(self, batch: Batch, result: SendResult) -> None:
        """Settle a batch that the server accepted, in whole or in part."""
        self.settle(batch, result.delivered, "refused: partial success")
        if result.delivered < len(batch.items):
            self._warn_rejected(len(batch.items) - result.delivered, result.reason)

    def reject(self, batch: Batch, reason: str | None) -> None:
        """Drop a batch that the server rejected; a copy of the request is set aside for people."""
        folder = None
        if self._spool is not None:
            body = self._exporter.body(batch.items, batch.context)
            folder = self._spool.set_aside(body, self._exporter.suffix)
        self.settle(batch, 0, f"refused: {reason}")
        self._warn_rejected(len(batch.items), reason, folder)

    def settle(self, batch: Batch, delivered: int, reason: str) -> None:
        """Count ``delivered`` items as delivered and the rest as dropped, for good."""
        size = len(batch.items)
        delivered = min(max(0, delivered), size)  # whatever a server counts, the ledger adds up
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
        # Both halves are tried before any quarter: a server that rejects everything shows soon.
        self._waiting.extend(batch.bisect())

    def take_fragments(self) -> list[Batch]:
        """Remove and return the fragments of a batch that was split."""
        fragments = [batch for batch in self._waiting if batch.is_fragment]
        self._waiting = deque(batch for batch in self._waiting if not batch.is_fragment)
        return fragments

    def keep(self, batch: Batch, result: SendResult) -> None:
        """Keep a failed batch: on disk if possible, else in front of the others in memory.

        Items that the server answered for before it failed are settled.
        """
        if result.settled:
            done, batch = batch.split_at(result.settled)
            self.settle(done, result.delivered, "refused: rejected")
        if result.may_have_arrived:
            self._ledger.record(repeated=len(batch.items))
        self._check_file_exists(batch)
        if batch.spooled is None and self._spool is not None and self._spool.is_usable:
            batch = self._spooled_rest(self._spool, batch, in_front=True)
        if batch.items:
            self._waiting.appendleft(batch)

    def relieve_memory(self, *, is_stuck: bool, is_urgent: bool) -> None:
        """Spool the queue while the server does not keep up.

        Args:
            is_stuck: The server does not answer at the moment.
            is_urgent: Whether to spool at once, without waiting for a full batch.
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
        """Spool everything for the next process, or count it as dropped."""
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

    def _warn_rejected(self, count: int, reason: str | None, folder: Path | None = None) -> None:
        fate = "dropped" if folder is None else f"set aside in {folder}"
        warn_once(
            f"refused:{self._name}:{reason}",
            f"the server rejected {count} {self._name} ({reason}); they were {fate} and "
            "sovdev_status() counts them. The server's own log says what is wrong with them.",
        )

    def _check_file_exists(self, batch: Batch) -> None:
        """Treat a batch whose segment was removed by somebody as one in memory."""
        spooled = batch.spooled
        if spooled is None or self._spool is None or spooled.segment.path.exists():
            return
        self._ledger.record(spooled=-len(batch.items))
        self._spool.done(spooled, len(batch.items))
        self._spool.forget_vanished()
        batch.spooled = None

    def _leave(self, batch: Batch, *, in_front: bool = False) -> None:
        self._check_file_exists(batch)
        spooled = batch.spooled
        if self._spool is None:
            self.settle(batch, 0, NOT_SENT)
        elif spooled is None:
            self.settle(self._spooled_rest(self._spool, batch, in_front=in_front), 0, NOT_SENT)
        elif spooled.open_count < len(spooled.items):
            # Part of its block is settled: the rest becomes a block of its own.
            rest = self._spooled_rest(self._spool, batch, in_front=in_front)
            kept = len(batch.items) - len(rest.items)
            self.settle(rest, 0, NOT_SENT)
            self._ledger.record(spooled=-kept)
            self._spool.done(spooled, kept)

    def _spooled_rest(self, spool: Spool, batch: Batch, *, in_front: bool = False) -> Batch:
        """Write a batch to the spool and return the part that was not written."""
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
                return  # one batch at most: a disk that refuses must not unbound the memory

    def _fill_level(self) -> float:
        queue = self._queue
        return max(len(queue) / queue.max_records, queue.queued_bytes / queue.max_bytes)

    def _take_from_queue(self) -> list[bytes]:
        items = self._queue.take(self._limits.max_records, self._limits.max_bytes)
        self.accepted_count += len(items)
        self.due_at = time.monotonic() + self._limits.delay_seconds if len(self._queue) else None
        return items
