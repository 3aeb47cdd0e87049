"""Marks the sending threads, so that records of their HTTP library are not sent in turn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_local = threading.local()


@contextmanager
def own_traffic() -> Iterator[None]:
    """Mark this thread's work inside the block as our own traffic."""
    before = is_own_traffic()
    _local.marked = True
    try:
        yield
    finally:
        _local.marked = before


def is_own_traffic() -> bool:
    """Return whether this thread is sending for us right now."""
    return getattr(_local, "marked", False)
