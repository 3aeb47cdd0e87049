"""The two signatures that LipService computes itself, to apply policies keyed by them.

Its Python client and its server normalise a message in different ways, and both in other ways than
``signature``. These are their steps, one after another; they run once a pattern, not once a call.
"""

import re
from typing import Final

from sovdev_logger._sampling.signature import MAX_CHARACTERS, digest

_CLIENT_STEPS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "UUID"),
        (r"\b[0-9a-fA-F]{32,}\b", "HEXID"),
        (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}", "TIMESTAMP"),
        (r"\b\d{4}-\d{2}-\d{2}\b", "DATE"),
        (r"\b\d{2}:\d{2}:\d{2}\b", "TIME"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "IP"),
        # Theirs begins anywhere in a run of such characters, which makes it quadratic.
        (
            r"(?<![A-Za-z0-9._%+-])([.%+-]*)\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b",
            r"\1EMAIL",
        ),
        (r"https?://\S+", "URL"),
        (r"\b\d+\b", "N"),
        (r"\s+", " "),
    )
)
_SERVER_STEPS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\d+", "N"),
        (r"[a-f]{8}(?:-[a-f]{4}){3}-[a-f]{12}|[a-f]{32}", "UUID"),
        (r"[a-z]:\\\S+", "PATH"),
        (r"/\S+", "PATH"),
        (r"\s+", " "),
    )
)
_EMPTY_AT_THE_SERVER: Final = "empty"


def client_signature(message: str) -> str:
    """Return a message's signature as LipService's Python client computes it."""
    text = message[:MAX_CHARACTERS]
    for step, replacement in _CLIENT_STEPS:
        text = step.sub(replacement, text)
    return digest(text.strip())


def server_signature(message: str) -> str:
    """Return a message's signature as LipService's server computes it."""
    text = message[:MAX_CHARACTERS].lower().strip()
    for step, replacement in _SERVER_STEPS:
        text = step.sub(replacement, text)
    return digest(text or _EMPTY_AT_THE_SERVER)
