"""Escapes what would let a text end its line, steer a terminal or reorder what is shown.

Each text that leaves for a terminal, for stderr or for a file of lines for people goes through
here. JSON needs no such step for what ends a line: its encoder escapes that.
"""

import re
from typing import Final

from sovdev_logger._safety.redaction import head, redact_text

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: line ends, ESC, CSI
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\ufeff\ud800-\udfff]"  # byte order mark; surrogates, which no encoding can write
)
_NAMED: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_LAST_OF_LATIN_1: Final = 0xFF

_INDENT: Final = "    "
_OF_A_TRACEBACK: Final = re.compile(
    r"\s"
    r"|Traceback \(most recent call last\):$"
    r"|> File "
    r"|The above exception was the direct cause of the following exception:$"
    r"|During handling of the above exception, another exception occurred:$"
    r"|[^\W\d][\w.<>]*(?:: |:?$)"  # the exception's class, and its text
)
"""How a line of a traceback may begin. An entry begins with its time, so none of these is one."""


def one_line(text: str) -> str:
    """Return ``text`` with visible escapes for controls, line ends and lone surrogates."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escaped, text)


def notice_line(text: str, max_characters: int | None = None) -> str:
    """Return a text of our own as one redacted line; it may quote a server or a setting.

    Redacted before it is cut, so that no half of a credential remains unrecognised.
    """
    if max_characters is not None:
        text = head(text, max_characters)
    return one_line(redact_text(" ".join(text.split())))[:max_characters]


def traceback_lines(text: str) -> str:
    """Return a traceback whose lines are all escaped, and none of which can pass for an entry.

    Its own line breaks stay. A line that no traceback begins with comes from an exception's text,
    a note or a shown value, and is indented.
    """
    return "\n".join(map(_traceback_line, text.split("\n")))


def _traceback_line(line: str) -> str:
    line = one_line(line)
    return line if not line or _OF_A_TRACEBACK.match(line) else f"{_INDENT}{line}"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    plain = f"\\x{code:02x}" if code <= _LAST_OF_LATIN_1 else f"\\u{code:04x}"
    return _NAMED.get(character, plain)
