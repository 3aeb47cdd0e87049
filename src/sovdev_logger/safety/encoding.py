"""JSON text from plain values: orjson where it is installed, the standard library elsewhere."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

try:
    import orjson
except ImportError:  # pragma: no cover - orjson has no wheel for every interpreter
    orjson = None  # type: ignore[assignment,unused-ignore]

_SPLICED = ("input_json", "response_json")

_STDLIB = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)

_SMALL_EXPONENT = re.compile(rb'"(?:[^"\\]|\\.)*+"|(?<=\d)e-0(?=\d)')
"""A string to step over, or the zero that only the standard library writes in ``1e-07``."""


def stdlib_dumps(value: object) -> bytes:
    """Encode a plain value with the standard library, byte for byte as orjson does.

    Raises:
        TypeError: The value holds something that JSON has no form for, such as a lone surrogate.
    """
    try:
        text = _STDLIB.encode(value).encode()
    except ValueError as error:
        raise TypeError(str(error)) from error
    if b"e-0" not in text:
        return text
    return _SMALL_EXPONENT.sub(lambda m: b"e-" if m[0] == b"e-0" else m[0], text)


orjson_dumps: Callable[[Any], bytes] | None = None if orjson is None else orjson.dumps
"""orjson's encoder, or ``None`` where orjson is not installed."""

fast_dumps: Callable[[Any], bytes] | None = None
"""orjson for values as callers give them: it refuses what only the walk may decide about, such as
dataclasses; ``None`` where orjson is not installed."""

if orjson is not None:
    _PASS_ON = orjson.OPT_PASSTHROUGH_DATACLASS

    def fast_dumps(value: Any) -> bytes:  # noqa: F811
        return orjson.dumps(value, None, _PASS_ON)


dumps: Callable[[Any], bytes] = stdlib_dumps if orjson_dumps is None else orjson_dumps
"""Encode a plain value (str, int of 64 bits, finite float, bool, None, list, dict with str keys)
as compact UTF-8 JSON. Raises ``TypeError`` for a string that is not valid Unicode. Thread-safe."""


def stdlib_dumps_line(
    fields: Mapping[str, object], input_text: bytes, response_text: bytes
) -> bytes:
    """Do what :func:`dumps_line` does, with the standard library alone."""
    ready = dict(zip(_SPLICED, (input_text, response_text), strict=True))
    names = list(dict.fromkeys((*fields, *_SPLICED)))
    pairs = (
        stdlib_dumps(name) + b":" + (ready.get(name) or stdlib_dumps(fields[name]))
        for name in names
    )
    return b"{" + b",".join(pairs) + b"}\n"


def _orjson_dumps_line(
    fields: Mapping[str, object], input_text: bytes, response_text: bytes
) -> bytes:
    line = dict(fields)
    line["input_json"] = orjson.Fragment(input_text)
    line["response_json"] = orjson.Fragment(response_text)
    return orjson.dumps(line, None, orjson.OPT_APPEND_NEWLINE)


dumps_line: Callable[[Mapping[str, object], bytes, bytes], bytes] = (
    stdlib_dumps_line if orjson is None else _orjson_dumps_line
)
"""Encode a flat entry as one line that ends with a newline.

The keys ``input_json`` and ``response_json`` get the given JSON texts at the places where the
entry has those keys (at the end when it lacks them). ``fields`` is left as it was. Raises
``TypeError`` for a string that is not valid Unicode: sanitise before. Thread-safe."""
