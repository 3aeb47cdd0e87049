"""Masks values in messages, each by the name of its kind.

Each regular expression is possessive or bounded, and begins where its kind can begin, so the time
is linear for any text.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

CODE_WORDS: Final = ("status", "status_code", "code", "errno")

_SHORTEST_HEX_WORD: Final = 7
_WORDS_OF_HEX_LETTERS: Final = frozenset({"acceded", "defaced", "effaced", "fabaceae"})
_HEX_LETTERS: Final = "abcdefABCDEF"

# A value begins and ends where no letter or digit is next to it; an underscore may be.
_START: Final = r"(?<![^\W_])"
_ANYWHERE: Final = ""
_END: Final = r"(?![^\W_])"
_HEX: Final = r"[0-9a-fA-F]"
_GROUP: Final = rf"{_HEX}{{1,4}}"
_UUID: Final = rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_ZONE: Final = r"(?:Z|[+-]\d\d:?+\d\d)"
_DECIMAL: Final = r"\d++(?:\.\d++)?+"
_SHORT: Final = r"\d{1,5}+(?:\.\d++)?+"
_DURATION_UNIT: Final = (
    r"(?:[num\u00b5\u03bc]?s|secs?|seconds?|mins?|minutes?|m|hrs?|hours?|h|days?|w|weeks?)"
)
_SIZE_UNIT: Final = r"(?:[kKMGTPE](?:i?[bB]|bit|bps)?|bytes?|bits?|bps)(?:/s)?+"


class Mask(NamedTuple):
    """One form of a value: the mask that stands for it, its regular expression, and an example."""

    name: str
    regex: str
    example: str
    start: str = _START
    """Where it may begin."""


WITH_DASHES: Final = (
    Mask("UUID", _UUID, "x123e4567-e89b-42d3-a456-426614174000", _ANYWHERE),
    Mask(
        "TIMESTAMP",
        rf"{_HEX}\d{{3}}-\d\d-\d\d[T_]\d\d:\d\d(?::\d\d(?:[.,]\d++)?+)?+{_ZONE}?+",
        "2026-01-31T12:30:45.123+01:00",
    ),
    Mask("DATE", rf"{_HEX}\d{{3}}-\d\d-\d\d{_END}", "2026-01-31"),
    Mask("DATE", rf"{_HEX}\d?-\d\d?-\d{{4}}{_END}", "31-01-2026"),
    Mask("MAC", rf"{_HEX}{{2}}-{_HEX}{{2}}(?:-{_HEX}{{2}}){{4}}{_END}", "00-1a-2b-3c-4d-5e"),
)
WITH_DOTS: Final = (
    Mask("IP", rf"\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!\.?\d){_END}", "192.168.1.10"),
    Mask(
        "DATE",
        rf"(?:\d{{4}}\.\d\d?\.\d\d?|\d\d?\.\d\d?\.\d{{4}})(?!\.?\d){_END}",
        "31.1.2026",
    ),
    Mask("VERSION", r"\d++(?:\.\d++){2,}+", "v1.20.3", _ANYWHERE),
)
WITH_SLASHES: Final = (
    Mask("DATE", rf"\d{{4}}/\d\d?/\d\d?{_END}", "2026/1/31"),
    Mask("DATE", rf"\d\d?/\d\d?/(?:\d{{4}}|\d\d){_END}", "1/31/26"),
    Mask(
        "TIMESTAMP",
        r"\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d",
        "31/Jan/2026:12:30:45",
    ),
)
WITH_COLONS: Final = (
    Mask("TIME", rf"\d\d?:\d\d:\d\d(?:[.,]\d++)?+{_ZONE}?+", "12:30:45.123Z"),
    Mask("MAC", rf"{_HEX}{{2}}(?::{_HEX}{{2}}){{5}}", "00:1a:2b:3c:4d:5e"),
    Mask("IP", rf"(?:{_GROUP}:){{7}}{_GROUP}(?:%\w++)?+", "2001:db8:0:0:0:0:0:1"),
    Mask(
        "IP",
        rf"(?=[a-fA-F:.]*+\d)(?:{_GROUP}(?::{_GROUP}){{0,6}}+)?+::"
        rf"(?:(?:{_GROUP}:){{0,6}}(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|{_GROUP}))?(?:%\w++)?+",
        "fe80::1%eth0",
    ),
)
PLAIN: Final = (
    Mask("SIZE", rf"{_SHORT}[bB]{_END}", "512b"),
    Mask("DURATION", rf"{_SHORT}d{_END}", "7d"),
    Mask("DURATION", rf"(?:{_DECIMAL}{_DURATION_UNIT})++{_END}", "1h30m"),
    Mask("SIZE", rf"{_DECIMAL}{_SIZE_UNIT}{_END}", "1.5GiB/s"),
    Mask("TIMESTAMP", rf"\d{{8}}T\d{{6}}(?:\.\d++)?+Z?+{_END}", "20260131T123045Z"),
    Mask("HEXID", rf"{_HEX}{{32,}}+{_END}", "0123456789abcdef0123456789abcdef"),
    Mask("N", rf"[0-9][xX]{_HEX}++{_END}", "0x7ffe"),
    Mask("N", rf"(?=[0-9]*+[a-fA-F]){_HEX}{{7,31}}+{_END}", "da39a3e"),
    Mask("N", rf"(?=[0-9]*+[a-fA-F])(?=[a-fA-F]*+[0-9]){_HEX}{{4,6}}+{_END}", "3f2a"),
    Mask(
        "N",
        rf"(?=[A-Za-z0-9]{{8}})[A-Za-z]*+[0-9]++[A-Za-z]++[0-9][A-Za-z0-9]*+{_END}",
        "x7k2pq9z",
    ),
    Mask(
        "N",
        rf"(?:(?<![\w)\]}}])[-+])?\d++(?:[,_]\d++)*+(?:\.\d++)?+(?:[eE][-+]?+\d++{_END})?+",
        "-1,234.5e6",
        _ANYWHERE,
    ),
)


def _joined(masks: Iterable[Mask], first: str = "") -> re.Pattern[str]:
    """Return one expression for all rows: the first match wins, and its empty group names it.

    Checking the first character and the start once costs less than trying each row.
    """
    numbered = [(m.start, f"{m.regex}(?P<{m.name}_{n}>)") for n, m in enumerate(masks)]
    parts = (
        f"{start}(?:{'|'.join(regex for _, regex in group)})"
        for start, group in groupby(numbered, itemgetter(0))
    )
    return re.compile(f"{first}(?:{'|'.join(parts)})")


_WITH_DASHES: Final = _joined(WITH_DASHES, f"(?={_HEX})")
_WITH_DOTS: Final = _joined(WITH_DOTS, r"(?=\d)")
_WITH_SLASHES: Final = _joined(WITH_SLASHES, r"(?=\d)")
_WITH_COLONS: Final = _joined(WITH_COLONS)
_PLAIN: Final = _joined(PLAIN)
_UUID_ALONE: Final = re.compile(_UUID)
_LETTERS_OF_HEX: Final = re.compile(rf"[a-fA-F]{{7}}(?<!\w.{{7}})[a-fA-F]*+{_END}")
_COLON_RUN: Final = re.compile(rf"[0-9a-fA-F:](?<!\w.)[0-9a-fA-F:.,]++(?:{_ZONE}|%\w++)?+(?!\w)")
_QUOTED: Final = re.compile(
    r"""["'`](?<!\w.)(?:(?<=")[^"]*+"|(?<=')[^']*+'|(?<=`)[^`]*+`)(?!\w)(:?)"""
)
_URL: Final = re.compile(
    r"[A-Za-z](?<![A-Za-z0-9+.-].)[A-Za-z0-9+.-]{1,20}+://[^\s\"'<>()\[\]{},;]*(?<![.:!?])"
)
_EMAIL: Final = re.compile(r"[\w.%+-](?<![\w.%+-].)[\w.%+-]*+@[\w-]++(?:\.[\w-]++)++")
_PATH: Final = re.compile(
    r"""(?<![\w/\\.~)-])(?:
        (?:[A-Za-z]:[\\/]|\\\\|~[\\/]|\.\.?[\\/]|/(?=[\w.~$%@-]))[^\s"'<>|:;,()\[\]{}=?*]*(?<!\.)
        |(?P<relative>[\w.-]++[\\/][\w.~$%@\\/-]++)
    )""",
    re.VERBOSE,
)
_EXTENSION: Final = re.compile(r"\w\.[A-Za-z]\w{0,4}$")

_SHORTEST_TOKEN: Final = 16
_SHORTEST_PLAIN_TOKEN: Final = 20
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9+/_-](?<![A-Za-z0-9+/_-].)[A-Za-z0-9+/_-]{15,}+={0,2}")
_PLAIN_FOLDER: Final = re.compile(r"/[A-Z]?[a-z0-9_-]{2,}+(?:/|$)")
_SHORTEST_TOKEN_WITH_SLASH_FIRST: Final = 24
_PIECE: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_PIECE_OF_A_WORD: Final = re.compile(r"(?=.?[a-z]{2})[A-Z]?[a-z]*[aeiouy]|[AEIOUY][a-z]{2}")
_TINY: Final = 2
_MANY_TINY: Final = 4

_DATE_TIME: Final = re.compile(r"\bDATE TIME\b")
# Without an edge in front, which would keep the search from leaping to capital letters.
_REPEATED: Final = re.compile(r"(N|UUID|HEXID|QUOTED)(?:(?:, ?| )\1\b)++")

_CODE_AT_THE_START: Final = re.compile(r"\W?\d{1,3}(?![\w.]*\w)")
_CODE_IN_A_TOKEN: Final = re.compile(rf"(?i:{'|'.join(CODE_WORDS)})[\"']?[=:][\"']?\d{{1,3}}(?!\w)")


def replace_values(token: str) -> str:  # noqa: C901 - a check for each form
    """Return a token, which holds no white space, with its values masked."""
    if _UUID_ALONE.fullmatch(token):
        return "UUID"
    if "://" in token:
        token = _URL.sub("URL", token)
        if token == "URL":  # noqa: S105
            return token
    if "@" in token:
        token = _EMAIL.sub("EMAIL", token)
    if token.count("-") > 1:
        token = _WITH_DASHES.sub(_mask_for, token)
    if len(token) >= _SHORTEST_TOKEN:
        token = _LONG_RUN.sub(_mask_token, token)
    if "/" in token or "\\" in token:
        token = _WITH_SLASHES.sub(_mask_for, _PATH.sub(_mask_path, token))
    if token.count(":") > 1:
        token = _COLON_RUN.sub(_mask_colon_run, token)
    if token.isalpha():
        return "N" if _is_hex(token) else token
    if token.count(".") > 1:
        token = _WITH_DOTS.sub(_mask_for, token)
    token = _LETTERS_OF_HEX.sub(_mask_hex, token)
    return _PLAIN.sub(_mask_for, token)


def replace_quoted(text: str) -> str:
    """Return a text with quoted text masked, except for names of values, as in JSON."""
    return _QUOTED.sub(_mask_quoted, text)


def join_neighbours(pattern: str) -> str:
    """Return a pattern with a date and its time joined, and lists of any length as one value."""
    if "DATE TIME" in pattern:
        pattern = _DATE_TIME.sub("TIMESTAMP", pattern)
    if "N, N" in pattern or "N N" in pattern or "N,N" in pattern or "D," in pattern:
        pattern = _REPEATED.sub(_first_of_a_list, pattern)
    return pattern


def find_code(token: str) -> tuple[int, int] | None:
    """Return the span of a code and its name in a token such as ``status=200``."""
    code = _CODE_IN_A_TOKEN.search(token)
    return code.span() if code else None


def is_code(token: str) -> bool:
    """Return whether a token that comes after ``status`` and the like is a code."""
    return _CODE_AT_THE_START.match(token) is not None


def _mask_for(value: re.Match[str]) -> str:
    return (value.lastgroup or "").partition("_")[0]


def _is_hex(word: str) -> bool:
    return (
        len(word) >= _SHORTEST_HEX_WORD
        and not word.strip(_HEX_LETTERS)
        and word.lower() not in _WORDS_OF_HEX_LETTERS
    )


def _mask_hex(letters: re.Match[str]) -> str:
    return "N" if _is_hex(letters[0]) else letters[0]


def _mask_colon_run(run: re.Match[str]) -> str:
    text = run[0]
    value = text.rstrip(".,:") if not text.endswith("::") else text
    match = _WITH_COLONS.fullmatch(value)
    return text if match is None else _mask_for(match) + text[len(value) :]


def _mask_token(run: re.Match[str]) -> str:
    """Tell random text, such as base64, from words written together.

    In random text small and capital letters and digits change places all the time; words have
    stretches of small letters with a vowel in them. Hex digits are left to the other masks.
    """
    text = run[0]
    bare = text.rstrip("=")
    if text != bare:
        return "TOKEN"
    if text[0] == "/" and (
        len(text) % 4 or len(text) < _SHORTEST_TOKEN_WITH_SLASH_FIRST or _PLAIN_FOLDER.match(text)
    ):
        return text
    if bare.islower() or bare.isupper() or not bare.strip("0123456789abcdefABCDEF-"):
        return text
    pieces = _PIECE.findall(bare)
    in_words = sum(len(piece) for piece in pieces if _PIECE_OF_A_WORD.match(piece))
    tiny = sum(len(piece) <= _TINY for piece in pieces)
    is_random = in_words * 2 < sum(map(len, pieces)) or (
        len(bare) >= _SHORTEST_PLAIN_TOKEN and tiny >= _MANY_TINY
    )
    return "TOKEN" if is_random else text


def _mask_path(path: re.Match[str]) -> str:
    """Tell ``src/main.py``, which is a path, from ``and/or`` and from dates and fractions."""
    relative = path["relative"]
    return "PATH" if relative is None or _EXTENSION.search(relative) else path[0]


def _mask_quoted(quoted: re.Match[str]) -> str:
    return quoted[0] if quoted[1] else "QUOTED"


def _first_of_a_list(repeated: re.Match[str]) -> str:
    start = repeated.start()
    return repeated[0] if start and repeated.string[start - 1].isalnum() else repeated[1]
