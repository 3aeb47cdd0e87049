"""Whether a text could hold a credential: the cheap look at every entry, before a thorough one."""

import re
from collections.abc import Callable
from typing import Final

from sovdev_logger.safety.credential_names import CREDENTIAL_NAME

try:
    from ahocorasick_rs import BytesAhoCorasick
except ImportError:
    BytesAhoCorasick = None  # type: ignore[assignment,misc,unused-ignore]

_TOKENS: Final = (
    *("bearer", "basic", "akia", "eyj", "aiza", "sk_", "rk_", "pat_", "gho_", "ghp_", "ghr_"),
    *("ghs_", "ghu_", "--", "sk-", "xox", "glpat-"),
)
"""Parts of what is a credential by itself, or asks for a look at any rate."""

_NAMES: Final = (
    *("auth", "sid", "pass", "sess", "secret", "cred", "token", "key", "cookie", "pwd", "sig="),
)
"""Parts of the names that credentials go by."""

_SUSPECT: Final = re.compile(
    rf"{CREDENTIAL_NAME}|authorization|cookie|bearer|basic(?:[ \t]|%20)|eyj|://|-----begin"
    r"|[?&](?:key|auth|pass|sig)=|akia|gh[pousr]_|github_pat_|xox[a-z]-|sk-|[rs]k_|glpat-|aiza",
    re.ASCII,
)
"""Searched in lower-case text: ignoring case would cost three times as much."""


def may_contain_secret(text: bytes, separators: int = -1) -> bool:
    """Say whether UTF-8 ``text``, prose or JSON, could hold something to redact.

    A cheap test for the hot path: ``False`` means that redacting would find nothing in it, nor in
    its keys; ``True`` means look closer. Thread-safe.

    Args:
        text: What is to be logged.
        separators: How many of its colons stand between a harmless key and its value, -1 when
            that is not known. Without a colon more nothing is assigned to any name, and names
            are most of what is looked for.
    """
    # As bytes only ASCII gets lower case, which is ten times as fast.
    t = text.lower()
    return look(t, separators) and _SUSPECT.search(t.decode("latin-1")) is not None


def _is_assigned(t: bytes, separators: int) -> bool:
    """Say whether something may be assigned to a name; a list may hold pairs of both."""
    # An int is looked for three times as fast as bytes of one character.
    return t.count(_COLON) != separators or _EQUALS in t or _LESS in t or _BRACKET in t


_COLON, _EQUALS, _LESS, _BRACKET, _AT = b":=<[@"


def search_each(text: bytes, separators: int) -> bool:
    """Look for one part after another: what there is without the extra ``fast``."""
    t = text.decode("latin-1")  # a str is searched twice as fast
    # Written out because a loop costs half as much again, for every entry logged. A single
    # character is found ten times as fast as a word, so rare ones go first; of words with a part
    # in common only that is looked for.
    return (
        "bearer" in t
        or "basic" in t
        or ("k" in t and "akia" in t)
        or ("j" in t and "eyj" in t)
        or ("z" in t and "aiza" in t)
        or ("@" in t and "://" in t)
        or ("_" in t and ("sk_" in t or "rk_" in t or "pat_" in t or "gh" in t))
        or ("-" in t and ("--" in t or "sk-" in t or "xox" in t or "glpat-" in t))
        or (
            _is_assigned(text, separators)
            and (
                "auth" in t
                or "sid" in t
                or ("ss" in t and ("pass" in t or "sess" in t))
                or ("cre" in t and ("secret" in t or "cred" in t))
                or ("k" in t and ("token" in t or "key" in t or "cookie" in t))
                or ("w" in t and "pwd" in t)
                or ("=" in t and "sig=" in t)
            )
        )
    )


def _searcher_for_all() -> Callable[[bytes, int], bool]:
    """Return a search for all parts in one pass, about four times as fast."""
    find = BytesAhoCorasick([part.encode() for part in (*_TOKENS, *_NAMES)])
    find_all, tokens = find.find_matches_as_indexes, len(_TOKENS)

    def search_all(text: bytes, separators: int) -> bool:
        found = find_all(text, True)  # noqa: FBT003 - overlapping: no part hides another
        if found and (_is_assigned(text, separators) or any(part < tokens for part, _, _ in found)):
            return True
        return _AT in text and text.find(b"://") >= 0

    return search_all


look: Callable[[bytes, int], bool] = (
    search_each if BytesAhoCorasick is None else _searcher_for_all()
)
"""Say whether a lower-case text holds a part of anything to redact."""
