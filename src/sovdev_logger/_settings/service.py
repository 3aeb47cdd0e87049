"""The environment, read once and checked in one place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovdev_logger._entry.levels import LEVELS, TRACE, Level, find_level
from sovdev_logger._runtime.file_locks import CAN_LOCK
from sovdev_logger._settings.delivery import (
    DEFAULT_QUEUE_MAX_BYTES,
    DEFAULT_QUEUE_MAX_RECORDS,
    DEFAULT_SPOOL_MAX_BYTES,
    DeliverySettings,
    SpoolSettings,
)
from sovdev_logger._settings.logwell import LogwellSettings, read_logwell
from sovdev_logger._settings.otlp import OtlpSettings, read_otlp
from sovdev_logger._settings.reader import EnvironmentReader, Problem
from sovdev_logger._settings.relay import RelaySettings, read_relay
from sovdev_logger._settings.sampling import SamplingSettings, read_sampling

DEFAULT_LOG_PATH: Final = Path("logs") / "dev.log"
DEFAULT_ERROR_LOG_PATH: Final = Path("logs") / "error.log"
DEFAULT_FILE_MAX_BYTES: Final = 50 * 1024 * 1024
DEFAULT_ERROR_FILE_MAX_BYTES: Final = 10 * 1024 * 1024
DEFAULT_MAX_FIELD_BYTES: Final = 65536
MIN_MAX_FIELD_BYTES: Final = 256
DEFAULT_EXIT_TIMEOUT_SECONDS: Final = 5.0
SPOOL_FOLDER: Final = "spool"
MIN_QUEUE_RECORDS: Final = 16
MIN_QUEUE_BYTES: Final = 64 * 1024
MIN_SPOOL_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileSettings:
    """One rotating file: where it is, when it rotates and how many old ones are kept."""

    path: Path
    max_bytes: int
    backup_count: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for (specification: environment variables)."""

    console: bool = True
    console_json: bool = False
    file: FileSettings | None = None
    error_file: FileSettings | None = None
    level: Level = TRACE
    redact: bool = True
    max_field_bytes: int = DEFAULT_MAX_FIELD_BYTES
    service_version: str | None = None
    exit_timeout_seconds: float = DEFAULT_EXIT_TIMEOUT_SECONDS
    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    sampling: SamplingSettings | None = None
    logwell: LogwellSettings | None = None
    relay: RelaySettings | None = None
    problems: tuple[Problem, ...] = ()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read every variable of the contract from ``environ``.

    Raises nothing: a value that cannot be used is left at its default and reported in
    ``problems``, one sentence each, with what was expected.
    """
    env = EnvironmentReader(environ)
    otlp = read_otlp(env)
    to_file = env.flag("LOG_TO_FILE", default=True)
    return Settings(
        console=env.flag("LOG_TO_CONSOLE", default=not otlp.enabled),
        console_json=env.choice("SOVDEV_CONSOLE_FORMAT", ("pretty", "json")) == "json",
        file=_log_file(env) if to_file else None,
        error_file=_error_file(env) if to_file else None,
        level=_level(env),
        redact=env.flag("SOVDEV_REDACTION", default=True),
        max_field_bytes=env.whole_number(
            "SOVDEV_MAX_FIELD_BYTES", DEFAULT_MAX_FIELD_BYTES, minimum=MIN_MAX_FIELD_BYTES
        ),
        service_version=env.text("SERVICE_VERSION"),
        exit_timeout_seconds=env.positive(
            "SOVDEV_EXIT_TIMEOUT_SECONDS", DEFAULT_EXIT_TIMEOUT_SECONDS, "seconds"
        ),
        otlp=otlp,
        delivery=_delivery(env),
        sampling=read_sampling(env),
        logwell=read_logwell(env),
        relay=read_relay(env),
        problems=tuple(dict.fromkeys(env.problems)),
    )


def _log_file(env: EnvironmentReader) -> FileSettings:
    return FileSettings(
        env.path("LOG_FILE_PATH", DEFAULT_LOG_PATH),
        env.whole_number("LOG_FILE_MAX_BYTES", DEFAULT_FILE_MAX_BYTES),
        env.whole_number("LOG_FILE_BACKUP_COUNT", 5),
    )


def _error_file(env: EnvironmentReader) -> FileSettings:
    return FileSettings(
        env.path("ERROR_LOG_PATH", DEFAULT_ERROR_LOG_PATH),
        env.whole_number("ERROR_LOG_MAX_BYTES", DEFAULT_ERROR_FILE_MAX_BYTES),
        env.whole_number("ERROR_LOG_BACKUP_COUNT", 3),
    )


def _delivery(env: EnvironmentReader) -> DeliverySettings:
    return DeliverySettings(
        env.whole_number(
            "SOVDEV_QUEUE_MAX_RECORDS", DEFAULT_QUEUE_MAX_RECORDS, minimum=MIN_QUEUE_RECORDS
        ),
        env.whole_number(
            "SOVDEV_QUEUE_MAX_BYTES", DEFAULT_QUEUE_MAX_BYTES, minimum=MIN_QUEUE_BYTES
        ),
        _spool(env),
    )


def _spool(env: EnvironmentReader) -> SpoolSettings | None:
    beside_the_log_file = env.path("LOG_FILE_PATH", DEFAULT_LOG_PATH).parent / SPOOL_FOLDER
    folder = env.path("SOVDEV_SPOOL_DIR", beside_the_log_file)
    max_bytes = env.whole_number(
        "SOVDEV_SPOOL_MAX_BYTES", DEFAULT_SPOOL_MAX_BYTES, minimum=MIN_SPOOL_BYTES
    )
    if not env.flag("SOVDEV_SPOOL", default=True) or not CAN_LOCK:
        return None
    return SpoolSettings(Path(os.path.abspath(folder)), max_bytes)


def _level(env: EnvironmentReader) -> Level:
    text = env.text("SOVDEV_LOG_LEVEL")
    if text is None:
        return TRACE
    found = find_level(int(text) if text.isdecimal() else text)
    if found is None:
        names = ", ".join(level.name for level in LEVELS)
        env.report("SOVDEV_LOG_LEVEL", text, f"one of {names}", "trace is used")
    return found or TRACE
