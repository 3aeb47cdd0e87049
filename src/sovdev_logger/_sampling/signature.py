"""The pattern of a message, which is its text with the values masked, and the pattern's signature.

The steps are a table in the specification (sampling, signatures). Most messages differ from an
earlier one in digits only, and most tokens of the others are known words: both cost one lookup.
"""

from hashlib import md5
from typing import Final

from sovdev_logger._sampling import masking

MAX_CHARACTERS: Final = 2048
"""Longer messages are cut first: the beginning determines the pattern."""

_MAX_KNOWN: Final = 4096
_MAX_KNOWN_CHARACTERS: Final = 32

_MAX_SHAPE_BYTES: Final = 256

_by_shape: dict[bytes, str] = {}
"""Patterns of messages with each digit as 0: most messages differ in digits only."""

_DIGITS_AS_ZERO: Final = str.maketrans("123456789", "000000000")
_BYTES_OF_DIGITS_AS_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")

_VERSION_WORDS: Final = frozenset({"version", "release"})
_TELLING_WORDS: Final = frozenset(
    spelling + mark
    for word in (*masking.CODE_WORDS, *_VERSION_WORDS)
    for spelling in (word, word.capitalize(), word.upper())
    for mark in ("", ":", "=")
)


def signature_of(message: str) -> str:
    """Return the MD5 of a message's pattern, as 32 lower-case hex digits.

    ``signature_of("User 123 logged in")`` is the MD5 of ``User N logged in``. Thread and signal
    safe; never raises.

    Specification: sampling, signatures.
    """
    return digest(pattern_of(message))


def digest(pattern: str) -> str:
    """Return the MD5 of a pattern: a name for it, no protection."""
    return md5(pattern.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def pattern_of(message: str) -> str:
    """Return a message with its values masked.

    Takes linear time; a message longer than 2,048 characters is cut. Thread and signal safe; never
    raises.

    Specification: sampling, signatures.
    """
    text = message[:MAX_CHARACTERS]
    try:
        shape = text.encode().translate(_BYTES_OF_DIGITS_AS_ZERO)
    except UnicodeEncodeError:  # a lone surrogate
        return _masked(text)
    # A value's mask does not depend on which digits are in it.
    pattern = _by_shape.get(shape)
    if pattern is None:
        pattern = _masked(text)
        if _is_reusable(shape, pattern):
            if len(_by_shape) >= _MAX_KNOWN:
                _by_shape.clear()
            _by_shape[shape] = pattern
    return pattern


def _is_reusable(shape: bytes, pattern: str) -> bool:
    """Return whether other messages with this shape may come, and have this pattern."""
    return (
        len(shape) <= _MAX_SHAPE_BYTES
        and "UUID" not in pattern
        and "HEXID" not in pattern
        and "TOKEN" not in pattern
        # Digits that are left are codes: those differ with the digits.
        and b"0" not in pattern.encode().translate(_BYTES_OF_DIGITS_AS_ZERO)
    )


def _masked(text: str) -> str:
    if "'" in text or '"' in text or "`" in text:
        text = masking.replace_quoted(text)
    tokens = text.split()
    parts = list(map(_replacement_for, tokens))
    if not _TELLING_WORDS.isdisjoint(tokens):
        _apply_telling_words(tokens, parts)
    return masking.join_neighbours(" ".join(parts))


class _Replacements(dict[str, str]):
    """Tokens with their values masked; a known word costs one lookup, without a call.

    Words are kept, and the shapes of values; a full cache is emptied.
    """

    def __missing__(self, token: str) -> str:
        if token.isdecimal():
            return "N"
        if len(token) > _MAX_KNOWN_CHARACTERS:
            return masking.replace_values(token)
        if ("=" in token or ":" in token) and not token[0].isdigit():
            code = masking.find_code(token)
            if code is not None:
                start, end = code
                parts = token[:start], token[end:]
                before, after = (self[part] if part else "" for part in parts)
                return before + token[start:end] + after
        shape = token.translate(_DIGITS_AS_ZERO)
        masked = self.get(shape)
        if masked is None:
            masked = masking.replace_values(shape)
            if len(self) >= _MAX_KNOWN:
                self.clear()
            self[shape] = masked
        return masked


_replacements: Final = _Replacements()
_replacement_for: Final = _replacements.__getitem__


def _apply_telling_words(tokens: list[str], parts: list[str]) -> None:
    """Keep codes as they are, and call a version a version, where the word before says it."""
    for at in range(1, len(tokens)):
        before = tokens[at - 1]
        if before not in _TELLING_WORDS:
            continue
        if before.rstrip(":=").lower() in _VERSION_WORDS:
            parts[at] = parts[at].replace("IP", "VERSION")
        elif masking.is_code(tokens[at]):
            parts[at] = tokens[at]
