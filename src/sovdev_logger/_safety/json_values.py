"""Texts, fields and items of Python values that JSON has no form for."""

import base64
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

_BATCH_ITEMS: Final = 1000

_NAME_OF_CLASS: Final = type.__dict__["__name__"].__get__


def clean_text(text: str) -> str:
    """Return ``text`` with each lone surrogate, which no encoding can hold, as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def type_name(value: object) -> str:
    """Return the name of a value's class, past whatever a metaclass makes of ``__name__``."""
    return clean_text(_NAME_OF_CLASS(type(value)))


def describe(value: object, how: Callable[[Any], str] = repr) -> str:
    """Return ``how(value)``, or a mark with the type's name where that fails."""
    try:
        text = how(value)
        if isinstance(text, str):
            return clean_text(str.__str__(text))
    except Exception:  # noqa: BLE001, S110 - whatever a value does to avoid being shown
        pass
    return f"[unserialisable {type_name(value)}]"


def text_for(value: Any) -> str | None:
    """Return the text of a value that has a standard one, such as a date; else None."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal, PurePath)):
        return clean_text(str(value))
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes_text(value)
    if isinstance(value, BaseException):
        return f"{type_name(value)}: {describe(value, str)}"
    return None


def _duration(value: timedelta) -> str:
    """Return an ISO 8601 duration in days and seconds, such as ``P1DT7200.5S``."""
    seconds = abs(value)
    rest = f"{seconds.seconds}.{seconds.microseconds:06d}".rstrip("0").rstrip(".")
    sign = "-" if value < timedelta(0) else ""
    return f"{sign}P{seconds.days}DT{rest}S"


def _bytes_text(value: bytes | bytearray | memoryview) -> str:
    """Return bytes as text where they are UTF-8, else as base64 with a mark."""
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(raw).decode()}"


def key_for(key: Any) -> str:
    """Return a mapping's key as text."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, Enum):
        return key_for(key.value) if not isinstance(key.value, str) else clean_text(key.value)
    text = text_for(key)
    return text if text is not None else describe(key, str)


def field_names(value: Any) -> list[str] | None:
    """Return the names of a record-like object's fields, None for other objects."""
    kind = type(value)
    if is_dataclass(kind):
        return [field.name for field in dataclass_fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    for names in ("model_fields", "__fields__", "_fields"):
        fields = getattr(kind, names, None)
        if isinstance(fields, (dict, tuple)):
            return [name for name in fields if isinstance(name, str)]
    return None


def read_field(value: Any, name: str) -> Any:
    """Return a field's value, or a mark where it has none."""
    try:
        return getattr(value, name)
    except Exception:  # noqa: BLE001 - a field may be unset, or a property that fails
        return "[unset]"


def snapshot(mapping: Any, maximum: int) -> list[tuple[Any, Any]]:
    """Return at most ``maximum`` items of a mapping that another thread may be changing."""
    if isinstance(mapping, dict):
        for _ in range(3):
            try:
                return list(islice(dict.items(mapping), maximum))
            except RuntimeError:
                continue
        return []
    return [(key, value) for key, value in islice(mapping.items(), maximum)]


def sorted_items(values: Any, maximum: int) -> list[Any]:
    """Return at most ``maximum`` values of a set, sorted where they can be."""
    items = list(islice(values, maximum))
    try:
        return sorted(items)
    except Exception:  # noqa: BLE001 - values of several kinds, or hostile ones
        return sorted(items, key=describe) if len(items) <= _BATCH_ITEMS else items


def length_of(items: Any) -> int:
    """Return the number of items, 0 if it is unknown."""
    try:
        return len(items)
    except Exception:  # noqa: BLE001 - no length, or one that fails
        return 0
