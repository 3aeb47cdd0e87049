"""The settings of a service, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sovdev_logger._entry.levels import LEVELS, TRACE, Level, find_level
from sovdev_logger._safety.own_rules import Rules
from sovdev_logger._settings.delivery import DeliverySettings, read_delivery
from sovdev_logger._settings.logwell import LogwellSettings, read_logwell
from sovdev_logger._settings.otlp import OtlpSettings, read_otlp
from sovdev_logger._settings.reader import (
    FLAG,
    PATH,
    SECONDS,
    TEXT,
    EnvironmentReader,
    Kind,
    Problem,
    Variable,
    absolute,
    choice,
    parse_whole_number,
    variable,
    whole_number,
)
from sovdev_logger._settings.redaction import read_redaction
from sovdev_logger._settings.relay import RelaySettings, read_relay
from sovdev_logger._settings.sampling import SamplingSettings, read_sampling


def _level(text: str) -> Level | None:
    number = parse_whole_number(text)
    return find_level(text if number is None else number)


LEVEL: Final = Kind(
    f"one of {', '.join(level.name for level in LEVELS)}",
    _level,
    lambda level: level.name,
)

CONSOLE: Final = Variable("LOG_TO_CONSOLE", FLAG, True)
"""Write to stderr; off by default once an OTLP endpoint is set."""

NO_COLOR: Final = Variable("NO_COLOR", TEXT, None)
"""Any text: no colour on the console. Unset, the terminal decides; ``TERM=dumb`` has no colour."""

FORCE_COLOR: Final = Variable("FORCE_COLOR", TEXT, None)
"""Any text but ``0``: colour without a terminal. ``NO_COLOR`` wins."""

TO_FILE: Final = Variable("LOG_TO_FILE", FLAG, True)
"""Write the JSON file and the error file."""

_FOLDERS_OF_DEVICES: Final = (("/", "dev"), ("/", "proc"))

LOG_FILE_PATH: Final = Variable("LOG_FILE_PATH", PATH, Path("logs", "dev.log"))
"""The JSON file."""

LOG_FILE_MAX_BYTES: Final = Variable("LOG_FILE_MAX_BYTES", whole_number(), 50 * 1024 * 1024)
"""The JSON file rotates before it is larger; 0 switches rotation off."""

LOG_FILE_BACKUP_COUNT: Final = Variable("LOG_FILE_BACKUP_COUNT", whole_number(), 5)
"""Old JSON files that are kept; 0 switches rotation off."""

ERROR_LOG_PATH: Final = Variable("ERROR_LOG_PATH", PATH, Path("logs", "error.log"))
"""The error file: the entries from error up."""

ERROR_LOG_MAX_BYTES: Final = Variable("ERROR_LOG_MAX_BYTES", whole_number(), 10 * 1024 * 1024)
"""The error file rotates before it is larger; 0 switches rotation off."""

ERROR_LOG_BACKUP_COUNT: Final = Variable("ERROR_LOG_BACKUP_COUNT", whole_number(), 3)
"""Old error files that are kept; 0 switches rotation off."""


@dataclass(frozen=True, slots=True)
class FileSettings:
    """One rotating file: where it is, when it rotates and how many old ones are kept."""

    path: Path
    max_bytes: int
    backup_count: int
    variable: str = LOG_FILE_PATH.name


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for (specification: environment variables)."""

    console: bool = True

    console_json: bool = variable("SOVDEV_CONSOLE_FORMAT", choice(pretty=False, json=True), False)
    """``json`` writes the file's lines to stderr instead."""

    file: FileSettings | None = None
    error_file: FileSettings | None = None

    level: Level = variable("SOVDEV_LOG_LEVEL", LEVEL, TRACE)
    """The lowest level that the outputs get, in any spelling, or a stdlib number."""

    redact: bool = variable("SOVDEV_REDACTION", FLAG, True)
    """``false`` writes credentials as they are."""

    max_field_bytes: int = variable("SOVDEV_MAX_FIELD_BYTES", whole_number(256), 65536)
    """A larger message, input or response is cut and marked."""

    service_version: str | None = variable("SERVICE_VERSION", TEXT, None)
    """The service's version where the argument is not given."""

    exit_timeout_seconds: float = variable("SOVDEV_EXIT_TIMEOUT_SECONDS", SECONDS, 5.0)
    """Seconds that the exit may wait for delivery."""

    own_rules: Rules | None = None
    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    sampling: SamplingSettings | None = None
    logwell: LogwellSettings | None = None
    relay: RelaySettings | None = None
    problems: tuple[Problem, ...] = ()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read every variable of the contract from ``environ``.

    Never raises: a value that cannot be used leaves the default and is reported in ``problems``,
    one sentence each, with what was expected.
    """
    env = EnvironmentReader(environ)
    otlp = read_otlp(env)
    settings = env.settings(
        Settings, console=env.read(CONSOLE._replace(default=not otlp.enabled)), otlp=otlp
    )
    return replace(
        settings,
        file=_file(env, LOG_FILE_PATH, LOG_FILE_MAX_BYTES, LOG_FILE_BACKUP_COUNT),
        error_file=_file(env, ERROR_LOG_PATH, ERROR_LOG_MAX_BYTES, ERROR_LOG_BACKUP_COUNT),
        own_rules=read_redaction(env),
        delivery=read_delivery(env, _folder_of(env.read(LOG_FILE_PATH))),
        sampling=read_sampling(env),
        logwell=read_logwell(env),
        relay=read_relay(env),
        problems=tuple(dict.fromkeys(env.problems)),
    )


def _folder_of(log_file: Path) -> Path:
    """Return the folder of the log file; the default one for a device such as /dev/stdout."""
    is_device = absolute(log_file).parts[:2] in _FOLDERS_OF_DEVICES
    return LOG_FILE_PATH.default.parent if is_device else log_file.parent


def _file(
    env: EnvironmentReader, path: Variable[Path], size: Variable[int], count: Variable[int]
) -> FileSettings | None:
    if not env.read(TO_FILE):
        return None
    return FileSettings(env.read(path), env.read(size), env.read(count), path.name)
