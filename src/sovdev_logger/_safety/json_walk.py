"""Converts any Python value to a plain structure that JSON can hold, within a budget of bytes.

The walk's cost depends on its budget, not on the size of the value. It never raises for what a
value does, and never changes it.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import Enum
from typing import Any, Final

from sovdev_logger._safety.json_encoding import dumps
from sovdev_logger._safety.json_values import (
    clean_text,
    describe,
    field_names,
    key_for,
    length_of,
    read_field,
    snapshot,
    sorted_items,
    text_for,
    type_name,
)
from sovdev_logger._safety.redaction import (
    REDACTED,
    count_replaced,
    is_sensitive_key,
    redact_head,
)

MAX_DEPTH: Final = 254
"""Nesting of containers; orjson, which encodes what needs no walk, has the same limit."""

CIRCULAR: Final = "[circular]"
TOO_DEEP: Final = "[nested too deep]"
CUT_KEY: Final = "…"

BY_NAME: Final = "credential_name"
BY_FORM: Final = "credential_in_text"
"""The names under which credentials are counted that our own rules replaced."""

MARK_BYTES: Final = 48
"""Bytes reserved in every container for its truncation mark."""
_MIN_STRING_BYTES: Final = 48
_MAX_KEY_CHARACTERS: Final = 1024
_MAX_INT64: Final = 2**63
_MAX_UINT64: Final = 2**64
_NUMPY_MAX_ITEMS: Final = 10_000


class _NoRoom:
    """Stands for a value that the budget has no room for."""


_NO_ROOM: Final = _NoRoom()


class JsonWalk:
    """Converts one value.

    Args:
        max_bytes: The most bytes that the result takes as JSON, at least 256.
        redact: Whether credentials are replaced.
        mark_bytes: Bytes reserved in each container for a truncation mark. With 0 nothing that
            fits is cut, but the marks may exceed ``max_bytes``.

    Attributes:
        was_cut: Whether something was cut.
        replaced: How many values each rule of redaction replaced.
    """

    def __init__(self, max_bytes: int, *, redact: bool, mark_bytes: int = MARK_BYTES) -> None:
        self.was_cut = False
        self.replaced: dict[str, int] = {}
        self._left = max_bytes
        self._redact = redact
        self._mark_bytes = mark_bytes
        self._inside: set[int] = set()

    def plain(self, value: object) -> Any:
        """Return the plain form of ``value``; call it once."""
        plain = self._value(value)
        return TOO_DEEP if plain is _NO_ROOM else plain

    def _value(self, value: Any) -> Any:
        try:
            return self._convert(value)
        except RecursionError:
            return self._text(TOO_DEEP)
        except Exception:  # noqa: BLE001 - a value may fail in any way while it is read
            return self._text(f"[unserialisable {type_name(value)}]")

    def _convert(self, value: Any) -> Any:  # noqa: PLR0911 - a line for each type
        if isinstance(value, Enum):
            return self._value(value.value)
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if value is None or value is True or value is False:
            return self._scalar(value)
        if isinstance(value, int):
            return self._integer(int.__int__(value))
        if isinstance(value, float):
            return self._float(float.__float__(value))
        if isinstance(value, (dict, Mapping)):
            return self._container(value, self._mapping)
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return self._container(value, self._sequence)
        return self._convert_object(value)

    def _convert_object(self, value: Any) -> Any:
        text = text_for(value)
        if text is not None:
            return self._text(text)
        fields = field_names(value)
        if fields is not None:
            return self._container(value, lambda it: self._fields(it, fields))
        if isinstance(value, Set):
            return self._container(value, self._set)
        if isinstance(value, (Sequence, deque)):
            return self._container(value, self._sequence)
        if type(value).__module__ == "numpy" and getattr(value, "size", 0) <= _NUMPY_MAX_ITEMS:
            return self._value(value.tolist())
        return self._text(describe(value))

    def _scalar(self, value: Any) -> Any:
        return value if self._take(len("false")) else _NO_ROOM

    def _integer(self, number: int) -> Any:
        if -_MAX_INT64 <= number < _MAX_UINT64:
            return number if self._take(len(str(number))) else _NO_ROOM
        try:
            return self._text(str(number))
        except ValueError:  # Python refuses to write out thousands of digits
            return self._text(f"[integer of {number.bit_length()} bits]")

    def _float(self, number: float) -> Any:
        if math.isfinite(number):
            return number if self._take(len(repr(number)) + 1) else _NO_ROOM
        return self._text(
            "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
        )

    def _text(self, text: str) -> Any:
        """Return a string, redacted first and then cut to what is left of the budget."""
        longest = self._left
        if self._redact:
            safe = self._redacted(clean_text(text[: longest + 8192]), longest)
        else:
            safe = clean_text(text[: longest + 1])
        is_whole = len(text) <= longest
        size = len(dumps(safe))
        if is_whole and self._take(size):
            return safe
        if self._left < _MIN_STRING_BYTES:
            return _NO_ROOM
        self.was_cut = True
        cut = cut_text(safe, self._left, len(text))
        self._take(len(dumps(cut)))
        return cut

    def _container(self, value: Any, walk: Callable[[Any], Any]) -> Any:
        if id(value) in self._inside:
            return self._text(CIRCULAR)
        if len(self._inside) >= MAX_DEPTH:
            return self._text(TOO_DEEP)
        if not self._take(2 + self._mark_bytes):
            return _NO_ROOM
        self._inside.add(id(value))
        try:
            return walk(value)
        finally:
            self._inside.discard(id(value))

    def _sequence(self, items: Any) -> list[Any]:
        if self._redact and type(items) is tuple and _is_credential_pair(items):
            self._count(BY_NAME, 1)
            items = (items[0], REDACTED)
        return self._items(items, items)

    def _set(self, values: Any) -> list[Any]:
        return self._items(sorted_items(values, self._left), values)

    def _items(self, items: Any, whole: Any) -> list[Any]:
        plain: list[Any] = []
        for item in items:
            plain_item = self._value(item) if self._take(1) else _NO_ROOM
            if plain_item is _NO_ROOM:
                self.was_cut = True
                plain.append(_items_mark(length_of(whole) - len(plain)))
                return plain
            plain.append(plain_item)
        self._left += self._mark_bytes
        return plain

    def _mapping(self, mapping: Any) -> dict[str, Any]:
        return self._pairs(snapshot(mapping, self._left), length_of(mapping))

    def _fields(self, value: Any, names: Sequence[str]) -> dict[str, Any]:
        return self._pairs(((name, read_field(value, name)) for name in names), len(names))

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], count: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for seen, (key, item) in enumerate(pairs):
            name = self._key(key, plain)
            has_room = self._take(len(dumps(name)) + 2)
            plain_item = self._item(name, item) if has_room else _NO_ROOM
            if plain_item is _NO_ROOM:
                self.was_cut = True
                plain[CUT_KEY] = _items_mark(count - seen)
                return plain
            plain[name] = plain_item
        self._left += self._mark_bytes
        return plain

    def _item(self, name: str, item: Any) -> Any:
        if self._redact and not _says_nothing(item) and is_sensitive_key(name):
            self._count(BY_NAME, 1)
            return self._text(REDACTED)
        return self._value(item)

    def _redacted(self, text: str, limit: int) -> str:
        safe = redact_head(text, limit)
        if safe is not text:
            self._count(BY_FORM, count_replaced(text, safe))
        return safe

    def _count(self, rule: str, number: int) -> None:
        if number:
            self.replaced[rule] = self.replaced.get(rule, 0) + number

    def _key(self, key: Any, used: Mapping[str, Any]) -> str:
        """Return a key as text; a text that is in use already gets a number."""
        text = clean_text(str.__str__(key)) if isinstance(key, str) else key_for(key)
        if self._redact:
            text = self._redacted(text, _MAX_KEY_CHARACTERS)
        text = name = text[:_MAX_KEY_CHARACTERS]
        number = 1
        while name in used:
            number += 1
            name = f"{text} ({number})"
        return name

    def _take(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True


def cut_text(text: str, max_bytes: int, whole_length: int) -> str:
    """Return as much of ``text`` as fits in ``max_bytes`` as JSON, with a truncation mark.

    Args:
        text: The safe text.
        max_bytes: At least 48.
        whole_length: Number of characters of the whole value.
    """
    kept = text[: max(0, max_bytes - _MIN_STRING_BYTES)]
    while True:
        cut = f"{kept}…[cut {max(0, whole_length - len(kept))} characters]"
        size = len(dumps(cut))
        if size <= max_bytes or not kept:
            return cut
        kept = kept[: min(len(kept) - 1, len(kept) * max_bytes // size)]


def _items_mark(count: int) -> str:
    return f"…[cut {count} items]" if count > 0 else "…[cut items]"


def _is_credential_pair(pair: tuple[Any, ...]) -> bool:
    """Return whether a tuple is a name and a credential, as servers hand over their headers."""
    if len(pair) != 2 or _says_nothing(pair[1]):  # noqa: PLR2004 - a pair
        return False
    name = pair[0].decode("latin-1") if type(pair[0]) is bytes else pair[0]
    return type(name) is str and is_sensitive_key(name)


def _says_nothing(value: Any) -> bool:
    """Return whether a value holds no credential, only says whether there is one."""
    return value is None or value is True or value is False
