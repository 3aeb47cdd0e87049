"""Serialises callers without self-deadlock: the outer frame runs items submitted from inside."""

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from sovdev_logger._runtime.fork import Phase, register_for_fork
from sovdev_logger._runtime.selflog import warn_once

_MAX_PARKED: Final = 10_000
"""Bounds the memory of an output that logs a record for each one that it writes."""

_NOBODY: Final = 0

_is_finalizing = sys.is_finalizing
_get_ident = threading.get_ident

Item = TypeVar("Item")


class TurnstileCounts(NamedTuple):
    """How many items passed, entered, are parked, were refused, and were interrupted."""

    passed: int
    entered: int
    parked: int
    refused: int
    interrupted: int

    @property
    def submitted(self) -> int:
        """All that ever came."""
        return self.entered + self.parked + self.refused

    @property
    def drops(self) -> dict[str, int]:
        """The items dropped here, by reason."""
        return {"too many parked": self.refused, "interrupted": self.interrupted}


class Turnstile(Generic[Item]):
    """Lets items through to ``action`` one at a time, whichever thread or signal brings them.

    An item that arrives while its own thread is inside ``action`` (a signal handler, a finalizer,
    an object whose ``__repr__`` logs) is parked, and the outer frame handles it before it
    returns: no lock waits for itself, and no item is lost.

    Args:
        action: Handles one item.
        on_error: Called with an error of ``action``; by default the error propagates.

    Attributes:
        entered, passed: Items for which ``action`` was begun, and for which it returned.
        refused: Items beyond the maximum of parked ones.
        interrupted: Items whose ``action`` was ended by a signal handler that raised.
    """

    __slots__ = (
        "__weakref__",
        "_action",
        "_aside_entered",
        "_aside_passed",
        "_lock",
        "_on_error",
        "_owner",
        "_parked",
        "entered",
        "interrupted",
        "passed",
        "refused",
    )

    def __init__(
        self, action: Callable[[Item], None], on_error: Callable[[Exception], None] | None = None
    ) -> None:
        self._action = action
        self._on_error = on_error or _raise
        self._parked: deque[Item] = deque()
        self.reset_after_fork()
        register_for_fork(Phase.TURNSTILES, self)

    def reset_after_fork(self) -> None:
        """Start with a free lock: in a forked child the holder may not exist."""
        # Re-entrant, because a signal may arrive after the acquisition and before the owner is set.
        self._lock = threading.RLock()
        self._owner = _NOBODY
        self._parked.clear()
        self.entered = self.passed = self.refused = self.interrupted = 0
        self._aside_entered = self._aside_passed = 0

    @property
    def parked(self) -> int:
        """How many items are parked right now."""
        return len(self._parked)

    def counts(self) -> "TurnstileCounts":
        """Return the counts of the items so far."""
        passed = self.passed + self._aside_passed  # first: nothing passes before it entered
        return TurnstileCounts(
            passed,
            self.entered + self._aside_entered,
            len(self._parked),
            self.refused,
            self.interrupted,
        )

    def submit(self, item: Item) -> None:
        """Run ``action(item)`` now, or park it for the frame of this thread that is inside."""
        me = _get_ident()
        if self._owner == me:
            self._park(item)
            return
        if _is_finalizing():
            # The lock may be held by a daemon thread, which has ended without releasing it.
            self._lock = threading.RLock()
        try:
            with self._lock:
                self._owner = me
                try:
                    self.entered += 1
                    self._action(item)
                    self.passed += 1
                except Exception as error:  # noqa: BLE001 - the owner of the action decides
                    self._on_error(error)
                except BaseException:
                    self.interrupted += 1
                    raise
                finally:
                    self._owner = _NOBODY
        finally:
            # Also when a signal handler that parked something goes on to end the program.
            if self._parked:
                self._take_parked()

    def drain_parked(self, aside: Callable[[Item], None]) -> None:
        """If this thread is inside ``action``, run ``aside`` on the parked items now.

        For a flush in a signal handler, which may end the program without returning.
        """
        if self._owner != threading.get_ident():
            return
        while self._parked:
            item = self._parked.popleft()
            self._aside_entered += 1
            try:
                aside(item)
                self._aside_passed += 1
            except Exception as error:  # noqa: BLE001 - as in submit
                self._on_error(error)

    def run(self, task: Callable[[], None]) -> None:
        """Run ``task`` exclusively; skip it if this thread is already inside."""
        me = threading.get_ident()
        if self._owner == me:
            return
        with self._lock:
            self._owner = me
            try:
                task()
            finally:
                self._owner = _NOBODY
        if self._parked:
            self._take_parked()

    def _park(self, item: Item) -> None:
        if len(self._parked) < _MAX_PARKED:
            self._parked.append(item)
        else:
            self.refused += 1
            warn_once(
                "parked",
                f"more than {_MAX_PARKED} records were logged from inside one output and the "
                "rest is dropped: something that the output calls logs each time.",
            )

    def _take_parked(self) -> None:
        while self._parked:
            try:
                item = self._parked.popleft()
            except IndexError:
                return
            self.submit(item)


def _raise(error: Exception) -> None:
    raise error
