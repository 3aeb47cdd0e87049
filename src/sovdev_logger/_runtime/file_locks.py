"""Whether the system has locks on files that end with their process."""

from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment,unused-ignore]

CAN_LOCK: Final = fcntl is not None
