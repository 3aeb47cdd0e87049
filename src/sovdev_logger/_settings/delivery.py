"""How much may wait to be sent, in memory and on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sovdev_logger._runtime.file_locks import CAN_LOCK
from sovdev_logger._settings.reader import (
    FLAG,
    PATH,
    EnvironmentReader,
    Variable,
    absolute,
    variable,
    whole_number,
)

SPOOL: Final = Variable("SOVDEV_SPOOL", FLAG, True)
"""``false`` keeps what cannot be sent yet in memory only."""

SPOOL_FOLDER: Final = Variable("SOVDEV_SPOOL_DIR", PATH, Path("logs", "spool"))
"""Where entries wait that cannot be sent yet; by default ``spool`` beside the log file."""


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where a spool is and how large all its files together may become."""

    folder: Path

    max_bytes: int = variable("SOVDEV_SPOOL_MAX_BYTES", whole_number(64 * 1024), 100 * 1024 * 1024)
    """All files of the spool together; beyond it the oldest entries are dropped and counted."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """The bounds of each output's queue in memory, and the spool, None for memory only."""

    queue_max_records: int = variable("SOVDEV_QUEUE_MAX_RECORDS", whole_number(16), 65_536)
    """Entries, spans or metrics that wait in memory, for each signal and output."""

    queue_max_bytes: int = variable(
        "SOVDEV_QUEUE_MAX_BYTES", whole_number(64 * 1024), 64 * 1024 * 1024
    )
    """The same in bytes."""

    spool: SpoolSettings | None = None


def read_delivery(env: EnvironmentReader, log_folder: Path) -> DeliverySettings:
    """Read the variables of delivery; the spool is beside the log file unless it is set."""
    folder = env.read(SPOOL_FOLDER._replace(default=log_folder / "spool"))
    spool = env.settings(SpoolSettings, folder=absolute(folder))
    is_on = env.read(SPOOL) and CAN_LOCK
    return env.settings(DeliverySettings, spool=spool if is_on else None)
