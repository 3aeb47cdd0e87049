"""JSON for servers that are stricter, or less exact, than JSON is."""

import json
import re
from typing import Any, Final

from sovdev_logger._safety.json_encoding import dumps

MAX_SAFE_INTEGER: Final = 2**53
"""From here on a number that is read as a double may be another one."""

NUL_SIGN: Final = "\u2400"
"""Stands for a NUL character, which some servers cannot store."""

_LARGE_NUMBER: Final = re.compile(rb"[0-9]{16}")


def to_strict_json(text: bytes) -> bytes:
    """Return JSON with numbers beyond 2**53 as text and NUL characters as a visible sign."""
    if b"\\u0000" not in text and not _LARGE_NUMBER.search(text):
        return text
    return dumps(_changed(json.loads(text)))


def _changed(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", NUL_SIGN)
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, dict):
        return {key.replace("\0", NUL_SIGN): _changed(item) for key, item in value.items()}
    return [_changed(item) for item in value]
