"""The library's own warnings: one line on stderr per problem, never through ``logging``."""

import time
from contextlib import suppress
from typing import Any, Final

from sovdev_logger._runtime.stderr import write_line_to_stderr

_MAX_KINDS: Final = 1000
"""Kinds of problems that are remembered; beyond it the oldest is forgotten, and printed again."""

_MAX_OF_A_KIND: Final = 20
"""Distinct problems of one kind that are printed at once. They may name what callers pass or a
server answers, and must neither flood stderr nor be silenced: further ones are printed once per
``REPEAT_SECONDS``, with their number."""

REPEAT_SECONDS: Final = 60.0


class _Kind:
    """What was printed of one kind of problem, and how many further problems were not."""

    __slots__ = ("printed", "quiet_until", "unprinted")

    def __init__(self) -> None:
        self.printed: set[str] = set()
        self.unprinted = 0
        self.quiet_until = 0.0


_kinds: dict[str, _Kind] = {}
_quiet_until: dict[str, float] = {}


def warn_once(key: str, message: str, max_at_once: int = _MAX_OF_A_KIND) -> None:
    """Print ``message`` to stderr the first time that ``key`` occurs.

    Never raises and takes no lock, so it may be called from a signal handler or a finalizer.

    Args:
        key: Identifies the problem; the part before its first colon is the kind.
        message: One sentence with what happened and how to fix it.
        max_at_once: How many problems of this kind are printed at once; of the further ones one is
            printed per ``REPEAT_SECONDS``, with their number.
    """
    name = key.partition(":")[0]
    kind = _kinds.get(name)
    if kind is None:
        _forget_the_oldest(_kinds)
        kind = _kinds.setdefault(name, _Kind())
    if key in kind.printed:
        return
    if len(kind.printed) < max_at_once:
        kind.printed.add(key)
        kind.quiet_until = time.monotonic() + REPEAT_SECONDS
        warn(message)
        return
    kind.unprinted += 1
    now = time.monotonic()
    if now >= kind.quiet_until:
        kind.quiet_until = now + REPEAT_SECONDS
        number, kind.unprinted = kind.unprinted, 0
        warn(f"{message} This kind of problem occurred {number} more times since the last warning.")


def warn_throttled(key: str, message: str) -> None:
    """Print ``message`` to stderr at most once per ``REPEAT_SECONDS``. Otherwise as ``warn_once``.

    For a problem whose details change, such as a number.
    """
    now = time.monotonic()
    if now >= _quiet_until.get(key, 0.0):
        if key not in _quiet_until:
            _forget_the_oldest(_quiet_until)
        _quiet_until[key] = now + REPEAT_SECONDS
        warn(message)


def _forget_the_oldest(table: dict[str, Any]) -> None:
    """Make room for one more; a signal handler or another thread may change the table meanwhile."""
    if len(table) >= _MAX_KINDS:
        with suppress(RuntimeError, StopIteration):
            table.pop(next(iter(table)), None)


def warn(message: str) -> None:
    """Print one ``[sovdev-logger] WARNING:`` line to stderr, redacted. Never raises."""
    write_line_to_stderr(f"[sovdev-logger] WARNING: {message}")


def reset() -> None:
    """Forget which warnings were printed, so that a test sees them again."""
    _kinds.clear()
    _quiet_until.clear()
