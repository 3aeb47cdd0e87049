"""The variables of profiles: who a process is, and where it logs."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Final

from sovdev_logger._runtime.log_files import NEWLINE, ends_inside_line
from sovdev_logger._settings.reader import (
    INT64_MAX,
    PATH,
    EnvironmentReader,
    Kind,
    Variable,
    absolute,
    parse_positive,
    parse_whole_number,
    variable,
)

DEVELOPMENT: Final = "development"
TESTING: Final = "testing"
PRODUCTION: Final = "production"
ENVIRONMENTS: Final = (DEVELOPMENT, TESTING, PRODUCTION)

MAX_NAME_BYTES: Final = 200

_SHOWN_CHARACTERS: Final = 80
_BYTES_OF_MB: Final = 1_000_000
_LOG_FILE_MODE: Final = 0o640


def _name(text: str) -> str | None:
    is_usable = (
        text not in {".", ".."}
        and text.isprintable()
        and not {"/", "\\"} & set(text)
        and len(os.fsencode(text)) <= MAX_NAME_BYTES
    )
    return text if is_usable else None


def _bytes_of_megabytes(text: str) -> int | None:
    size = (parse_positive(text) or 0) * _BYTES_OF_MB
    return int(size) if 1 <= size <= INT64_MAX else None


def _folder(text: str) -> Path | None:
    folder = PATH.parse(text)
    return None if folder is None else absolute(folder)


NAME: Final = Kind("the name of this process, usable as a file's name", _name)
ENVIRONMENT: Final = Kind(
    f"one of {', '.join(ENVIRONMENTS)}", lambda text: text if text in ENVIRONMENTS else None
)
FOLDER: Final = Kind("a folder that this process can write to", _folder)
MEGABYTES: Final = Kind(
    "a positive number of MB", _bytes_of_megabytes, lambda size: f"{size / _BYTES_OF_MB:g}"
)
COUNT: Final = Kind("a positive whole number", lambda text: parse_whole_number(text, minimum=1))


class ProfileError(ValueError):
    """The variables do not say how this process logs; the text names each, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a process of a service logs."""

    name: str = variable("NAME_APP", NAME)
    """The name of this process and of its log file."""

    environment: str = variable("RUN_ENVIRONMENT", ENVIRONMENT)
    """The profile; also ``deployment.environment.name`` where ``OTEL_RESOURCE_ATTRIBUTES`` has
    none."""

    max_bytes: int = variable("LOG_MAX_SIZE", MEGABYTES, 5 * _BYTES_OF_MB)
    """MB (1,000,000 bytes) of a log file before it rotates."""

    max_files: int = variable("LOG_MAX_FILES", COUNT, 5)
    """Old log files that are kept."""

    folder: Path | None = variable("PATH_TO_LOGS", FOLDER)
    """Where the log file is, in testing and production."""

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


CHILD_NAME: Final = Variable[Any]("NAME_CHILD_PROCESS_<WHAT>", NAME, MISSING)
"""The name of the child process ``<WHAT>``, another than the parent's."""


def read_profile(environ: Mapping[str, str]) -> Profile:
    """Read and check the variables of the rule book, and that the file can be written.

    Raises:
        ProfileError: With every problem, each naming the variable, what it must be and what it was.
    """
    problems: dict[str, str] = {}

    def on_problem(variable: Variable[Any]) -> None:
        problems[variable.name] = _wrong(variable.name, variable.kind, environ)

    env = EnvironmentReader(environ, on_problem)
    has_file = env.text("RUN_ENVIRONMENT") in {TESTING, PRODUCTION}
    profile = env.settings(Profile) if has_file else env.settings(Profile, folder=None)
    if profile.folder is not None and "PATH_TO_LOGS" not in problems:
        reason = _obstacle(profile.folder, None if "NAME_APP" in problems else profile.path)
        if reason is not None:
            problems["PATH_TO_LOGS"] = f"{_wrong('PATH_TO_LOGS', FOLDER, environ)} ({reason})"
    if problems:
        raise ProfileError("; ".join(problems.values()))
    return profile


def child_environment(environ: Mapping[str, str], what: str) -> dict[str, str]:
    """Return the environment of a child, which gets its own name by ``NAME_CHILD_PROCESS_<WHAT>``.

    Raises:
        ProfileError: The variable is missing, or its value is not a name or the parent's own.
    """

    def refuse(variable: Variable[Any]) -> None:
        raise ProfileError(_wrong(variable.name, variable.kind, environ))

    env = EnvironmentReader(environ, refuse)
    what = re.sub(r"\W", "_", what, flags=re.ASCII).upper()
    variable = CHILD_NAME._replace(name=CHILD_NAME.name.replace("<WHAT>", what))
    name = env.read(variable)
    if name == env.text("NAME_APP"):
        raise ProfileError(
            f"{variable.name} must be another name than NAME_APP of the parent, it is {name!r}: "
            "nobody writes into another process's file"
        )
    return {**environ, "NAME_APP": name}


def _obstacle(folder: Path, file: Path | None) -> str | None:
    """Return why the folder cannot be made or the file in it not written, None when they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file is not None:
            os.close(open_log_file(str(file), os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _wrong(name: str, kind: Kind[Any], environ: Mapping[str, str]) -> str:
    text = environ.get(name)
    was = "it is missing" if text is None else f"it was {text[:_SHOWN_CHARACTERS]!r}"
    return f"{name} must be {kind.expected}: {was}"


def open_log_file(path: str, flags: int) -> int:
    """Open a log file on a new line; only its owner and group may read it: it shows values."""
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), _LOG_FILE_MODE)
    if ends_inside_line(descriptor, path, os.fstat(descriptor)):
        with suppress(OSError):
            os.write(descriptor, NEWLINE)
    return descriptor
