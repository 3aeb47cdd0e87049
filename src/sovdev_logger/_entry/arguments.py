"""What the arguments of a call stand for that the hot path's tables do not hold."""

from typing import Final

from sovdev_logger._entry.identifiers import trace_id_digits
from sovdev_logger._entry.levels import INFO, LEVELS, Level, find_level
from sovdev_logger._entry.peers import PeerResolver
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.sanitizer import Sanitizer

NO_MESSAGE: Final = "(no message)"
UNKNOWN_FUNCTION: Final = "unknown"

_MAX_REMEMBERED: Final = 4096
"""Distinct function names kept ready; beyond it each call pays for its own."""

_MAX_REMEMBERED_CHARACTERS: Final = 256
_SHOWN_CHARACTERS: Final = 80


class ArgumentNormalizer:
    """Makes the best of what a caller gave, and says once how it is meant to be. Raises nothing.

    Attributes:
        functions: Function names that are safe to log as they are; a table for the hot path.
    """

    def __init__(self, sanitizer: Sanitizer, peers: PeerResolver) -> None:
        self.functions: dict[object, str] = {}
        self._sanitizer = sanitizer
        self._peers = peers

    def level(self, given: object) -> Level:
        """Return the level that ``given`` spells; info when it spells none."""
        found = find_level(given)
        if found is None:
            shown = self._short(given)
            names = ", ".join(one.name for one in LEVELS)
            warn_once(
                f"level:{shown}",
                f"unknown log level {shown!r}: logged as info; use one of {names}.",
            )
        return found or INFO

    def peer(self, given: object) -> str:
        """Return a peer that is not defined as text."""
        shown = self._short(given)
        warn_once(
            f"peer:{shown}",
            f"unknown peer service {shown!r}: logged as given; define it in "
            f"sovdev_initialize(peer_services=...), known are {', '.join(self._peers.names())}.",
        )
        return self._sanitizer.text(given) or self._peers.service_name

    def message(self, given: object) -> str:
        """Return a message that is empty or no string as text."""
        text = self._sanitizer.text(given) if given is not None else ""
        if text.strip():
            return text
        warn_once(
            "message:empty", f"an empty message was logged as {NO_MESSAGE!r}: say what was done."
        )
        return NO_MESSAGE

    def function(self, given: object) -> str:
        """Return a function's name as text, and remember an ordinary one."""
        text = self._sanitizer.text(given) if given is not None else ""
        if not text.strip():
            warn_once(
                "function:empty",
                f"an empty function name was logged as {UNKNOWN_FUNCTION!r}: give the name of the "
                "function that logs.",
            )
            text = UNKNOWN_FUNCTION
        is_short = type(given) is str and len(given) <= _MAX_REMEMBERED_CHARACTERS
        if is_short and len(self.functions) < _MAX_REMEMBERED:
            self.functions[given] = text
        return text

    def trace_id(self, given: object) -> tuple[str, str | None]:
        """Return a trace id that the caller gave as text, and its digits if it is a valid one.

        Empty when there is nothing in it.
        """
        if type(given) is str and (digits := trace_id_digits(given)) is not None:
            return given, digits
        text = self._sanitizer.text(given)
        return (text, trace_id_digits(text)) if text.strip() else ("", None)

    def _short(self, value: object) -> str:
        """Return a value as a warning shows it."""
        return self._sanitizer.text(value)[:_SHOWN_CHARACTERS]
