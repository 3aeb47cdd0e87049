"""The book of one output: what became of its items, and what went wrong last."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._runtime.turnstile import TurnstileCounts

CLOSED: Final = "closed"
QUEUE_FULL: Final = "queue full"
SPOOL_FULL: Final = "spool full"
SPOOL_LOST: Final = "spool unreadable"
NOT_SENT: Final = "not sent before the end"


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of items so far, as one value: a reader never sees half of a change."""

    delivered: int = 0
    spooled: int = 0
    recovered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0

    @property
    def settled(self) -> int:
        """How many items will not be touched again."""
        return self.delivered + sum(self.dropped.values())


class Ledger:
    """Fates and last error of one output; one thread writes it, any thread reads it.

    Attributes:
        fates: Replaced as a whole by each change.
    """

    def __init__(self) -> None:
        self.fates = Fates()
        self.is_healthy = True
        self._last_error: tuple[str, float] | None = None

    def record(
        self, *, delivered: int = 0, spooled: int = 0, recovered: int = 0, dropped: int = 0,
        reason: str = "", repeated: int = 0,
    ) -> None:  # fmt: skip
        """Add to the fates in one step; a negative ``spooled`` left the disk."""
        now = self.fates
        reasons = now.dropped
        if dropped:
            reasons = {**reasons, reason: reasons.get(reason, 0) + dropped}
        self.fates = Fates(
            now.delivered + delivered,
            now.spooled + spooled,
            now.recovered + recovered,
            reasons,
            now.repeated + repeated,
        )

    @property
    def last_error(self) -> str | None:
        """What went wrong last."""
        return self._last_error[0] if self._last_error else None

    def fail(self, reason: str) -> None:
        """Note that an attempt failed."""
        self._last_error = (reason, time.time())
        self.is_healthy = False

    def note(self, reason: str) -> None:
        """Note a loss that says nothing about the health of the output."""
        self._last_error = (reason, time.time())

    def succeed(self) -> None:
        """Note that an attempt succeeded."""
        self.is_healthy = True

    def status(self, fates: Fates, logged: int, further_drops: Mapping[str, int]) -> OutputStatus:
        """Return the ledger as callers see it.

        Args:
            fates: Read before ``logged``, so that nothing has a fate that was not logged.
            logged: Items given to the output in this process.
            further_drops: Drops that other threads count.
        """
        reasons = dict(fates.dropped)
        for reason, count in further_drops.items():
            if count:
                reasons[reason] = reasons.get(reason, 0) + count
        dropped = sum(reasons.values())
        logged += fates.recovered
        error, at = self._last_error or (None, 0.0)
        return OutputStatus(
            logged=logged,
            delivered=fates.delivered,
            queued=logged - fates.delivered - fates.spooled - dropped,
            spooled=fates.spooled,
            dropped=dropped,
            recovered=fates.recovered,
            repeated=fates.repeated,
            dropped_by_reason=MappingProxyType(reasons),
            healthy=self.is_healthy,
            last_error=error,
            last_error_at=datetime.fromtimestamp(at, UTC) if error is not None else None,
        )


def with_turnstile(status: OutputStatus, counts: TurnstileCounts) -> OutputStatus:
    """Add what is still in front of a sender, or was given up there, to the sender's ledger."""
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
    """Return what went wrong without addresses, paths or values: one reason for many cases."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
