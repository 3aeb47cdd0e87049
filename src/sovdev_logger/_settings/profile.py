"""The rule book of services: which variables say who a process is and where it logs."""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from sovdev_logger._settings.reader import whole_number

DEVELOPMENT: Final = "development"
TESTING: Final = "testing"
PRODUCTION: Final = "production"
ENVIRONMENTS: Final = (DEVELOPMENT, TESTING, PRODUCTION)

DEFAULT_MAX_SIZE_MB: Final = 5.0
DEFAULT_MAX_FILES: Final = 5
MAX_MAX_FILES: Final = 10**9 - 1
MAX_NAME_BYTES: Final = 200
CHILD_PREFIX: Final = "NAME_CHILD_PROCESS_"

_SHOWN_CHARACTERS: Final = 80
_BYTES_OF_MB: Final = 1_000_000
_LOG_FILE_MODE: Final = 0o640


T = TypeVar("T")


class ProfileError(ValueError):
    """The variables do not say how this process logs; the text names each, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How a process of a service logs.

    Attributes:
        name: ``NAME_APP``.
        environment: One of ``ENVIRONMENTS``.
        folder: ``PATH_TO_LOGS``, where the file is; None for no file.
        max_bytes: When the file rotates.
        max_files: How many old files are kept.
    """

    name: str
    environment: str
    folder: Path | None
    max_bytes: int
    max_files: int

    @property
    def path(self) -> Path | None:
        """The process's own file."""
        return None if self.folder is None else self.folder / f"{self.name}.log"

    @property
    def has_terminal(self) -> bool:
        """Whether people see the lines on stderr."""
        return self.environment != PRODUCTION

    @property
    def level_name(self) -> str:
        """The lowest level that the terminal and the file show."""
        return "DEBUG" if self.environment == DEVELOPMENT else "INFO"

    @property
    def enqueues(self) -> bool:
        """Whether a thread of its own writes, for many threads and processes."""
        return self.environment != DEVELOPMENT


def read_profile(environ: Mapping[str, str]) -> Profile:
    """Read and check the variables of the rule book, and that the file can be written.

    Raises:
        ProfileError: With every problem, each naming the variable, what it must be and what it was.
    """
    problems: list[str] = []
    name = _checked(problems, _name, environ)
    environment = _checked(problems, _environment, environ)
    max_bytes = _checked(problems, _max_bytes, environ)
    max_files = _checked(problems, _max_files, environ)
    folder = None
    if environment in {TESTING, PRODUCTION}:
        folder = _checked(problems, _folder, environ, name)
    if problems or name is None or environment is None or max_bytes is None or max_files is None:
        raise ProfileError("; ".join(problems))
    return Profile(name, environment, folder, max_bytes, max_files)


def child_environment(environ: Mapping[str, str], what: str) -> dict[str, str]:
    """Return the environment of a child, which gets its own name by ``NAME_CHILD_PROCESS_<WHAT>``.

    Raises:
        ProfileError: The variable is missing, or its value is no name or the parent's own.
    """
    variable = CHILD_PREFIX + re.sub(r"\W", "_", what, flags=re.ASCII).upper()
    name = _usable_name(variable, environ)
    if name == environ.get("NAME_APP", "").strip():
        raise ProfileError(
            f"{variable} must be another name than NAME_APP of the parent, it is {name!r}: nobody "
            "writes into another process's file"
        )
    return {**environ, "NAME_APP": name}


def _checked(problems: list[str], read: Callable[..., T], *arguments: object) -> T | None:
    try:
        return read(*arguments)
    except ProfileError as error:
        problems.append(str(error))
        return None


def _name(environ: Mapping[str, str]) -> str:
    return _usable_name("NAME_APP", environ)


def _usable_name(variable: str, environ: Mapping[str, str]) -> str:
    text = environ.get(variable)
    name = (text or "").strip()
    is_usable = (
        name not in {"", ".", ".."}
        and name.isprintable()
        and not {"/", "\\"} & set(name)
        and len(os.fsencode(name)) <= MAX_NAME_BYTES
    )
    if not is_usable:
        raise _wrong(variable, "the name of this process, usable as a file's name", text)
    return name


def _environment(environ: Mapping[str, str]) -> str:
    text = environ.get("RUN_ENVIRONMENT")
    if (text or "").strip() not in ENVIRONMENTS:
        raise _wrong("RUN_ENVIRONMENT", f"one of {', '.join(ENVIRONMENTS)}", text)
    return (text or "").strip()


def _max_bytes(environ: Mapping[str, str]) -> int:
    text = environ.get("LOG_MAX_SIZE")
    try:
        megabytes = float(text) if text and text.strip() else DEFAULT_MAX_SIZE_MB
    except ValueError:
        megabytes = math.nan
    if not (math.isfinite(megabytes) and megabytes * _BYTES_OF_MB >= 1):
        raise _wrong("LOG_MAX_SIZE", "a positive number of MB", text)
    return int(megabytes * _BYTES_OF_MB)


def _max_files(environ: Mapping[str, str]) -> int:
    text = environ.get("LOG_MAX_FILES")
    if not text or not text.strip():
        return DEFAULT_MAX_FILES
    number = whole_number(text.strip(), 1, MAX_MAX_FILES)
    if number is None:
        raise _wrong("LOG_MAX_FILES", "a positive whole number", text)
    return number


def _folder(environ: Mapping[str, str], name: str | None) -> Path:
    text = environ.get("PATH_TO_LOGS")
    if not text or not text.strip():
        raise _wrong("PATH_TO_LOGS", "a folder that this process can write to", text)
    folder = Path(os.path.abspath(Path(text.strip()).expanduser()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if name is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            os.close(open_log_file(str(folder / f"{name}.log"), flags))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _wrong(
            "PATH_TO_LOGS", "a folder that this process can write to", text, f" ({reason})"
        ) from error
    return folder


def open_log_file(path: str, flags: int) -> int:
    """Open a log file; only its owner and group may read it: tracebacks show values."""
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), _LOG_FILE_MODE)


def _wrong(variable: str, expected: str, text: str | None, reason: str = "") -> ProfileError:
    was = "it is missing" if text is None else f"it was {text[:_SHOWN_CHARACTERS]!r}"
    return ProfileError(f"{variable} must be {expected}: {was}{reason}")
