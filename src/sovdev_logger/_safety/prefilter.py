"""Whether a text could hold a credential: a scan of every entry, and a closer look."""

import re
from typing import Final

from sovdev_logger._safety.credential_patterns import CREDENTIAL_NAME, KNOWN_FORMS, QUERY_KEY

MAY_BE_SECRET: Final = 1
"""What the scan finds: a part of a credential's name or form, so look closer."""

HAS_NULL: Final = 2
"""What else it finds: a null, which may have been a number that JSON lacks."""

try:
    from sovdev_logger._safety.prefilter_scan import scan as scan  # noqa: PLC0414 - for others
except ImportError:  # installed without a compiler: each text is looked at closely

    def scan(message: str, input_text: bytes, response_text: bytes, /) -> int:
        message.encode()
        has_null = b"null" in input_text or b"null" in response_text
        return MAY_BE_SECRET | HAS_NULL if has_null else MAY_BE_SECRET


# Searched in lower-case text: ignoring case would cost three times as much.
_NAME: Final = re.compile(rf"{CREDENTIAL_NAME}|authorization|cookie|{QUERY_KEY}", re.ASCII)
_BASIC: Final = re.compile(r"basic(?:[ \t]|\\t|%20)")
_USER_INFO: Final = re.compile(  # wider than what is redacted: an escape takes up to six bytes
    r"://(?:[^\s/?#\"'<>]+@|[^\s/?#:@\"'<>]{1,800}:[^\s\"'<>@]{0,800}@)", re.ASCII
)
# Searched in the text as it is: of tokens case matters.
_TOKEN: Final = re.compile(rf"{KNOWN_FORMS}|eyJ[\w-]{{5}}", re.ASCII)

_MAX_ASSIGNMENTS: Final = 4
"""With more of them it is cheaper to look at the whole text than before each."""

_NAME_REACH: Final = 96
"""How far before its sign a name may begin: suffix, quotes, escapes and spaces included."""

_UPPER_J, _UPPER_K = b"JK"


def may_contain_secret(text: bytes, separators: int = -1) -> bool:
    """Say whether UTF-8 ``text``, prose or JSON, could hold something to redact.

    ``False`` means that redacting would find nothing in it, nor in its keys; ``True`` means look
    closer. The scan flags a superset of this. Thread-safe.

    Args:
        text: What is to be logged.
        separators: How many of its colons stand between a harmless key and its value, -1 when
            that is not known. Where it is, names of credentials, which are most of what is looked
            for, are looked for only where something is assigned to them.
    """
    # As bytes only ASCII gets lower case, which is ten times as fast; as a string it is searched
    # twice as fast.
    t = text.lower().decode("latin-1")
    # Written out because a loop costs half as much again. A single character is found ten times as
    # fast as a word, so rare ones go first.
    return (
        "bearer" in t
        or ("basic" in t and _BASIC.search(t) is not None)
        or (
            (
                (_UPPER_K in text and "akia" in t)
                or (_UPPER_J in text and "eyj" in t)
                or ("z" in t and "aiza" in t)
                or ("_" in t and ("gh" in t or "k_" in t or "b_pat_" in t))
                or ("-" in t and ("sk-" in t or "glpat-" in t or ("x" in t and "xox" in t)))
            )
            and _TOKEN.search(text.decode("latin-1")) is not None
        )
        or ("@" in t and _USER_INFO.search(t) is not None)
        or ("--" in t and ("-----begin" in t or _holds_name(t)))
        or _assigns_to_name(t, separators)
    )


def _assigns_to_name(t: str, separators: int) -> bool:
    """Say whether something may be assigned to a credential's name in a lower-case text."""
    if separators < 0 or ("<" in t and "</" in t) or ("[" in t and '["' in t):
        return _holds_name(t)  # any key may be one; so may an element, or the first of a pair
    colons = t.count(":") - separators
    if colons:
        colons -= t.count("https://")
    if colons and colons != t.count("http://"):
        if t.count('":') != separators:
            return _holds_name(t)  # a key that was not looked at
        if _stands_before(":", t.replace('":', '"')):
            return True
    return "=" in t and _stands_before("=", t)


def _stands_before(sign: str, t: str) -> bool:
    """Say whether a credential's name may stand before one of these signs."""
    at = t.find(sign)
    for _ in range(_MAX_ASSIGNMENTS):
        if at < 0:
            return False
        if _holds_name(t[max(0, at - _NAME_REACH) : at + 1]):
            return True
        at = t.find(sign, at + 1)
    return _holds_name(t)


def _holds_name(t: str) -> bool:
    """Say whether a lower-case text may hold the name of a credential."""
    return (
        "auth" in t
        or "sid" in t
        or ("ss" in t and ("pass" in t or "sess" in t))
        or ("cre" in t and ("secret" in t or "cred" in t))
        or ("k" in t and ("token" in t or "key" in t or "cookie" in t))
        or ("w" in t and "pwd" in t)
        or ("=" in t and "sig=" in t)
    ) and _NAME.search(t) is not None
