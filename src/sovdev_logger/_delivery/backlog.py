"""Everything waiting to be sent, oldest first.

Failed batches come first, then spooled ones, those that the spool refused, and the queue.
One thread uses it at a time. It knows where each item is and updates the ledger when that changes.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.exporter import Exporter
from sovdev_logger._delivery.ledger import NOT_SENT, Ledger
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.severity_queue import PutTimes, SeverityQueue
from sovdev_logger._delivery.spool.folder import has_vanished
from sovdev_logger._delivery.spool.reader import Spooled
from sovdev_logger._delivery.spool.spool import Spool
from sovdev_logger._runtime.selflog import warn_once

_HIGH_FILL_LEVEL: Final = 0.75
_LOW_FILL_LEVEL: Final = 0.5

MAX_SECONDS_IN_MEMORY: Final = 0.9
"""What waits longer is on disk: a second, less what it takes to notice and to write."""

_SECONDS_TO_ANSWER: Final = 0.15
"""A server that answers a batch within this time after its delay costs no disk."""

_SECONDS_BETWEEN_PASSES: Final = 0.1
_SECONDS_UNTIL_USABLE: Final = 1.0


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
    delay_seconds: float = 0.75


@dataclass(slots=True, eq=False)
class Batch:
    """Items that are sent together, and their place in the spool, if they have one.

    Attributes:
        is_fragment: Whether it is part of a batch that the server rejected or answered in part.
        put_at: When the oldest of its items was put, if they come from the queue.
    """

    items: Sequence[bytes]
    context: bytes
    spooled: Spooled | None = None
    is_fragment: bool = False
    put_at: float = math.inf

    def bisect(self) -> "tuple[Batch, Batch]":
        """Return its two halves."""
        return self.split_at(len(self.items) // 2)

    def split_at(self, index: int) -> "tuple[Batch, Batch]":
        """Return the items before ``index``, and the rest."""
        first, second = self.items[:index], self.items[index:]
        return (
            Batch(first, self.context, self.spooled, is_fragment=True, put_at=self.put_at),
            Batch(second, self.context, self.spooled, is_fragment=True, put_at=self.put_at),
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
        self._name = name
        self._queue = queue
        self._exporter = exporter
        self._spool = spool
        self._ledger = ledger
        self._limits = limits
        self._put_times = PutTimes(queue)
        self._keep_after = max(MAX_SECONDS_IN_MEMORY, limits.delay_seconds + _SECONDS_TO_ANSWER)
        self._passed_at = 0.0
        self._waiting: deque[Batch] = deque()
        self._unspooled: Batch | None = None  # refused by the disk, newer than what is on it

    @property
    def has_started(self) -> bool:
        """Whether older work is pending; it is sent without waiting for a full batch."""
        is_readable = self._spool is not None and self._spool.due_at <= time.monotonic()
        return bool(self._waiting) or is_readable or self._unspooled is not None

    @property
    def is_full(self) -> bool:
        """Whether a whole batch is in the queue."""
        return len(self._queue) >= self._limits.max_records

    @property
    def due_at(self) -> float:
        """When the oldest item in the queue has waited for others; infinity when it is empty."""
        return (self._put_times.oldest_at or math.inf) + self._limits.delay_seconds

    def recover(self) -> None:
        """Recover the segments of ended processes."""
        if self._spool is not None:
            before = self._ledger.counts.recovered
            self._spool.recover()
            self.accepted_count += self._ledger.counts.recovered - before

    def add(self, item: bytes, *, is_blocked: bool) -> None:  # noqa: ARG002 - for subclasses
        """Put an item that this thread made itself."""
        self._queue.put(item)

    def lose(self, reason: str) -> None:
        """Count an item that this thread could not make."""
        self._queue.skip()
        self.accepted_count += 1
        self._ledger.record(dropped=1, reason=reason)

    def note_puts(self) -> None:
        """Note the time, by which the age of the oldest item in the queue is known."""
        self._put_times.note(time.monotonic())

    def next_batch(self) -> Batch | None:
        """Return the oldest batch, None when nothing waits."""
        if self._waiting:
            return self._waiting.popleft()
        if self._spool is not None:
            before = self._ledger.counts.recovered
            spooled = self._spool.take(self._limits.max_records, self._limits.max_bytes)
            self.accepted_count += self._ledger.counts.recovered - before
            if spooled is not None:
                return Batch(spooled.items, spooled.context, spooled)
        if self._unspooled is not None:
            batch, self._unspooled = self._unspooled, None
            return batch
        return self._take_from_queue()

    def accept(self, batch: Batch, result: SendResult) -> None:
        """Settle a batch that the server accepted, in whole or in part."""
        self.settle(batch, result.delivered, "refused: partial success")
        if result.delivered < len(batch.items):
            self._warn_rejected(len(batch.items) - result.delivered, result)

    def reject(self, batch: Batch, result: SendResult) -> None:
        """Drop a batch that the server rejected; a copy of the request is set aside for people."""
        folder = None
        if self._spool is not None:
            body = self._exporter.body(batch.items, batch.context)
            folder = self._spool.set_aside(body, self._exporter.suffix)
        self.settle(batch, 0, f"refused: {result.reason}")
        self._warn_rejected(len(batch.items), result, folder)

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
        self.hold(batch)  # its parts may wait long
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

    def hold(self, batch: Batch) -> None:
        """Write a batch to disk, if possible, and keep it in memory, too."""
        if batch.spooled is None and self._spool is not None and self._spool.is_usable:
            batch.spooled = self._spool.hold(batch.items, batch.context)

    def spool_queue(self) -> None:
        """Spool what is in the queue."""
        self._move_to_spool(keep_share=0.0)

    def relieve_memory(self, in_flight: Batch | None, *, is_blocked: bool, is_urgent: bool) -> None:
        """Spool what has waited long and cannot be sent now, or fills the memory.

        Args:
            in_flight: The batch that the server has not answered.
            is_blocked: Nothing can be sent now: there is such a batch, or a pause.
            is_urgent: Whether to spool the queue at once.
        """
        now = time.monotonic()
        is_due = is_urgent
        if is_blocked and self.relieve_at(in_flight) <= now:
            self._passed_at = now
            if in_flight is not None and in_flight.put_at + self._keep_after <= now:
                self.hold(in_flight)
            is_due = is_due or self._queue_overdue_at <= now
        if is_due and len(self._queue):
            self.spool_queue()
        elif self._fill_level() > _HIGH_FILL_LEVEL:
            self._move_to_spool(keep_share=_LOW_FILL_LEVEL)

    def relieve_at(self, in_flight: Batch | None) -> float:
        """Return when to look next at what cannot be sent now; infinity when nothing waits."""
        if self._spool is None:
            return math.inf
        times = [self._queue_overdue_at, self._put_times.note_at or math.inf]
        if in_flight is not None and in_flight.spooled is None:
            times.append(in_flight.put_at + self._keep_after)
        pause = _SECONDS_BETWEEN_PASSES if self._spool.is_usable else _SECONDS_UNTIL_USABLE
        return max(min(times), self._passed_at + pause)

    @property
    def _queue_overdue_at(self) -> float:
        return (self._put_times.oldest_at or math.inf) + self._keep_after

    def leave_all(self, in_flight: Batch | None) -> None:
        """Spool everything for the next process, or count it as dropped."""
        if in_flight is not None and self._spool is not None:
            self._ledger.record(repeated=len(in_flight.items))
        started = [*([in_flight] if in_flight else []), *self._waiting]
        self._waiting.clear()
        for batch in reversed(started):
            self._leave(batch, in_front=True)
        if self._unspooled is not None:
            self._leave(self._unspooled)
            self._unspooled = None
        while (batch_of_queue := self._take_from_queue()) is not None:
            self._leave(batch_of_queue)
        if self._spool is not None:
            self._spool.close()

    def _warn_rejected(self, count: int, result: SendResult, folder: Path | None = None) -> None:
        fate = "dropped" if folder is None else f"set aside in {folder}"
        warn_once(
            f"refused:{self._name}:{result.reason}",
            f"the server rejected {count} {self._name} ({result.explanation}); they were {fate} "
            "and sovdev_status() counts them. The server's own log says what is wrong with them.",
        )

    def _check_file_exists(self, batch: Batch) -> None:
        """Treat a batch whose segment was removed by somebody as one in memory."""
        spooled = batch.spooled
        if spooled is None or self._spool is None or not has_vanished(spooled.segment.path):
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
        rest = batch.items[written:]
        return Batch(rest, batch.context, batch.spooled, batch.is_fragment, batch.put_at)

    def _move_to_spool(self, keep_share: float) -> None:
        spool = self._spool
        while spool is not None and spool.is_usable:
            batch = self._unspooled
            if batch is None and self._fill_level() > keep_share:
                batch = self._take_from_queue()
            if batch is None:
                return
            rest = self._spooled_rest(spool, batch)
            self._unspooled = rest if rest.items else None
            if self._unspooled is not None:
                return  # one batch at most: a disk that refuses must not unbound the memory

    def _fill_level(self) -> float:
        queue = self._queue
        return max(len(queue) / queue.max_records, queue.queued_bytes / queue.max_bytes)

    def _take_from_queue(self) -> Batch | None:
        now = time.monotonic()
        put_at = self._put_times.oldest_at or now
        items = self._queue.take(self._limits.max_records, self._limits.max_bytes)
        self._put_times.note(now)
        self.accepted_count += len(items)
        return Batch(items, self._exporter.context, put_at=put_at) if items else None
