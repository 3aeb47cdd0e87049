"""The settings of redaction: what the user wants replaced besides credentials."""

import json
import re
from pathlib import Path
from typing import Any, Final

from sovdev_logger._safety.detectors import DETECTOR_NAMES, Detector, make_detector
from sovdev_logger._safety.own_rules import Rules
from sovdev_logger._settings.reader import PATH, TEXT, EnvironmentReader, Kind, Variable

MAX_FILE_BYTES: Final = 1024 * 1024
_MAX_NAMES: Final = 1000
_MAX_NAME_CHARACTERS: Final = 200
_MAX_PATTERN_CHARACTERS: Final = 2000
_MIN_KEY_CHARACTERS: Final = 16
_MEMBERS: Final = ("keys", "patterns", "allow")


def _names(text: str) -> tuple[str, ...] | None:
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    return names if len(names) <= _MAX_NAMES and _are_short(names) else None


def _are_short(names: tuple[str, ...]) -> bool:
    return all(len(name) <= _MAX_NAME_CHARACTERS for name in names)


NAMES: Final = Kind("names, comma-separated", _names)

KEYS: Final[Variable[tuple[str, ...] | None]] = Variable("SOVDEV_REDACT_KEYS", NAMES, None)
"""Keys whose values are replaced; a name with a dot is the end of a path."""

FILE: Final = Variable("SOVDEV_REDACT_FILE", PATH, None)
"""A JSON file with ``keys``, ``patterns`` and ``allow``."""

ALLOW: Final[Variable[tuple[str, ...] | None]] = Variable("SOVDEV_REDACT_ALLOW", NAMES, None)
"""Keys that are never redacted for their name."""

PSEUDONYM_KEYS: Final[Variable[tuple[str, ...] | None]] = Variable(
    "SOVDEV_REDACT_PSEUDONYM_KEYS", NAMES, None
)
"""Keys whose values become pseudonyms: the same value, the same token in every process."""

PSEUDONYM_KEY: Final = Variable("SOVDEV_REDACT_PSEUDONYM_KEY", TEXT, None)
"""The secret that pseudonyms are made with, at least 16 characters; never printed."""

DETECT: Final[Variable[tuple[str, ...] | None]] = Variable(
    "SOVDEV_REDACT_DETECT",
    Kind(
        f"some of {', '.join(DETECTOR_NAMES)}",
        lambda text: names if set(names := _names(text) or ("",)) <= {*DETECTOR_NAMES} else None,
    ),
    None,
)
"""What is looked for in every text; ``phone`` needs the extra ``phone``."""


def read_redaction(env: EnvironmentReader) -> Rules | None:
    """Return the user's rules, None where there are none."""
    content = _file_content(env)
    key = env.read(PSEUDONYM_KEY)
    pseudonym_keys = env.read(PSEUDONYM_KEYS) or ()
    keys = (*(env.read(KEYS) or ()), *content["keys"])
    if pseudonym_keys and (key is None or len(key) < _MIN_KEY_CHARACTERS):
        env.report(
            PSEUDONYM_KEY.name,
            f"{PSEUDONYM_KEY.name} is {'too short' if key else 'not set'}: expected at least "
            f"{_MIN_KEY_CHARACTERS} characters for {PSEUDONYM_KEYS.name}; the values are replaced "
            "by [REDACTED].",
        )
        keys, pseudonym_keys = (*keys, *pseudonym_keys), ()
    rules = Rules(
        keys=keys,
        patterns=content["patterns"],
        allow=(*(env.read(ALLOW) or ()), *content["allow"]),
        pseudonym_keys=pseudonym_keys,
        pseudonym_key=key if pseudonym_keys else None,
        detectors=_detectors(env),
    )
    return rules if rules != Rules() else None


def _detectors(env: EnvironmentReader) -> dict[str, Detector]:
    detectors = {}
    chosen = env.read(DETECT) or ()
    for name in (name for name in DETECTOR_NAMES if name in chosen):
        try:
            detectors[name] = make_detector(name)
        except ImportError as error:
            env.report(
                DETECT.name,
                f"{DETECT.name}={name} needs the extra {name} ({error}): install "
                f"sovdev-logger[{name}]; until then it detects nothing.",
            )
    return detectors


def _file_content(env: EnvironmentReader) -> dict[str, Any]:
    content: dict[str, Any] = {"keys": (), "patterns": {}, "allow": ()}
    path = env.read(FILE)
    if path is None:
        return content
    try:
        members = _members(path)
    except (OSError, ValueError, RecursionError) as error:
        env.report(
            FILE.name,
            f"{FILE.name}={str(path)!r} is not usable ({_reason(error)}): expected a JSON object "
            'like {"keys": ["name"], "patterns": {"case": "CASE-[0-9]{6}"}, "allow": ["name"]}; '
            "none of its rules is applied.",
        )
        return content
    for name in ("keys", "allow"):
        content[name] = tuple(members.get(name, ()))
    for name, expression in members.get("patterns", {}).items():
        pattern = _pattern(env, path, name, expression)
        if pattern is not None:
            content["patterns"][name] = pattern
    return content


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _members(path: Path) -> dict[str, Any]:
    """Return what the file holds, of the right types. Raises OSError or ValueError."""
    if not path.is_file():
        raise ValueError("no such file" if not path.exists() else "it is no regular file")
    with path.open("rb") as file:
        text = file.read(MAX_FILE_BYTES + 1)
    if len(text) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
    members = json.loads(text)
    if not isinstance(members, dict):
        raise ValueError(f"it holds a {type(members).__name__}")  # noqa: TRY004 - one kind of error
    unknown = members.keys() - _MEMBERS
    if unknown:
        raise ValueError(f"{min(unknown)!r} is none of {', '.join(_MEMBERS)}")
    for name in ("keys", "allow"):
        names = members.get(name, [])
        if not isinstance(names, list) or not _are_names(names):
            raise ValueError(f"{name!r} is not a list of at most {_MAX_NAMES} short texts")
    patterns = members.get("patterns", {})
    if not isinstance(patterns, dict) or not _are_names([*patterns]):
        raise ValueError(f"'patterns' is not an object of at most {_MAX_NAMES} short names")
    return members


def _are_names(names: list[Any]) -> bool:
    return len(names) <= _MAX_NAMES and all(
        isinstance(name, str) and 0 < len(name) <= _MAX_NAME_CHARACTERS for name in names
    )


def _pattern(
    env: EnvironmentReader, path: Path, name: str, expression: object
) -> re.Pattern[str] | None:
    try:
        if not isinstance(expression, str):
            raise TypeError("it is not a text")  # noqa: TRY301 - told like the others
        if len(expression) > _MAX_PATTERN_CHARACTERS:
            raise ValueError(f"it is longer than {_MAX_PATTERN_CHARACTERS} characters")  # noqa: TRY301
        pattern = re.compile(expression)
        if pattern.match("") is not None:
            raise ValueError("it matches the empty text")  # noqa: TRY301
    except (re.error, TypeError, ValueError, OverflowError, RecursionError) as error:
        env.report(
            FILE.name,
            f"{FILE.name}={str(path)!r}: pattern {name!r} ({str(expression)[:80]!r}) is not "
            f"usable: {error}. Correct it there; until then nothing is redacted by it.",
        )
        return None
    return pattern
