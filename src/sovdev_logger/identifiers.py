"""Identifiers and the clock: what every entry needs one of, prepared ahead."""

import os
import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

_BATCH: Final = 256
"""Ids made from one read of the system's randomness; a single read costs as much as the rest."""

_MICROSECOND_NS: Final = 1000
_SECOND_US: Final = 1_000_000
_HEX_DIGITS: Final = 32
_NO_TRACE: Final = "0" * _HEX_DIGITS

_uuids: list[str] = []
_trace_ids: list[str] = []
_ENDINGS: Final = [f"{number:02x}" for number in range(_BATCH)]


def new_uuid() -> str:
    """Return a UUID v4, lower case with hyphens. Thread and signal safe."""
    try:
        return _uuids.pop()
    except IndexError:
        _uuids.extend(_fresh_uuids())
        return new_uuid()


def new_trace_id() -> str:
    """Return a random W3C trace id: 32 lower-case hex digits, never all zero."""
    try:
        return _trace_ids.pop()
    except IndexError:
        _trace_ids.extend(_fresh_trace_ids())
        return new_trace_id()


def forget_prepared() -> None:
    """Drop the prepared ids, so that a forked child does not repeat its parent's."""
    _uuids.clear()
    _trace_ids.clear()


def _fresh_uuids() -> list[str]:
    """Return a batch that shares its 74 random leading bits and differs in 40 random ones.

    The last two digits number the batch, so its ids are distinct whatever the randomness; a
    random read and five slices for each id would cost three times as much.
    """
    head = str(uuid4())[:24]
    digits = os.urandom(5 * _BATCH).hex()
    return [f"{head}{digits[10 * i : 10 * i + 10]}{_ENDINGS[i]}" for i in range(_BATCH)]


def _fresh_trace_ids() -> list[str]:
    digits = os.urandom(16 * _BATCH).hex()
    ids = [digits[i : i + _HEX_DIGITS] for i in range(0, _HEX_DIGITS * _BATCH, _HEX_DIGITS)]
    return [one for one in ids if one != _NO_TRACE]


def trace_id_digits(text: str) -> str | None:
    """Return ``text`` as 32 lower-case hex digits if it is a valid OTel trace id, else None.

    A UUID counts: it has the same 128 bits.
    """
    digits = text.replace("-", "").lower()
    if len(digits) != _HEX_DIGITS:
        return None
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
        self._second = (-_SECOND_US, "")

    def iso(self, now_ns: int) -> str:
        """Return nanoseconds since the epoch as ``2026-01-31T12:00:00.123456+00:00``."""
        now_us = now_ns // _MICROSECOND_NS
        start_us, text = self._second
        microsecond = now_us - start_us
        if not 0 <= microsecond < _SECOND_US:
            second, microsecond = divmod(now_us, _SECOND_US)
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = (now_us - microsecond, text)
        return f"{text}{microsecond:06d}+00:00"
