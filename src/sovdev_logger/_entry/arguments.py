"""Slow path for arguments that are not in the hot path's lookup tables."""

from typing import Final

from sovdev_logger._entry.identifiers import trace_id_digits
from sovdev_logger._entry.levels import INFO, LEVELS, Level, find_level
from sovdev_logger._entry.peers import PeerResolver
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.sanitizer import Sanitizer

NO_MESSAGE: Final = "(no message)"
UNKNOWN_FUNCTION: Final = "unknown"

_MAX_REMEMBERED: Final = 4096
"""Maximum number of cached function names; further ones are checked on each call."""

_MAX_REMEMBERED_CHARACTERS: Final = 256
_SHOWN_CHARACTERS: Final = 80


class ArgumentNormalizer:
    """Normalises unusual arguments and warns once for each. Never raises.

    Attributes:
        functions: The hot path's table of function names that are safe to log as they are.
    """

    def __init__(self, sanitizer: Sanitizer, peers: PeerResolver) -> None:
        self.functions: dict[object, str] = {}
        self._sanitizer = sanitizer
        self._peers = peers

    def level(self, value: object) -> Level:
        """Return the level that ``value`` spells; info for any other value."""
        level = find_level(value)
        if level is None:
            shown = self._short(value)
            names = ", ".join(level.name for level in LEVELS)
            warn_once(
                f"level:{shown}",
                f"unknown log level {shown!r}: logged as info; use one of {names}.",
            )
        return level or INFO

    def peer(self, value: object) -> str:
        """Return the text of an undefined peer."""
        shown = self._short(value)
        warn_once(
            f"peer:{shown}",
            f"unknown peer service {shown!r}: logged as given; define it in "
            f"sovdev_initialize(peer_services=...), known are {', '.join(self._peers.names())}.",
            max_at_once=1,
        )
        return self._sanitizer.text(value) or self._peers.service_name

    def message(self, value: object) -> str:
        """Return the text of a message that is empty or not a string."""
        text = self._sanitizer.text(value) if value is not None else ""
        if text.strip():
            return text
        warn_once(
            "message:empty", f"an empty message was logged as {NO_MESSAGE!r}: say what was done."
        )
        return NO_MESSAGE

    def function(self, value: object) -> str:
        """Return a function's name as text, and cache it."""
        text = self._sanitizer.text(value) if value is not None else ""
        if not text.strip():
            warn_once(
                "function:empty",
                f"an empty function name was logged as {UNKNOWN_FUNCTION!r}: give the name of the "
                "function that logs.",
            )
            text = UNKNOWN_FUNCTION
        is_short = type(value) is str and len(value) <= _MAX_REMEMBERED_CHARACTERS
        if is_short and len(self.functions) < _MAX_REMEMBERED:
            self.functions[value] = text
        return text

    def trace_id(self, value: object) -> tuple[str, str | None]:
        """Return a caller's trace id as text, empty if blank, and its digits if it is valid."""
        if type(value) is str and (digits := trace_id_digits(value)) is not None:
            return value, digits
        text = self._sanitizer.text(value)
        return (text, trace_id_digits(text)) if text.strip() else ("", None)

    def _short(self, value: object) -> str:
        """Return a value shortened for a warning."""
        return self._sanitizer.text(value)[:_SHOWN_CHARACTERS]
