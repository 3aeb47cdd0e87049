"""Typed reads of environment variables, which note what is wrong instead of raising."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_SHOWN_CHARACTERS: Final = 80
INT64_MAX: Final = 2**63 - 1


class Problem(NamedTuple):
    """A variable whose value cannot be used as it is, and what was done instead."""

    variable: str
    message: str


class EnvironmentReader:
    """Reads variables; blank is unset, and each bad value becomes one entry in ``problems``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Problem] = []

    def text(self, name: str) -> str | None:
        """Return the value without surrounding blanks, None when unset or blank."""
        return self._environ.get(name, "").strip() or None

    def report(self, name: str, value: str, expected: str, consequence: str) -> None:
        """Note that ``name`` holds ``value``, what it should be, and what happens now."""
        shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…"
        self.note(name, f"{name}={shown!r} is not usable: expected {expected}; {consequence}.")

    def note(self, name: str, message: str) -> None:
        """Note a problem in full words; a value that may be secret must not be in them."""
        self.problems.append(Problem(name, message))

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean: true/1/yes/on or false/0/no/off in any case."""
        text = self.text(name)
        if text is None:
            return default
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        self.report(name, text, "true or false", f"{str(default).lower()} is used")
        return default

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of ``choices``, of which the first is the default."""
        text = self.text(name)
        if text is None or text.lower() in choices:
            return text.lower() if text else choices[0]
        self.report(name, text, f"one of {', '.join(choices)}", f"{choices[0]} is used")
        return choices[0]

    def whole_number(self, name: str, default: int, *, minimum: int = 0) -> int:
        """Return a whole number of at least ``minimum``."""
        text = self.text(name)
        if text is None:
            return default
        number = whole_number(text, minimum)
        if number is not None:
            return number
        self.report(name, text, f"a whole number of at least {minimum}", f"{default} is used")
        return default

    def bounded(self, name: str, minimum: int, maximum: int) -> int | None:
        """Return a whole number within bounds, None when unset.

        Raises:
            ValueError: It is none; for an output that then stays off instead of guessing.
        """
        text = self.text(name)
        if text is None:
            return None
        number = whole_number(text, minimum, maximum)
        if number is not None:
            return number
        raise ValueError(
            f"{name}={text[:40]!r} is not usable: expected a whole number, {minimum} to {maximum}"
        )

    def positive(self, name: str, default: float, unit: str) -> float:
        """Return a positive, finite number of ``unit`` (seconds, milliseconds)."""
        text = self.text(name)
        if text is None:
            return default
        number = _number(text)
        if number is not None and number > 0:
            return number
        self.report(name, text, f"a positive number of {unit}", f"{default:g} is used")
        return default

    def path(self, name: str, default: Path) -> Path:
        """Return a path; a leading ``~`` is the home folder."""
        text = self.text(name)
        if text is None:
            return default
        try:
            return Path(text).expanduser()
        except RuntimeError:
            self.report(name, text, "a path whose home folder exists", f"{default} is used")
            return default


def whole_number(text: str, minimum: int = 0, maximum: int = INT64_MAX) -> int | None:
    """Return the whole number that ``text`` is, None when it is none or out of bounds."""
    # Longer texts are not converted: Python refuses, slowly, those of thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(INT64_MAX))):
        return None
    return int(text) if minimum <= int(text) <= maximum else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
