"""JSON text from plain values: orjson where it is installed, the standard library elsewhere."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

try:
    import orjson
except ImportError:  # pragma: no cover - orjson has no wheel for every interpreter
    orjson = None  # type: ignore[assignment,unused-ignore]

_STDLIB = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)


def stdlib_dumps(value: object) -> bytes:
    """Encode a plain value with the standard library; it reads back as what orjson writes does.

    Raises:
        TypeError: The value holds something that JSON has no form for, such as a lone surrogate.
    """
    try:
        return _STDLIB.encode(value).encode()
    except ValueError as error:
        raise TypeError(str(error)) from error


orjson_dumps: Callable[..., bytes] | None = None if orjson is None else orjson.dumps
"""orjson's encoder, or ``None`` where orjson is not installed."""

AS_GIVEN: Final = 0 if orjson is None else orjson.OPT_PASSTHROUGH_DATACLASS
"""orjson's option for callers' values: it refuses those that only the walk can convert. Passed in
each call, as ``orjson_dumps(value, None, AS_GIVEN)``: a ``partial`` costs more."""

dumps: Callable[[Any], bytes] = stdlib_dumps if orjson_dumps is None else orjson_dumps
"""Encode a plain value (str, int of 64 bits, finite float, bool, None, list, dict with str keys)
as compact UTF-8 JSON. Raises ``TypeError`` for a string that is not valid Unicode. Thread-safe."""


class StdlibFragment:
    """Encoded JSON, for the standard library's encoder."""

    def __init__(self, text: bytes) -> None:
        self.text = text


def stdlib_dumps_line(fields: Mapping[str, object]) -> bytes:
    """Do what :func:`dumps_line` does, with the standard library alone."""
    return _stdlib_dumps_object(fields) + b"\n"


def _stdlib_dumps_object(fields: Mapping[str, object]) -> bytes:
    pairs = (stdlib_dumps(name) + b":" + _stdlib_value(value) for name, value in fields.items())
    return b"{" + b",".join(pairs) + b"}"


def _stdlib_value(value: object) -> bytes:
    if isinstance(value, StdlibFragment):
        return value.text
    return _stdlib_dumps_object(value) if isinstance(value, dict) else stdlib_dumps(value)


Fragment: Callable[[bytes], object] = StdlibFragment if orjson is None else orjson.Fragment
"""Marks bytes as JSON that is encoded already, to stand as a value in ``dumps_line``."""


def _orjson_dumps_line(fields: Mapping[str, object]) -> bytes:
    return orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)


dumps_line: Callable[[Mapping[str, object]], bytes] = (
    stdlib_dumps_line if orjson is None else _orjson_dumps_line
)
"""Encode a flat entry of strings and fragments as one line that ends with a newline.

Raises ``TypeError`` for a string that is not valid Unicode: sanitise before. Thread-safe."""
