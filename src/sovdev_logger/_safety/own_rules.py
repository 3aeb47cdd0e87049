"""Redaction by the user's own rules: keys, patterns, a function, pseudonyms and detectors.

Used only where one is configured: the hot path of a service without them does not pass here.
"""

import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sovdev_logger._safety.detectors import Detector
from sovdev_logger._safety.json_values import describe
from sovdev_logger._safety.json_walk import MARK_BYTES, JsonWalk
from sovdev_logger._safety.redaction import REDACTED, is_sensitive_key
from sovdev_logger._safety.sanitizer import Count, Sanitizer
from sovdev_logger._safety.traceback_redaction import redact_shown_values

RedactFunction = Callable[[str, Any], object]

_MAX_FUNCTION_CALLS: Final = 1000
"""Calls of the user's function for one field; the values beyond are replaced."""
_MARGIN: Final = 8192
_MAX_NUMBER: Final = 10**30
_PSEUDONYM_DIGITS: Final = 24
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
"""A pseudonym has no digits, which a detector could take for a number."""
_PSEUDONYM: Final = re.compile(rf"\[PSEUDONYM:[a-p]{{{_PSEUDONYM_DIGITS}}}\]")
_SEPARATORS: Final = re.compile(r"[_\-. ]+|(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNED: Final = (
    r"(?P<head>[\"'\\]{0,9}\]?[ \t]{0,20}(?:=>|:=|==?|:)[ \t]{0,20})"
    r"(?!(?:none|null|true|false)(?!\w))(?P<opening>\\{1,8}[\"']|[\"']?)"
    r"(?P<value>(?<=\")(?<!\\\")(?:[^\"\\]|\\.)++|(?<=')(?<!\\')(?:[^'\\]|\\.)++"
    r"|(?<=\\[\"'])[^\"'\\]++|(?<![\"'])(?:\[PSEUDONYM:[a-p]+\]|\[REDACTED\]|[^\s,;&\"'<>)}\]\\]++))"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user configured; a name with a dot is the end of a path.

    Attributes:
        keys: Names of keys whose values are replaced.
        patterns: Expressions by their names; each match is replaced.
        allow: Names of keys that no name rule applies to.
        pseudonym_keys: Names of keys whose values get a keyed pseudonym.
        pseudonym_key: The key; never printed.
        detectors: Detectors by their names.
        function: Called with path and value; returns the value, or what replaces it.
    """

    keys: Sequence[str] = ()
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    allow: Sequence[str] = ()
    pseudonym_keys: Sequence[str] = ()
    pseudonym_key: str | None = field(default=None, repr=False)
    detectors: Mapping[str, Detector] = field(default_factory=dict)
    function: RedactFunction | None = None


class OwnRules:
    """The rules, ready to be applied. Never raises; thread and signal safe: it holds no lock.

    Args:
        rules: What the user configured.
        warn: Called with a key and a sentence when the user's function fails.
    """

    def __init__(self, rules: Rules, warn: Callable[[str, str], object]) -> None:
        self._rules = rules
        self._warn = warn
        self._inside_function = threading.local()
        self._key = (rules.pseudonym_key or "").encode("utf-8", "replace")
        # The last wins: what is allowed is never redacted by its name.
        kinds = (("key", rules.keys), ("pseudonym", rules.pseudonym_keys), ("allow", rules.allow))
        self._kinds = {_path_of(name): kind for kind, names in kinds for name in names}
        self._longest = max(map(len, self._kinds), default=0)
        self._assignment = _assignment(
            [name for name in (*rules.keys, *rules.pseudonym_keys) if "." not in name]
        )

    def kind(self, path: Sequence[str]) -> str | None:
        """Return which name rule applies to the value at ``path``; the longest name decides."""
        tail = tuple(_plain_name(name) for name in path[-self._longest :])
        for start in range(len(tail)):
            kind = self._kinds.get(tail[start:])
            if kind is not None:
                return kind
        return None

    def is_sensitive_key(self, name: str) -> bool:
        """Return whether a value of this name is redacted, by a rule of ours or the user's."""
        kind = self.kind((name,))
        return kind in {"key", "pseudonym"} or (kind is None and is_sensitive_key(name))

    def text(self, text: str, count: Count) -> str:
        """Return ``text`` as keys, patterns and detectors leave it."""
        if self._assignment is not None:
            text = self._assignment.sub(lambda match: self._without_value(match, count), text)
        for name, pattern in self._rules.patterns.items():
            text, replaced = pattern.subn(lambda match: REDACTED if match[0] else "", text)
            if replaced:
                count(f"pattern:{name}", replaced)
        for name, detector in self._rules.detectors.items():
            spans = list(detector(text))
            for start, end in reversed(spans):
                text = f"{text[:start]}{REDACTED}{text[end:]}"
            if spans:
                count(name, len(spans))
        return text

    def _without_value(self, match: re.Match[str], count: Count) -> str:
        kind, value = self.kind((match["name"],)), match["value"]
        if kind not in {"key", "pseudonym"} or value == REDACTED:
            return match[0]
        count(kind, 1)
        shown = REDACTED if kind == "key" else self.pseudonym(value)
        return f"{match['name']}{match['head']}{match['opening']}{shown}"

    def pseudonym(self, value: str) -> str:
        """Return the same token for the same value in every process that has the same key."""
        value = value.strip()
        if _PSEUDONYM.fullmatch(value):
            return value
        digest = hmac.new(self._key, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        return f"[PSEUDONYM:{digest[:_PSEUDONYM_DIGITS].translate(_LETTERS)}]"

    @property
    def has_function(self) -> bool:
        """Whether the user gave a function."""
        return self._rules.function is not None

    def call(self, path: str, value: str | float) -> object:
        """Return what the user's function makes of a value; ``[REDACTED]`` where it fails."""
        function, inside = self._rules.function, self._inside_function
        if function is None or value == REDACTED:
            return value
        if getattr(inside, "is_set", False):
            self._warn(
                "redact:inside",
                "the function given as redact logs, or a signal handler logs while it runs: "
                "values logged there are replaced by [REDACTED]. Do not log in it.",
            )
            return REDACTED
        inside.is_set = True
        try:
            result = function(path, value)
            if result is None or isinstance(result, (str, int, float)):
                return result
            problem = f"returned a {type(result).__name__}"
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            problem = f"raised {type(error).__name__}"
        finally:
            inside.is_set = False
        self._warn(
            "redact:failed",
            f"the function given as redact {problem}; the value is replaced by [REDACTED]. It has "
            "to return the value, or a text, number, boolean or None to replace it.",
        )
        return REDACTED


class OwnRulesSanitizer(Sanitizer):
    """A sanitizer that applies the user's rules besides ours: it walks every value."""

    def __init__(self, max_field_bytes: int, rules: OwnRules, count: Count) -> None:
        super().__init__(max_field_bytes, count=count)
        self._rules = rules

    def texts(
        self, message: str, input_json: object, response_json: object
    ) -> tuple[str, bytes, bytes]:
        """Return the safe message, and both values as compact JSON."""
        return self._walked(message, input_json, response_json)

    def traceback(self, text: str, error: BaseException | None) -> str:
        """Return a traceback that shows variables, without what is secret."""
        text = redact_shown_values(text, error, self._rules.is_sensitive_key)
        return self._rules.text(text, self._count)

    def _new_walk(self, path: str, mark_bytes: int = MARK_BYTES) -> JsonWalk:
        return _OwnWalk(self._max_bytes, self._rules, path, mark_bytes)

    def _redacted(self, text: str, limit: int, path: str) -> str:
        if self._rules.has_function:
            result = self._rules.call(path, text[: limit + _MARGIN])
            if result is not text and result != text[: limit + _MARGIN]:
                self._count("function", 1)
            text = str(result)
        return super()._redacted(self._rules.text(text, self._count), limit, path)


class _OwnWalk(JsonWalk):
    def __init__(self, max_bytes: int, rules: OwnRules, path: str, mark_bytes: int) -> None:
        super().__init__(max_bytes, redact=True, mark_bytes=mark_bytes)
        self._rules = rules
        self._path = [path]
        self._is_pseudonymous = False
        self._calls = 0

    def _item(self, name: str, item: Any) -> Any:
        was_pseudonymous = self._is_pseudonymous
        self._path.append(name)
        try:
            kind = self._rules.kind(self._path)
            if kind is None:
                return super()._item(name, item)
            if kind == "key" and not (item is None or isinstance(item, bool)):
                self._count("key", 1)
                return super()._text(REDACTED)
            self._is_pseudonymous = was_pseudonymous or kind == "pseudonym"
            return self._value(item)
        finally:
            self._path.pop()
            self._is_pseudonymous = was_pseudonymous

    def _sequence(self, items: Any) -> list[Any]:
        if type(items) is tuple and len(items) == 2 and isinstance(items[0], (str, bytes)):  # noqa: PLR2004
            name = items[0] if isinstance(items[0], str) else items[0].decode("latin-1")
            kind = self._rules.kind((*self._path, name))
            if kind == "allow":
                return super()._sequence(list(items))
            if kind is not None and not (items[1] is None or isinstance(items[1], bool)):
                self._count(kind, 1)
                is_pseudonym = kind == "pseudonym"
                value = self._rules.pseudonym(_text_of(items[1])) if is_pseudonym else REDACTED
                items = (items[0], value)
        return super()._sequence(items)

    def _text(self, text: str) -> Any:
        if text == REDACTED:
            return super()._text(text)
        if self._is_pseudonymous:
            self._count("pseudonym", 1)
            return super()._text(self._rules.pseudonym(text))
        return self._checked(text[: self._left + _MARGIN], text, super()._text)

    def _integer(self, number: int) -> Any:
        return self._number(number, super()._integer)

    def _float(self, number: float) -> Any:
        return self._number(number, super()._float)

    def _number(self, number: Any, write: Callable[[Any], Any]) -> Any:
        if not -_MAX_NUMBER < number < _MAX_NUMBER:
            return write(number)
        if self._is_pseudonymous:
            return self._text(str(number))
        if isinstance(number, int):
            text = self._rules.text(str(number), self._count)
            if text != str(number):
                return super()._text(text)
        return self._checked(number, number, write)

    def _checked(self, given: Any, whole: Any, write: Callable[[Any], Any]) -> Any:
        """Write a value, or what the user's function makes of it."""
        if not self._rules.has_function:
            return write(whole)
        self._calls += 1
        is_bounded = self._calls <= _MAX_FUNCTION_CALLS
        result = self._rules.call(".".join(self._path), given) if is_bounded else REDACTED
        if result is given or (type(result) is type(given) and result == given):
            return write(whole)
        self._count("function", 1)
        if result is None or isinstance(result, bool):
            return self._scalar(result)
        if isinstance(result, int):
            return super()._integer(result)
        return super()._float(result) if isinstance(result, float) else super()._text(str(result))

    def _redacted(self, text: str, limit: int) -> str:
        return super()._redacted(self._rules.text(text, self._count), limit)


def _text_of(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else describe(value, str)


def _plain_name(name: str) -> str:
    return name.translate(_WITHOUT_SEPARATORS).lower()


_WITHOUT_SEPARATORS: Final = dict.fromkeys(map(ord, "_-. "))


def _path_of(name: str) -> tuple[str, ...]:
    return tuple(_plain_name(part) for part in name.split(".") if part)


def _assignment(names: Sequence[str]) -> re.Pattern[str] | None:
    """Return what finds the values of these names in a text, in any case and spelling."""
    if not names:
        return None
    spelt = ("[_. -]?".join(map(re.escape, _SEPARATORS.split(name))) for name in names)
    return re.compile(
        rf"(?<![^\W_])(?P<name>{'|'.join(sorted(spelt, key=len, reverse=True))}){_ASSIGNED}",
        re.IGNORECASE | re.DOTALL,
    )
