"""Prefilter of redaction: one scan for parts of credentials, then a regular expression for each.

A compiled pass scans every entry; most hold no part and need no more. Parts such as ``auth`` occur
in harmless words, too. Each expression that confirms a part begins with a literal, so that the
search leaps to it: it takes a nanosecond a character, where one expression for all took hundreds.
"""

import re
from typing import Final

from sovdev_logger._safety.credential_patterns import (
    CREDENTIAL_NAME,
    KEY_OWNERS,
    KEY_SUFFIX,
    PASS_OWNERS,
    SEPARATOR,
    TOKEN_FORMS,
)

HAS_NULL: Final = 1
"""Flag of a null, which may have been a number that JSON lacks."""

PARTS: Final = (
    *("---", "aiza", "akia", "auth", "basic", "beare", "cook", "cred", "eyj", "gho_", "ghp_"),
    *("ghr_", "ghs_", "ghu_", "glpat", "hub_p", "k_live", "k_test", "key", "pass", "pwd", "secr"),
    *("sess", "sid", "sig=", "sk-", "token", "xox", "://@"),
)
"""The parts that the scan flags, in order; the last is a ``://`` and an ``@`` anywhere."""

FLAGS: Final = {part: 2 << number for number, part in enumerate(PARTS)}

try:
    from sovdev_logger._safety.prefilter_scan import scan as scan  # noqa: PLC0414 - for others
except ImportError:  # installed without a compiler

    def scan(message: str, input_text: bytes, response_text: bytes, /) -> int:
        text = b"".join((message.encode(), input_text, response_text)).lower().decode("latin-1")
        # A single character is found ten times as fast as a part.
        flags = sum([flag for part, flag in FLAGS.items() if part[-1] in text and part in text])
        if "://" in text and "@" in text:
            flags |= FLAGS["://@"]
        return flags | HAS_NULL if "null" in text else flags


def _after(owners: tuple[str, ...], word: str) -> str:
    """Return a pattern that matches behind a word if one of its owners stands before it."""
    return "|".join(f"(?<={owner}{s}{word})" for owner in owners for s in ("", SEPARATOR))


_IN_A_QUERY: Final = ("[?&]",)
_NAMES: Final = {
    f"pass(?:w(?:or)?d|phrase|code|ord|{_after(PASS_OWNERS + _IN_A_QUERY, 'pass')})": "pass",
    "pwd": "pwd",
    "secret": "secr",
    "credential": "cred",
    "token": "token",
    f"key(?:{_after(KEY_OWNERS + _IN_A_QUERY, 'key')})": "key",
    f"auth(?:orization|(?:orization)?{SEPARATOR}?code|{_after(_IN_A_QUERY, 'auth')})": "auth",
    f"sess(?:ion)?{SEPARATOR}?id": "sess",
    "sid": "sid",
    "cookie": "cook",
}
_OTHER_FORMS: Final = {
    **{form.lower(): parts for form, parts in TOKEN_FORMS.items()},
    r"eyj[\w-]{5}": "eyj",
    "-----begin": "---",
    "bearer": "beare",
    r"basic(?:[ \t]|\\t|%20)": "basic",
    "sig=(?<=[?&]sig=)": "sig=",
    rf"--[\w-]{{0,40}}?{CREDENTIAL_NAME}": " ".join(_NAMES.values()),
    # Wider than what is redacted: an escape takes up to six bytes.
    r"://(?:[^\s/?#\"'<>]+@|[^\s/?#:@\"'<>]{1,800}:[^\s\"'<>@]{0,800}@)": "://@",
}


def _compiled(signs: str) -> list[tuple[int, re.Pattern[str]]]:
    """Return what confirms a part in lower-case text, beside the flags that call for it.

    A name counts where one of the signs follows it, past a suffix, quotes and escapes.
    """
    gap = rf"(?:\\(?:[bfnrt]|u00[01][0-9a-f])|[^a-z0-9{signs}])*+"
    assigned = rf"s?{KEY_SUFFIX}(?:>|{gap}[{signs}])"
    patterns = {name + assigned: part for name, part in _NAMES.items()} | _OTHER_FORMS
    return [
        (sum(FLAGS[part] for part in parts.split()), re.compile(pattern, re.ASCII))
        for pattern, parts in patterns.items()
    ]


_CHECKS: Final = _compiled(":=")
_CHECKS_WITH_LISTS: Final = _compiled(':="')
"""The end of a text is a sign, too: a pair of texts may be a name and its value."""


def confirm(flags: int, text: bytes) -> bool:
    """Return whether UTF-8 ``text``, whose scan returned these flags, may hold a credential."""
    # As bytes only ASCII gets lower case, ten times as fast; as a string it is searched faster.
    lowered = text.lower().decode("latin-1")
    checks = _CHECKS_WITH_LISTS if '["' in lowered else _CHECKS
    return any(flags & parts and pattern.search(lowered) is not None for parts, pattern in checks)


def may_contain_secret(text: bytes) -> bool:
    """Return whether UTF-8 ``text``, prose or JSON, may hold a credential.

    ``False`` means that redaction would change nothing in it, nor in its keys. Thread-safe.
    """
    flags = scan("", text, b"")
    return flags > HAS_NULL and confirm(flags, text)
