"""The ledger of one output: the fate of its items, and its last error."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._runtime.turnstile import TurnstileCounts
from sovdev_logger._safety.one_line import notice_line

CLOSED: Final = "closed"
QUEUE_FULL: Final = "queue full"
SPOOL_FULL: Final = "spool full"
SPOOL_LOST: Final = "spool unreadable"
NOT_SENT: Final = "not sent before the end"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of items by fate, as one value: a reader never sees half of a change."""

    delivered: int = 0
    spooled: int = 0
    recovered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0
    superseded: int = 0

    @property
    def settled(self) -> int:
        """Items that are delivered or dropped, for good, or that a later one holds."""
        return self.delivered + sum(self.dropped.values()) + self.superseded


class Ledger:
    """Counts and last error of one output; one thread writes it, any thread reads it.

    Attributes:
        counts: Replaced as a whole by each change.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.is_healthy = True
        self._last_error: tuple[str, float] | None = None

    def record(
        self, *, delivered: int = 0, spooled: int = 0, recovered: int = 0, dropped: int = 0,
        reason: str = "", repeated: int = 0, superseded: int = 0,
    ) -> None:  # fmt: skip
        """Add to the counts in one step.

        A negative ``spooled`` left the disk, a negative ``dropped`` has arrived after all.
        """
        now = self.counts
        reasons = now.dropped
        if dropped:
            reasons = {**reasons, reason: reasons.get(reason, 0) + dropped}
            reasons = {why: count for why, count in reasons.items() if count}
        self.counts = Counts(
            now.delivered + delivered,
            now.spooled + spooled,
            now.recovered + recovered,
            reasons,
            now.repeated + repeated,
            now.superseded + superseded,
        )

    @property
    def last_error(self) -> str | None:
        """The last error in words; None without one."""
        return self._last_error[0] if self._last_error else None

    def fail(self, reason: str) -> None:
        """Record a failed attempt: the output is not healthy."""
        self._last_error = (notice_line(reason), time.time())
        self.is_healthy = False

    def record_loss(self, reason: str) -> None:
        """Record a loss that does not affect the health of the output."""
        self._last_error = (notice_line(reason), time.time())

    def succeed(self) -> None:
        """Record a successful attempt: the output is healthy."""
        self.is_healthy = True

    def status(self, counts: Counts, logged: int, further_drops: Mapping[str, int]) -> OutputStatus:
        """Return the public form of the ledger.

        Args:
            counts: Read before ``logged``, so that no item has a fate before it is logged.
            logged: Items given to the output in this process.
            further_drops: Drops counted by other threads, by reason.
        """
        reasons = dict(counts.dropped)
        for reason, count in further_drops.items():
            if count:
                reasons[reason] = reasons.get(reason, 0) + count
        dropped = sum(reasons.values())
        logged += counts.recovered - counts.superseded  # these count nowhere
        error, at = self._last_error or (None, 0.0)
        return OutputStatus(
            logged=logged,
            delivered=counts.delivered,
            queued=logged - counts.delivered - counts.spooled - dropped,
            spooled=counts.spooled,
            dropped=dropped,
            recovered=counts.recovered,
            repeated=counts.repeated,
            dropped_by_reason=MappingProxyType(reasons),
            healthy=self.is_healthy,
            last_error=error,
            last_error_at=datetime.fromtimestamp(at, UTC) if error is not None else None,
        )


def with_turnstile(status: OutputStatus, counts: TurnstileCounts) -> OutputStatus:
    """Add the entries parked or dropped in front of a sender to the sender's ledger."""
    drops = {reason: count for reason, count in counts.drops.items() if count}
    dropped = sum(drops.values())
    return replace(
        status,
        logged=status.logged + counts.parked + dropped,
        queued=status.queued + counts.parked,
        dropped=status.dropped + dropped,
        dropped_by_reason=MappingProxyType({**status.dropped_by_reason, **drops}),
    )


def in_few_words(error: Exception) -> str:
    """Return the error without addresses, paths or values: one reason for many cases."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
