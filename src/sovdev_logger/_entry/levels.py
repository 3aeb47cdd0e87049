"""The levels of an entry, and their names in stdlib logging and OpenTelemetry."""

import logging
from enum import StrEnum
from typing import Final, NamedTuple


class SOVDEV_LOGLEVELS(StrEnum):  # noqa: N801 - the name is part of the cross-language contract
    """The six levels of an entry; each member is its lower-case name (specification: levels)."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"


class Level(NamedTuple):
    """One level, in the vocabulary of each output."""

    name: str
    stdlib_number: int
    stdlib_name: str
    otel_severity: int
    is_error: bool

    @property
    def severity_text(self) -> str:
        """The OpenTelemetry severity text: the upper-case name."""
        return self.name.upper()


TRACE: Final = Level("trace", 5, "TRACE", 1, is_error=False)
DEBUG: Final = Level("debug", logging.DEBUG, "DEBUG", 5, is_error=False)
INFO: Final = Level("info", logging.INFO, "INFO", 9, is_error=False)
WARN: Final = Level("warn", logging.WARNING, "WARNING", 13, is_error=False)
ERROR: Final = Level("error", logging.ERROR, "ERROR", 17, is_error=True)
FATAL: Final = Level("fatal", logging.CRITICAL, "CRITICAL", 21, is_error=True)

LEVELS: Final = (TRACE, DEBUG, INFO, WARN, ERROR, FATAL)

_SPELLINGS: Final[dict[object, Level]] = {
    **{level.name: level for level in LEVELS},
    **{level.stdlib_number: level for level in LEVELS},
    "warning": WARN,
    "critical": FATAL,
    "exception": ERROR,
    "notset": TRACE,
}

BY_EXACT_NAME: Final[dict[object, Level]] = {
    SOVDEV_LOGLEVELS(level.name): level for level in LEVELS
}
"""The hot path's table: finds members by identity, and names because they are equal to them."""


STDLIB_NUMBERS: Final[dict[object, int]] = {
    name: level.stdlib_number for name, level in BY_EXACT_NAME.items()
}
"""The level numbers of stdlib logging, for the first check of a call."""


def find_level(value: object) -> Level | None:
    """Return the level that ``value`` spells, or None.

    Accepts the contract's names in any case, the stdlib's names (``WARNING``, ``critical``) and
    numbers; a number between two levels means the lower one.
    """
    if isinstance(value, str):
        return _SPELLINGS.get(value.strip().lower())
    if isinstance(value, int) and not isinstance(value, bool):
        return level_of_number(value)
    return None


def level_of_number(number: int) -> Level:
    """Return the highest level whose stdlib number is at most ``number`` (trace below 10)."""
    highest = TRACE
    for level in LEVELS:
        if level.stdlib_number <= number:
            highest = level
    return highest
