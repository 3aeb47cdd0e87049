"""Identifiers, generated in batches, and the clock."""

import os
import time
from collections.abc import Callable
from typing import Final

from sovdev_logger._runtime.fork import Phase, register_for_fork

_BATCH: Final = 64
"""Ids per read of the system's randomness: a read costs as much as the rest of a call."""

_MICROSECOND_NS: Final = 1000
_MILLISECOND_NS: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000
NEVER_NS: Final = -(10**30)
"""Far from the time of any entry, also of one from 1970."""

_THREE_DIGITS: Final = [f"{number:03}" for number in range(1000)]
_HEX_DIGITS: Final = 32
_NO_TRACE: Final = "0" * _HEX_DIGITS

_ENDINGS: Final = [f"{number:02x}" for number in range(_BATCH)]


class _Supply:
    """Ids of one kind, made in batches. Thread and signal safe.

    Attributes:
        pop: The hot path's ``new``: raises ``IndexError`` when ``new`` has to make another batch.
    """

    __slots__ = ("__weakref__", "_ids", "_make_batch", "pop")

    def __init__(self, make_batch: Callable[[], list[str]]) -> None:
        self._ids: list[str] = []
        self._make_batch = make_batch
        self.pop = self._ids.pop
        register_for_fork(Phase.IDENTIFIERS, self)

    def new(self) -> str:
        """Return the next id."""
        try:
            return self.pop()
        except IndexError:
            self._ids.extend(self._make_batch())
            return self.new()

    def reset_after_fork(self) -> None:
        """Drop the prepared ids, which are the parent's."""
        self._ids.clear()


def _fresh_uuids() -> list[str]:
    """Return a batch that shares its 114 random leading bits; the last two digits number it.

    So its ids are distinct whatever the randomness, and cost a sum of two strings each.
    """
    head = _as_uuid(os.urandom(16).hex())[:-2]
    return [head + ending for ending in _ENDINGS]


def _as_uuid(digits: str) -> str:
    """Return 32 random hex digits as a UUID v4."""
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _fresh_trace_ids() -> list[str]:
    """Return a batch of ids that are random all through: samplers decide by any of their bits."""
    ids = os.urandom(16 * _BATCH).hex(" ", 16).split()
    return ids if _NO_TRACE not in ids else _fresh_trace_ids()


_uuids: Final = _Supply(_fresh_uuids)
_trace_ids: Final = _Supply(_fresh_trace_ids)

next_uuid: Final = _uuids.pop
new_uuid: Final = _uuids.new
"""Return a UUID v4, lower case with hyphens."""

next_trace_id: Final = _trace_ids.pop
new_trace_id: Final = _trace_ids.new
"""Return a random W3C trace id: 32 lower-case hex digits, never all zero."""


def new_trace_uuid() -> str:
    """Return a trace id in the form of a UUID v4: random all through, unlike ``new_uuid``."""
    return _as_uuid(new_trace_id())


def trace_id_digits(text: str) -> str | None:
    """Return ``text`` as 32 lower-case hex digits if it is a valid OTel trace id, else None.

    A UUID counts: it has the same 128 bits.
    """
    if len(text) - text.count("-") != _HEX_DIGITS:  # before anything is copied: it may be huge
        return None
    digits = text.replace("-", "").lower()
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    # int() accepts underscores, signs and other scripts' digits; a trace id has none.
    return digits if number and digits == f"{number:032x}" else None


class Clock:
    """Reads the wall clock and writes it as ISO 8601 UTC with microseconds.

    The text of the current second is kept: formatting it anew costs more than reading the clock.
    Threads may race to replace it; each uses the tuple it read.
    """

    __slots__ = ("_second", "time_ns")

    def __init__(self, time_ns: Callable[[], int] = time.time_ns) -> None:
        self.time_ns = time_ns
        self._second = (NEVER_NS, "")

    def iso(self, now_ns: int) -> str:
        """Return nanoseconds since the epoch as ``2026-01-31T12:00:00.123456+00:00``."""
        start_ns, text = self._second
        since_ns = now_ns - start_ns
        if not 0 <= since_ns < _SECOND_NS:
            second, since_ns = divmod(now_ns, _SECOND_NS)
            moment = time.gmtime(second)
            text = f"{moment.tm_year:04}{time.strftime('-%m-%dT%H:%M:%S.', moment)}"
            self._second = (now_ns - since_ns, text)
        # Two looks into a table: writing a number with zeros before it costs twice as much.
        milliseconds = _THREE_DIGITS[since_ns // _MILLISECOND_NS]
        return f"{text}{milliseconds}{_THREE_DIGITS[since_ns // _MICROSECOND_NS % 1000]}+00:00"
