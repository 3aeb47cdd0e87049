"""Variables of the environment: each is declared once, and one reader reads them all."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from sovdev_logger._safety.redaction import redact_head

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S", bound="DataclassInstance")

INT64_MAX: Final = 2**63 - 1
MAX_SECONDS: Final = 24 * 24 * 60 * 60.0
_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_SHOWN_CHARACTERS: Final = 80


class Kind(NamedTuple, Generic[T_co]):
    """What the text of a variable must be.

    Attributes:
        expected: In words.
        parse: Returns the value of a text, None for one that is not usable.
        show: Returns the text of a value.
        is_strict: Whether a text that is not usable raises a ``ValueError``, for an output that
            then stays off, instead of leaving the default. ``parse`` may raise one that says more.
    """

    expected: str
    parse: Callable[[str], T_co | None]
    show: Callable[[Any], str] = str
    is_strict: bool = False


class Variable(NamedTuple, Generic[T]):
    """A variable of the environment.

    Attributes:
        name: Its name.
        kind: What it must be.
        default: Its value when it is unset or blank; ``MISSING`` where it must be set.
    """

    name: str
    kind: Kind[T]
    default: T


def variable(
    name: str,
    kind: Kind[T],
    default: T = MISSING,  # type: ignore[assignment]
    *,
    is_shown: bool = True,
) -> T:
    """Declare a dataclass field that is read from a variable; arguments as for ``Variable``."""
    metadata = {"variable": Variable(name, kind, default)}
    return field(default=default, repr=is_shown, metadata=metadata)


class Problem(NamedTuple):
    """A variable whose value cannot be used as it is, and what was done instead."""

    variable: str
    message: str


class EnvironmentReader:
    """Reads variables; blank is unset, and each unusable value is a problem.

    Args:
        environ: The variables.
        on_problem: Called with a variable that is not usable, or is missing, with the name and the
            default that it was read with. Without it each is a sentence in ``problems``, and a
            strict one a ``ValueError``.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        on_problem: Callable[[Variable[Any]], object] | None = None,
    ) -> None:
        self._environ = environ
        self._on_problem = on_problem or self._report_unusable
        self.problems: list[Problem] = []

    def text(self, name: str) -> str | None:
        """Return the value without surrounding blanks, None when unset or blank."""
        return self._environ.get(name, "").strip() or None

    def read(self, variable: Variable[T]) -> T:
        """Return the variable's value, or its default."""
        text = self.text(variable.name)
        value = None if text is None else variable.kind.parse(text)
        if value is not None:
            return value
        if text is not None or variable.default is MISSING:
            self._on_problem(variable)
        return variable.default

    def settings(self, cls: type[S], **values: Any) -> S:
        """Return a ``cls``: of ``values``, and of the variables that its other fields declare."""
        for item in fields(cls):
            if "variable" in item.metadata and item.name not in values:
                values[item.name] = self.read(item.metadata["variable"])
        return cls(**values)

    def report_unusable(self, name: str, value: str, expected: str, consequence: str) -> None:
        """Report that ``name`` holds ``value``, what it should be, and what happens now."""
        self.report(name, f"{_unusable(name, value, expected)}; {consequence}.")

    def report(self, name: str, message: str) -> None:
        """Report a problem in full words; a value that may be secret must not be in them."""
        self.problems.append(Problem(name, message))

    def _report_unusable(self, variable: Variable[Any]) -> None:
        name, kind, default = variable
        value = self.text(name) or ""
        if kind.is_strict:
            raise ValueError(_unusable(name, value, kind.expected))
        used = "the defaults are used" if default is None else f"{kind.show(default)} is used"
        self.report_unusable(name, value, kind.expected, used)


def _unusable(name: str, value: str, expected: str) -> str:
    value = redact_head(value, _SHOWN_CHARACTERS)
    shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…"
    return f"{name}={shown!r} is not usable: expected {expected}"


def parse_whole_number(text: str, minimum: int = 0, maximum: int = INT64_MAX) -> int | None:
    """Return the whole number that ``text`` is, None when it is none or out of bounds."""
    # Longer texts are not converted: Python refuses, slowly, those of thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(INT64_MAX))):
        return None
    return int(text) if minimum <= int(text) <= maximum else None


def usable_seconds(value: object) -> float | None:
    """Return a number of seconds, 24 days at most; None when it is not a positive, finite number.

    Nothing waits longer: poll counts milliseconds in 32 bits, and locks raise an OverflowError.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return None
    return None if value == math.inf else float(min(value, MAX_SECONDS))


def parse_positive(text: str) -> float | None:
    """Return the positive, finite number that ``text`` is, None when it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def absolute(path: Path) -> Path:
    """Return ``path`` from the root; as it is where the current folder has been removed."""
    try:
        return Path(os.path.abspath(path))
    except OSError:
        return path


def _path(text: str) -> Path | None:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return None


def _readable_file(text: str) -> str | None:
    # Before Python 3.14 Path.is_file raises where a folder above may not be entered.
    if not os.path.isfile(text):
        return None
    try:
        with open(text, "rb"):
            return text
    except OSError:
        return None


def whole_number(minimum: int = 0) -> Kind[int]:
    """Return the kind of a whole number of at least ``minimum``."""
    return Kind(
        f"a whole number of at least {minimum}", lambda text: parse_whole_number(text, minimum)
    )


def bounded(minimum: int, maximum: int) -> Kind[int]:
    """Return the strict kind of a whole number within bounds."""
    return Kind(
        f"a whole number, {minimum} to {maximum}",
        lambda text: parse_whole_number(text, minimum, maximum),
        is_strict=True,
    )


def choice(**values: T) -> Kind[T]:
    """Return the kind of a word that stands for a value."""
    return Kind(
        f"one of {', '.join(values)}",
        lambda text: values.get(text.lower()),
        lambda default: next(name for name, value in values.items() if value == default),
    )


TEXT: Final = Kind("a text", str)
FLAG: Final = Kind(
    "true or false", lambda text: _FLAGS.get(text.lower()), lambda flag: str(flag).lower()
)
SECONDS: Final = Kind(
    "a positive number of seconds", lambda text: usable_seconds(parse_positive(text)), "{:g}".format
)
READABLE_FILE: Final = Kind("a file that this user may read", _readable_file, is_strict=True)
PATH: Final = Kind("a path whose home folder exists", _path)
