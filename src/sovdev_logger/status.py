"""What became of every entry, output by output: the answer of ``sovdev_status``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """The ledger of one output: ``logged`` is the sum of the five fates, at every moment.

    Attributes:
        logged: Entries that the output was given, with those that it recovered.
        delivered: Written to the console or file, or taken by the server.
        queued: In memory, on their way.
        spooled: On disk, to be sent when the server is back.
        dropped: Lost to this output, for the reasons in ``dropped_by_reason``.
        sampled_out: Left out on purpose.
        recovered: How many of ``logged`` an earlier process had left in the spool.
        dropped_by_reason: Each reason with its count.
        healthy: Whether the last attempt to write or send succeeded, or none was made.
        last_error: What went wrong last, in words; None when nothing ever did.
        last_error_at: When that was (UTC).
    """

    logged: int = 0
    delivered: int = 0
    queued: int = 0
    spooled: int = 0
    dropped: int = 0
    sampled_out: int = 0
    recovered: int = 0
    dropped_by_reason: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    healthy: bool = True
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The ledgers of all outputs that are on.

    Attributes:
        outputs: By name: ``console``, ``file``, ``error_file``, ``otlp_logs``, ``otlp_traces``
            (its items are spans) and ``otlp_metrics`` (its items are exports).
    """

    outputs: Mapping[str, OutputStatus] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether every output is."""
        return all(output.healthy for output in self.outputs.values())

    @property
    def dropped(self) -> int:
        """What all outputs dropped, together."""
        return sum(output.dropped for output in self.outputs.values())
