"""The library's own voice: one line on stderr per problem, never through ``logging``."""

import os
import sys
import time
from contextlib import suppress
from itertools import count

_MAX_KEYS = 1000
"""Distinct problems remembered; beyond it new ones are counted but not said."""

REPEAT_SECONDS = 60.0

_STDERR_FD = 2

_said: set[str] = set()
_quiet_until: dict[str, float] = {}
_counts: dict[str, int] = {}
_unsaid = count()


def warn_once(key: str, message: str) -> None:
    """Say ``message`` on stderr the first time that ``key`` is given; count it every time.

    Never raises and takes no lock, so it may be called from a signal handler or a finalizer.

    Args:
        key: What is wrong, the same text for the same problem.
        message: One sentence with what happened and how to mend it.
    """
    if key in _said:
        _counts[key] = _counts.get(key, 1) + 1
        return
    if len(_said) >= _MAX_KEYS:
        next(_unsaid)
        return
    _said.add(key)
    _counts[key] = 1
    warn(message)


def warn_throttled(key: str, message: str) -> None:
    """Say ``message`` on stderr, but not again for ``REPEAT_SECONDS``; what is between is counted.

    For what changes from time to time, such as a number. Otherwise like ``warn_once``.
    """
    now = time.monotonic()
    if now < _quiet_until.get(key, 0.0) or len(_quiet_until) >= _MAX_KEYS:
        _counts[key] = _counts.get(key, 0) + 1
        return
    _quiet_until[key] = now + REPEAT_SECONDS
    warn(message)


def warn(message: str) -> None:
    """Write one ``[sovdev-logger] WARNING:`` line to stderr; a missing or closed stderr is fine."""
    line = f"[sovdev-logger] WARNING: {' '.join(message.split())}\n"
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except RuntimeError:
        _write_past_the_stream(line)  # a signal arrived inside a write to the same stream
    except Exception:  # noqa: BLE001, S110 - stderr may be None, closed or somebody's object
        pass


def _write_past_the_stream(line: str) -> None:
    with suppress(OSError):
        os.write(_STDERR_FD, line.encode("utf-8", "backslashreplace"))


def warning_counts() -> dict[str, int]:
    """Return how often each problem occurred since the process started."""
    return dict(_counts)


def reset() -> None:
    """Forget what was said, so that a test sees the first warning again."""
    _said.clear()
    _quiet_until.clear()
    _counts.clear()
