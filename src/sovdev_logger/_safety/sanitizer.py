"""The entrance to this package: makes the values of a call safe to log."""

import math
from collections.abc import Callable
from gc import is_tracked
from itertools import islice
from typing import Any, Final

from sovdev_logger._safety.json_encoding import AS_GIVEN, dumps, orjson_dumps
from sovdev_logger._safety.json_values import clean_text, describe
from sovdev_logger._safety.json_walk import (
    BY_FORM,
    MARK_BYTES,
    MAX_DEPTH,
    TOO_DEEP,
    JsonWalk,
    cut_text,
)
from sovdev_logger._safety.prefilter import HAS_NULL, confirm, scan
from sovdev_logger._safety.redaction import count_replaced, redact_head
from sovdev_logger._safety.stacktrace import MAX_CHARACTERS, exception_message, exception_text
from sovdev_logger._safety.traceback_redaction import redact_shown_values

Count = Callable[[str, int], object]
"""Called with the name of a rule of redaction, and how many values it replaced."""

DEFAULT_MAX_FIELD_BYTES: Final = 65536

_NULL: Final = b"null"

_BRANCHES_TRIED: Final = 16
_MAX_FLAT_VALUES: Final = 64
_FLAT_TYPES: Final = frozenset({str, int, float, bool, type(None)})


class Sanitizer:
    """Makes values safe to log: as JSON, without credentials, in a bounded number of bytes.

    Never raises, whatever the values do. Thread and signal safe: it holds no lock.

    Args:
        max_field_bytes: The most bytes that one field takes as JSON, at least 256.
        redact: Whether credentials are replaced by ``[REDACTED]``.
        count: Counts what was replaced.
    """

    def __init__(
        self,
        max_field_bytes: int = DEFAULT_MAX_FIELD_BYTES,
        *,
        redact: bool = True,
        count: Count = lambda _rule, _number: None,
    ) -> None:
        self._max_bytes = max_field_bytes
        self._redact = redact
        self._count = count
        # A string of this length cannot exceed the bound, whatever its characters are.
        self._ordinary_length = max_field_bytes // 6

    @property
    def redacts(self) -> bool:
        """Whether credentials are replaced."""
        return self._redact

    def texts(
        self, message: str, input_json: object, response_json: object
    ) -> tuple[str, bytes, bytes]:
        """Return the safe message, and both values as compact JSON.

        Ordinary values are encoded as they are. Walked are those that orjson refuses, that may
        hold a credential or a number that JSON lacks, or that are too large.
        """
        if orjson_dumps is None or type(message) is not str:
            return self._walked(message, input_json, response_json)
        input_text = response_text = b""
        try:
            # A dict of plain values alone is not tracked and cannot multiply: the common case.
            if (is_tracked(input_json) and self._multiplies(input_json)) or (
                is_tracked(response_json) and self._multiplies(response_json)
            ):
                return self._walked(message, input_json, response_json)
            if input_json is not None:
                input_text = orjson_dumps(input_json, None, AS_GIVEN)
            if response_json is not None:
                response_text = orjson_dumps(response_json, None, AS_GIVEN)
            flags = scan(message, input_text, response_text)  # raises for a lone surrogate
            if (
                (
                    len(message) + len(input_text) + len(response_text) > self._ordinary_length
                    and self._exceeds(message, input_text, response_text)
                )
                or (flags & HAS_NULL and _has_non_finite((input_json, response_json)))
                or (
                    flags > HAS_NULL
                    and self._redact
                    and confirm(flags, b"".join((message.encode(), input_text, response_text)))
                )
            ):
                return self._walked(message, input_json, response_json)
        except Exception:  # noqa: BLE001 - orjson's and the values' own errors alike
            return self._walked(message, input_json, response_json)
        return message, input_text or _NULL, response_text or _NULL

    def _exceeds(self, message: str, input_text: bytes, response_text: bytes) -> bool:
        """Return whether a field exceeds its bytes; exact for the two JSON texts."""
        return (
            len(input_text) > self._max_bytes
            or len(response_text) > self._max_bytes
            or len(message) > self._ordinary_length
        )

    def _multiplies(self, value: Any) -> bool:
        """Return whether a value's first branches alone hold more than can fit.

        Lists that contain one another several times may stand for more items than memory holds,
        and the encoder would write out each.
        """
        if (  # from Python 3.14 on each dict is tracked, also one of plain values alone
            type(value) is dict
            and len(value) <= _MAX_FLAT_VALUES
            and _FLAT_TYPES.issuperset(map(type, value.values()))
        ):
            return False
        items = 1
        for _ in range(MAX_DEPTH):
            if not isinstance(value, (dict, list, tuple)):
                return False
            items *= len(value) or 1
            if items > self._max_bytes:
                return True
            inside = islice(value.values() if isinstance(value, dict) else value, _BRANCHES_TRIED)
            value = next((item for item in inside if isinstance(item, (dict, list, tuple))), None)
        return False

    def _walked(
        self, message: str, input_json: object, response_json: object
    ) -> tuple[str, bytes, bytes]:
        return (
            self.text(message, "message"),
            self.json_text(input_json, "input_json"),
            self.json_text(response_json, "response_json"),
        )

    def json_text(self, value: object, path: str = "") -> bytes:
        """Return any value as compact JSON, redacted and bounded, by way of the walk."""
        try:
            walk = self._new_walk(path, mark_bytes=0)
            plain = walk.plain(value)
            if walk.was_cut:
                walk = self._new_walk(path)
                plain = walk.plain(value)
            for rule, number in walk.replaced.items():
                self._count(rule, number)
            return dumps(plain)
        except RecursionError:  # the caller's own stack is all but full
            return f'"{TOO_DEEP}"'.encode()

    def _new_walk(self, _path: str, mark_bytes: int = MARK_BYTES) -> JsonWalk:
        return JsonWalk(self._max_bytes, redact=self._redact, mark_bytes=mark_bytes)

    def _redacted(self, text: str, limit: int, _path: str) -> str:
        safe = redact_head(text, limit)
        if safe is not text:
            replaced = count_replaced(text, safe)
            if replaced:
                self._count(BY_FORM, replaced)
        return safe

    def traceback(self, text: str, error: BaseException | None) -> str:
        """Return a traceback that shows variables, without what is secret."""
        return redact_shown_values(text, error) if self._redact else text

    def text(self, value: object, path: str = "") -> str:
        """Return any value as text, redacted before it is cut; ``path`` is the field's name."""
        whole = str.__str__(value) if isinstance(value, str) else describe(value, str)
        text = whole if len(whole) <= self._max_bytes else whole[: self._max_bytes + 8192]
        text = clean_text(text)
        if self._redact:
            text = self._redacted(text, self._max_bytes, path)
        is_short = len(whole) <= self._max_bytes // 6
        if is_short or (len(whole) <= self._max_bytes and len(dumps(text)) <= self._max_bytes):
            return text
        return cut_text(text, self._max_bytes, len(whole))

    def exception(self, error: BaseException) -> tuple[str, str]:
        """Return an exception's message, and its description in at most 350 characters."""
        message = self.text(exception_message(error), "exception_message")
        return message, exception_text(error, MAX_CHARACTERS, self._redacted_line)

    def _redacted_line(self, text: str) -> str:
        if not self._redact:
            return text[: MAX_CHARACTERS * 2]
        return self._redacted(text, MAX_CHARACTERS * 2, "exception_message")


def _has_non_finite(value: Any) -> bool:
    """Return whether a value may hold a float that orjson wrote as null."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_non_finite, value))
    # A record or a datetime: the walk knows them.
    return not (value is None or isinstance(value, (str, int)))
