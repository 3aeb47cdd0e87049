"""Identifiers and the clock: what every entry needs one of, prepared ahead."""

import os
import time
from collections.abc import Callable
from typing import Final

_BATCH: Final = 64
"""Ids made from one read of the system's randomness; a single read costs as much as the rest."""

_MICROSECOND_NS: Final = 1000
_MILLISECOND_NS: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000
_THREE_DIGITS: Final = [f"{number:03}" for number in range(1000)]
_HEX_DIGITS: Final = 32
_NO_TRACE: Final = "0" * _HEX_DIGITS

_uuids: list[str] = []
_trace_ids: list[str] = []
_ENDINGS: Final = [f"{number:02x}" for number in range(_BATCH)]

next_uuid: Final = _uuids.pop
"""The hot path's ``new_uuid``: an ``IndexError`` says that ``new_uuid`` has to make some more."""

next_trace_id: Final = _trace_ids.pop
"""The same of ``new_trace_id``."""


def new_uuid() -> str:
    """Return a UUID v4, lower case with hyphens. Thread and signal safe."""
    try:
        return next_uuid()
    except IndexError:
        _uuids.extend(_fresh_uuids())
        return new_uuid()


def new_trace_id() -> str:
    """Return a random W3C trace id: 32 lower-case hex digits, never all zero."""
    try:
        return next_trace_id()
    except IndexError:
        _trace_ids.extend(_fresh_trace_ids())
        return new_trace_id()


def new_trace_uuid() -> str:
    """Return a trace id in the form of a UUID v4: random all through, unlike ``new_uuid``."""
    return _as_uuid(new_trace_id())


def forget_prepared() -> None:
    """Drop the prepared ids, so that a forked child does not repeat its parent's."""
    _uuids.clear()
    _trace_ids.clear()


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
    # int() takes underscores, signs and other scripts' digits, which are no hex digits here.
    return digits if number and digits == f"{number:032x}" else None


class Clock:
    """Reads the wall clock and writes it as ISO 8601 UTC with microseconds.

    The text of the current second is kept: formatting it anew costs more than reading the clock.
    Threads may race to replace it; each uses the tuple it read.
    """

    __slots__ = ("_second", "time_ns")

    def __init__(self, time_ns: Callable[[], int] = time.time_ns) -> None:
        self.time_ns = time_ns
        self._second = (-_SECOND_NS, "")

    def iso(self, now_ns: int) -> str:
        """Return nanoseconds since the epoch as ``2026-01-31T12:00:00.123456+00:00``."""
        start_ns, text = self._second
        since_ns = now_ns - start_ns
        if not 0 <= since_ns < _SECOND_NS:
            second, since_ns = divmod(now_ns, _SECOND_NS)
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = (now_ns - since_ns, text)
        # Two looks into a table: writing a number with zeros before it costs twice as much.
        milliseconds = _THREE_DIGITS[since_ns // _MILLISECOND_NS]
        return f"{text}{milliseconds}{_THREE_DIGITS[since_ns // _MICROSECOND_NS % 1000]}+00:00"
