"""How much may wait, and where: what a user can set about delivery."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_QUEUE_MAX_RECORDS: Final = 65_536
DEFAULT_QUEUE_MAX_BYTES: Final = 64 * 1024 * 1024
DEFAULT_SPOOL_MAX_BYTES: Final = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where a spool is and how large all its files together may become."""

    folder: Path
    max_bytes: int = DEFAULT_SPOOL_MAX_BYTES


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """The bounds of each output's queue in memory, and the spool, None for memory only."""

    queue_max_records: int = DEFAULT_QUEUE_MAX_RECORDS
    queue_max_bytes: int = DEFAULT_QUEUE_MAX_BYTES
    spool: SpoolSettings | None = None
