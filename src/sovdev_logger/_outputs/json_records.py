"""Records as JSON for servers that are stricter, or less exact, than JSON and our levels are."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sovdev_logger._safety.json_encoding import dumps

MAX_SAFE_INTEGER: Final = 2**53
"""Beyond it a number that is read as a double may be another one."""

NUL_SIGN: Final = "\u2400"
"""Stands for a NUL character, which some servers cannot store."""

TOO_LARGE: Final = "too_large"
"""Names the field that is true in a record that was cut."""

_LARGE_NUMBER: Final = re.compile(rb"[0-9]{16}")


def server_level(level: str) -> str:
    """Return the level as these servers name it: they have no trace."""
    return "debug" if level == "trace" else level


def drop_large_values(fields: Mapping[str, Any], max_bytes: int) -> dict[str, Any]:
    """Return the fields whose JSON has at most ``max_bytes``, marked as ``TOO_LARGE``."""
    small = {name: value for name, value in fields.items() if len(dumps(value)) <= max_bytes}
    return {**small, TOO_LARGE: True}


def to_strict_json(text: bytes) -> bytes:
    """Return JSON with numbers beyond 2**53 as text and NUL characters as a visible sign."""
    if b"\\u0000" not in text and not _LARGE_NUMBER.search(text):
        return text
    return dumps(_to_strict(json.loads(text)))


def _to_strict(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", NUL_SIGN)
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, dict):
        return {key.replace("\0", NUL_SIGN): _to_strict(item) for key, item in value.items()}
    return [_to_strict(item) for item in value]
