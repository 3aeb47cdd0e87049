"""The library's own warnings: one line on stderr per problem, never through ``logging``."""

import time
from typing import Final

from sovdev_logger._runtime.stderr import write_to_stderr

_MAX_KEYS = 1000
"""Maximum number of distinct problems; further ones are not printed."""

REPEAT_SECONDS: Final = 60.0

_printed: set[str] = set()
_quiet_until: dict[str, float] = {}


def warn_once(key: str, message: str) -> None:
    """Print ``message`` to stderr the first time that ``key`` occurs.

    Never raises and takes no lock, so it may be called from a signal handler or a finalizer.

    Args:
        key: Identifies the problem.
        message: One sentence with what happened and how to fix it.
    """
    if key not in _printed and len(_printed) < _MAX_KEYS:
        _printed.add(key)
        warn(message)


def warn_throttled(key: str, message: str) -> None:
    """Print ``message`` to stderr at most once per ``REPEAT_SECONDS``. Otherwise as ``warn_once``.

    For a problem whose details change, such as a number.
    """
    now = time.monotonic()
    if now >= _quiet_until.get(key, 0.0) and len(_quiet_until) < _MAX_KEYS:
        _quiet_until[key] = now + REPEAT_SECONDS
        warn(message)


def warn(message: str) -> None:
    """Print one ``[sovdev-logger] WARNING:`` line to stderr. Never raises."""
    write_to_stderr(f"[sovdev-logger] WARNING: {' '.join(message.split())}\n")


def reset() -> None:
    """Forget which warnings were printed, so that a test sees them again."""
    _printed.clear()
    _quiet_until.clear()
