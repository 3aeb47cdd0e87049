"""Removes credentials from texts and mappings, in time linear in the text.

Every pattern starts at a literal and repeats only what a later start cannot repeat again, or has
a bound; that keeps adversarial text linear.
"""

import base64
import binascii
import re
from functools import lru_cache

from sovdev_logger._safety.credential_patterns import (
    AFTER_ESCAPE,
    CREDENTIAL_NAME,
    KEY_SUFFIX,
    KNOWN_FORMS,
    PROSE,
    QUERY_KEY,
)
from sovdev_logger._safety.prefilter import may_contain_secret

REDACTED = "[REDACTED]"
"""Replaces a credential."""

_LONGEST_KEY = 200
_MARGIN = 4096
"""Characters looked at past a cut, so that a credential across the cut is still recognised."""

_START = rf"(?:(?<![A-Za-z0-9])|{AFTER_ESCAPE})"
_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
_PLAIN_USER = 16
"""A user name in a URL that is at least this long and holds a digit is treated as a token."""

_VALUE_CHARACTER = (
    r"\[REDACTED\]"
    r"|[^\s,;&\"'<>)}\]\\]"
    r"|\\(?!\\{0,8}[\"'])"
    r"|[,;](?![\s\"']|$|[\w. -]{1,40}[=:])"
    r"|[\"')}\]<>](?=[a-z0-9])"
)
_UNQUOTED = rf"(?:{_VALUE_CHARACTER})++"
_QUOTED = (
    r"(?P<esc>\\{1,8}[\"']).*?(?P<esc_end>(?<!\\)(?P=esc)|\Z)"
    r"|(?P<dq>[bru]{0,2}\")(?:[^\"\\]|\\.?|\"(?=[a-z0-9]))*+(?P<dq_end>\"?)"
    r"|(?P<sq>[bru]{0,2}')(?:[^'\\]|\\.?|'(?=[a-z0-9]))*+(?P<sq_end>'?)"
)
_EQUALS = r"(?:\\{0,8}[\"'])?\]?[ \t]{0,20}(?:=>|:=|={1,2}|:)[ \t]{0,20}"
_NOTHING = r"(?!(?:none|null|nil|true|false|undefined)(?![^\s.,;&\"'<>)}\]]))"

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    _FLAGS,
)
_AUTHORIZATION = re.compile(
    rf"(?P<head>authorization{_EQUALS}){_NOTHING}(?:{_QUOTED}"
    r"|(?P<scheme>(?:bearer|basic|token|apikey|negotiate|ntlm|jwt)[ \t]{1,20})"
    rf"(?P<word>{_UNQUOTED})"
    r"|(?P<line>(?:digest|aws4-[\w-]{1,20}|hawk|oauth|signature|hmac[\w-]{0,20}|sharedkey\w{0,8})"
    r"[ \t]{1,20})[^\r\n]+"
    r"|[a-z][\w-]{0,30}[ \t]{1,20}(?=[^\s]{0,200}\d)" + _UNQUOTED + rf"|(?P<bare>{_UNQUOTED}))",
    _FLAGS,
)
_COOKIE = re.compile(
    rf"(?P<head>cookies?{_EQUALS}){_NOTHING}(?:{_QUOTED}"
    r"|(?P<bare>[^\s\"']++)(?:[^\r\n\"']|(?<==)[\"'][^\"'\r\n]*[\"'])*+)",
    _FLAGS,
)
_ASSIGNMENT = re.compile(
    rf"(?P<head>{CREDENTIAL_NAME}{KEY_SUFFIX}{_EQUALS}){_NOTHING}(?:{_QUOTED}"
    r"|[\[{(][^\[\]{}()]*[\]})]"
    rf"|(?:bearer|basic)[ \t]{{1,20}}{_UNQUOTED}"
    rf"|(?P<bare>{_UNQUOTED}))",
    _FLAGS,
)
_ELEMENT = re.compile(rf"({CREDENTIAL_NAME}{KEY_SUFFIX}>)[^<>]+(?=</)", _FLAGS)
_QUERY = re.compile(rf"({QUERY_KEY})[^&\s\"'<>#]+", _FLAGS)
_OPTION = re.compile(
    rf"(?P<head>(?:(?<![\w-])|{AFTER_ESCAPE})--[\w-]{{0,40}}?{CREDENTIAL_NAME}"
    r"(?:\\{0,8}[\"'],?)?[ \t]{1,5})"
    rf"{_NOTHING}(?:{_QUOTED}|(?P<bare>(?!-){_UNQUOTED}))",
    _FLAGS,
)
_BEARER = re.compile(
    rf"({_START}bearer"
    r"(?:[ \t]{1,20}|%20|\\{0,8}[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\{0,8}[\"']?))"
    r"([\w.~+/=-]+)",
    _FLAGS,
)
_BASIC = re.compile(rf"({_START}basic(?:[ \t]{{1,20}}|%20))([\w+/-]{{4,}}={{0,2}})", _FLAGS)
_USER_INFO = re.compile(
    r"://(?:([^\s/?#\"'<>]+)@"
    r"|([^\s/?#:@\"'<>]{1,128}:(?!\d{1,5}[/?#])[^\s\"'<>@]{0,128})@)",
    _FLAGS,
)
_DOTTED_RUN = re.compile(r"[\w.-]+", re.ASCII)
_KNOWN_TOKEN = re.compile(rf"{_START}(?:{KNOWN_FORMS})", re.ASCII)
_SENSITIVE_KEY = re.compile(
    rf"(?:{CREDENTIAL_NAME}|authorization|cookies?){KEY_SUFFIX}[^a-z0-9]*\Z", _FLAGS
)
_PROSE = re.compile(rf"(?:{PROSE})(?![^\s.,;:!?)])", _FLAGS)
_AFTER_BEARER = re.compile(
    r"(?:[a-z]{1,3}|tokens?|auth\w*|scheme|header|credentials?|realm|format|prefix|type|value"
    rf"|bonds?|shares?|instead|{PROSE})(?![\w~+/-]|[.=][\w=])",
    _FLAGS,
)
_LAST_DELIMITER = re.compile(r".*[\s,;\"'<>&]", re.DOTALL)


@lru_cache(maxsize=2048)
def _is_sensitive(key: str) -> bool:
    return _SENSITIVE_KEY.search(key) is not None


def is_sensitive_key(key: str) -> bool:
    """Return whether a mapping key names a credential, such as ``dbPassword`` or ``X-Api-Key``.

    Case does not matter; the name must end with the credential's name, so that ``token_count``
    and ``password_policy`` are kept. Thread-safe.
    """
    return _is_sensitive(key[-_LONGEST_KEY:])


def redact_text(text: str) -> str:
    """Return ``text`` with every credential replaced by ``[REDACTED]``.

    Key names, schemes, user names and hosts stay. Redacting twice gives the same as once. Takes
    time linear in the length of the text. Thread-safe.
    """
    if not may_contain_secret(text.encode("utf-8", "replace")):
        return text
    lowered = text.lower()
    text = _redact_headers(text, lowered)
    if "://" in lowered:
        text = _USER_INFO.sub(_without_password, text)
    text = _ASSIGNMENT.sub(_without_value, text)
    if "--" in text:
        text = _OPTION.sub(_without_option, text)
    text = _ELEMENT.sub(rf"\1{REDACTED}", text)
    text = _QUERY.sub(rf"\1{REDACTED}", text)
    if "eyJ" in text:
        text = _DOTTED_RUN.sub(_without_jwt, text)
    return _KNOWN_TOKEN.sub(REDACTED, text)


def _redact_headers(text: str, lowered: str) -> str:
    if "-----begin" in lowered:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    if "authorization" in lowered:
        text = _AUTHORIZATION.sub(_without_authorization, text)
    if "cookie" in lowered:
        text = _COOKIE.sub(_without_value, text)
    if "bearer" in lowered:
        text = _BEARER.sub(_without_bearer, text)
    if "basic" in lowered:
        text = _BASIC.sub(_without_basic, text)
    return text


def redact_head(text: str, limit: int) -> str:
    """Redact the first ``limit`` characters and some more; the rest is dropped.

    The cost depends on ``limit`` alone. The cut lies between two words, so that no half of a
    credential remains unrecognised.
    """
    return redact_text(head(text, limit))


def count_replaced(before: str, after: str) -> int:
    """Return how many credentials redaction replaced in a text."""
    return max(0, after.count(REDACTED) - before.count(REDACTED))


def head(text: str, limit: int) -> str:
    """Return the start of ``text``: at least ``limit`` characters, all if there are few more."""
    if len(text) <= limit + _MARGIN:
        return text
    tail = _LAST_DELIMITER.match(text, limit, limit + _MARGIN)
    return text[: tail.end()] if tail else text[:limit]


def _is_prose(match: re.Match[str]) -> bool:
    gap = match["head"][-1:]
    return (
        gap in {" ", "\t"}
        and match["head"].rstrip().endswith(":")
        and _PROSE.match(match.string, match.start("bare")) is not None
    )


def _without_value(match: re.Match[str]) -> str:
    if match["bare"] is not None and _is_prose(match):
        return match[0]
    opening = match["esc"] or match["dq"] or match["sq"] or ""
    closing = match["esc_end"] or match["dq_end"] or match["sq_end"] or ""
    return f"{match['head']}{opening}{REDACTED}{closing}"


def _without_option(match: re.Match[str]) -> str:
    is_prose = match["bare"] is not None and _PROSE.match(match.string, match.start("bare"))
    return match[0] if is_prose else _without_value(match)


def _without_authorization(match: re.Match[str]) -> str:
    scheme = match["scheme"] or match["line"]
    if scheme is None:
        return _without_value(match)
    if match["word"] is not None and _PROSE.fullmatch(match["word"]):
        return match[0]
    return f"{match['head']}{scheme}{REDACTED}"


def _without_bearer(match: re.Match[str]) -> str:
    if _AFTER_BEARER.match(match.string, match.start(2), match.end(2)):
        return match[0]
    return f"{match[1]}{REDACTED}"


def _without_basic(match: re.Match[str]) -> str:
    return f"{match[1]}{REDACTED}" if _is_user_and_password(match[2]) else match[0]


def _is_user_and_password(encoded: str) -> bool:
    bare = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return ":" in decoded and decoded.isprintable()


def _without_password(match: re.Match[str]) -> str:
    user, colon, _ = (match[1] or match[2]).partition(":")
    kept = REDACTED if _looks_like_token(user) else user
    return f"://{kept}{colon}{REDACTED}@" if colon else f"://{kept}@"


def _looks_like_token(user: str) -> bool:
    return len(user) >= _PLAIN_USER and any(c.isdigit() for c in user) and "@" not in user


def _without_jwt(match: re.Match[str]) -> str:
    run = match[0]
    start = run.find("eyJ")
    if start < 0:
        return run
    body = run[start:].rstrip(".")
    header, dot, payload = body.partition(".")
    if not dot or not payload or len(header) < len("eyJ") + 5:
        return run
    return f"{run[:start]}{REDACTED}{run[start + len(body) :]}"
