"""What a message says, without the values in it: its pattern, and the pattern's signature.

The steps are a table in the specification (sampling, signatures). A message is split at white
space; most tokens are words that were seen before, and cost one look into a table.
"""

from hashlib import md5
from typing import Final

from sovdev_logger.sampling import kinds

MAX_CHARACTERS: Final = 2048
"""What is longer is cut first: a pattern is told by how a message begins."""

_MAX_KNOWN: Final = 4096
_MAX_KNOWN_CHARACTERS: Final = 32

_known: dict[str, str] = {}
"""What stands for a word, or for the shape of a value; emptied when it is full."""

_DIGITS_AS_ZERO: Final = str.maketrans("123456789", "000000000")

_VERSION_WORDS: Final = frozenset({"version", "release"})
_TELLING_WORDS: Final = frozenset(
    spelling + mark
    for word in (*kinds.CODE_WORDS, *_VERSION_WORDS)
    for spelling in (word, word.capitalize(), word.upper())
    for mark in ("", ":", "=")
)


def signature_of(message: str) -> str:
    """Return the MD5 of a message's pattern, as 32 lower-case hex digits.

    ``signature_of("User 123 logged in")`` is the MD5 of ``User N logged in``. Thread and signal
    safe; raises nothing, whatever the text holds.

    Specification: sampling, signatures.
    """
    return digest(pattern_of(message))


def digest(pattern: str) -> str:
    """Return the MD5 of a pattern: a name for it, no protection."""
    return md5(pattern.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def pattern_of(message: str) -> str:
    """Return a message with its values replaced by the names of their kinds.

    Takes linear time; of a message longer than 2,048 characters the beginning counts. Thread and
    signal safe; raises nothing.

    Specification: sampling, signatures.
    """
    text = message if len(message) <= MAX_CHARACTERS else message[:MAX_CHARACTERS]
    if "'" in text or '"' in text or "`" in text:
        text = kinds.replace_quoted(text)
    known = _known.get
    tokens = text.split()
    parts = [known(token) or _without_values(token) for token in tokens]
    if not _TELLING_WORDS.isdisjoint(tokens):
        _mend_what_words_tell(tokens, parts)
    return kinds.join_neighbours(" ".join(parts))


def _without_values(token: str) -> str:
    """Return what stands for a token whose text is not known."""
    if token.isdecimal():
        return "N"
    if len(token) > _MAX_KNOWN_CHARACTERS:
        return kinds.replace_values(token)
    if ("=" in token or ":" in token) and not token[0].isdigit():
        code = kinds.find_code(token)
        if code is not None:
            start, end = code
            rest = token[end:] and _without_values(token[end:])
            return (token[:start] and _without_values(token[:start])) + token[start:end] + rest
    # Which kind a value is does not depend on which digits are in it.
    shape = token.translate(_DIGITS_AS_ZERO)
    found = _known.get(shape)
    if found is None:
        found = kinds.replace_values(shape)
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[shape] = found
    return found


def _mend_what_words_tell(tokens: list[str], parts: list[str]) -> None:
    """Keep codes as they are, and call a version a version, where the word before says it."""
    for at in range(1, len(tokens)):
        before = tokens[at - 1]
        if before not in _TELLING_WORDS:
            continue
        if before.rstrip(":=").lower() in _VERSION_WORDS:
            parts[at] = parts[at].replace("IP", "VERSION")
        elif kinds.is_code(tokens[at]):
            parts[at] = tokens[at]
