"""The library's own warnings: one line on stderr per problem, never through ``logging``."""

import time
from typing import Final

from sovdev_logger._runtime.stderr import write_to_stderr

_MAX_KEYS = 1000
"""Maximum number of kinds of problems; further ones are not printed."""

_MAX_KEYS_OF_A_KIND = 20
"""Maximum number of distinct problems of one kind: they may name what callers pass, or a server
answers, and must neither flood stderr nor silence other kinds."""

REPEAT_SECONDS: Final = 60.0

_printed: dict[str, set[str]] = {}
_quiet_until: dict[str, float] = {}


def warn_once(key: str, message: str) -> None:
    """Print ``message`` to stderr the first time that ``key`` occurs.

    Never raises and takes no lock, so it may be called from a signal handler or a finalizer.

    Args:
        key: Identifies the problem; the part before its first colon is the kind.
        message: One sentence with what happened and how to fix it.
    """
    kind = key.partition(":")[0]
    printed = _printed.get(kind)
    if printed is None:
        if len(_printed) >= _MAX_KEYS:
            return
        printed = _printed.setdefault(kind, set())
    if key in printed or len(printed) >= _MAX_KEYS_OF_A_KIND:
        return
    printed.add(key)
    if len(printed) == _MAX_KEYS_OF_A_KIND:
        message = f"{message} Further warnings of this kind are not printed."
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
