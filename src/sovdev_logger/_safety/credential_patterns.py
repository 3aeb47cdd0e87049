"""Names and forms of credentials, as parts of regular expressions; names match in any case."""

from typing import Final

SEPARATOR: Final = r"[_\-. ]"
_S: Final = f"{SEPARATOR}?"

KEY_OWNERS: Final = (
    *("api", "private", "access", "signing", "secret", "encryption", "master", "shared"),
    *("account", "subscription", "auth"),
)
"""Words that make a key a credential, as in ``api_key``."""

PASS_OWNERS: Final = (
    *("db", "user", "admin", "root", "smtp", "ftp", "http", "proxy", "redis", "mysql", "postgres"),
    *("pg", "mail", "login"),
)
"""Words that make ``pass`` a password, as in ``DB_PASS``."""

_NAME = (
    r"pass(?:w(?:or)?d|phrase|code|ord)s?|pwd|secrets?|credentials?|token"
    rf"|(?:access|refresh|auth|api|bearer|session|id){_S}tokens"
    rf"|(?:{'|'.join(KEY_OWNERS)}){_S}keys?"
    rf"|auth(?:orization)?{_S}code|sess(?:ion)?{_S}id"
    rf"|(?:{'|'.join(PASS_OWNERS)}){_S}pass"
)

AFTER_ESCAPE = r"(?:(?<=\\[bfnrtv])|(?<=\\x[0-9a-f]{2})|(?<=\\u00[01][0-9a-f]))"
"""Where a word begins after a line break or the like that is written as an escape: with letters."""

CREDENTIAL_NAME = rf"(?:{_NAME}|(?:(?<![a-z0-9_-])|{AFTER_ESCAPE})sid)"
"""The end of a credential's name; a prefix (``db_``, ``X-``) does not matter."""
KEY_SUFFIX = (
    r"(?:[_\-. ]?(?:hash|value|header|confirm(?:ation)?|repeat|again|pem|base64|text|string|plain"
    r"|\d{1,4}))?"
)
"""Suffixes with which the name still is a credential's, as in ``password_hash``."""

QUERY_KEY = r"[?&](?:key|auth|pass|sig)="
"""Names that are a credential's in the query of a URL alone."""

TOKEN_FORMS: Final = {
    r"AKIA[A-Z0-9]{12,}": "akia",
    r"gh[pousr]_[A-Za-z0-9]{10,}": "gho_ ghp_ ghr_ ghs_ ghu_",
    r"github_pat_\w{10,}": "hub_p",
    r"xox[a-z]-[\w-]{8,}": "xox",
    r"sk-(?=[\w-]{0,80}\d)[\w-]{16,}": "sk-",
    r"sk_(?:live|test)_\w{8,}": "k_live k_test",
    r"rk_(?:live|test)_\w{8,}": "k_live k_test",
    r"glpat-[\w-]{10,}": "glpat",
    r"AIza[\w-]{20,}": "aiza",
}
"""Tokens that are known by how they begin, each with the parts that the prefilter scans for."""

KNOWN_FORMS: Final = "|".join(TOKEN_FORMS)
"""Any of these tokens; of them case matters."""

PROSE = (
    r"must|should|shall|will|would|is|isn't|was|wasn't|are|were|has|have|had|can|could|cannot|can't"
    r"|may|might|not|no|never|does|doesn't|do|did|didn't|needs?|required|requires|missing|invalid"
    r"|incorrect|wrong|weak|expired|expires|expected|unexpected|too|the|this|that|your|their|please"
    r"|at|field|input|length|minimum|maximum|min|max|ok|okay|reset|changed|updated|failed|failure"
    r"|rejected|denied|granted|accepted|mismatch|enter|only|str|string|unknown|unauthorized|revoked"
    r"|refreshed|created|deleted|rotated|empty|blank|unset|set|got|error|by|for|from|in|of|on|to"
    r"|with|and|or|if|when|without|a|an|valid|bucket|request(?:ed)?|there|it"
)
"""Words that follow ``password:`` in a sentence; a value of exactly these letters is kept."""
