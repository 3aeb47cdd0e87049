"""The ledgers of all outputs, as ``sovdev_status`` returns them."""

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
        delivered: Written to the console or file, or accepted by the server.
        queued: In memory, on their way.
        spooled: On disk, to be sent when the server is back.
        dropped: Lost to this output, for the reasons in ``dropped_by_reason``.
        sampled_out: Not written or sent, by a decision of sampling.
        recovered: How many of ``logged`` an earlier process had left in the spool.
        repeated: How often an item was sent again for want of an answer: it may have arrived twice.
        dropped_by_reason: Each reason with its count.
        healthy: Whether the last attempt to write or send succeeded, or none was made.
        last_error: The last error in words; None without one.
        last_error_at: Its time (UTC).
    """

    logged: int = 0
    delivered: int = 0
    queued: int = 0
    spooled: int = 0
    dropped: int = 0
    sampled_out: int = 0
    recovered: int = 0
    repeated: int = 0
    dropped_by_reason: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    healthy: bool = True
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SamplingStatus:
    """The policy that sampling applies, and what it decided so far.

    Attributes:
        policy_version: The server's number for the policy; 0 for a default.
        policy_source: ``lipservice``, or ``local`` while no server has sent one.
        policy_age_seconds: Since the policy was fetched or confirmed.
        patterns_tracked: How many patterns are told apart now.
        kept, sampled_out: How many entries, by level.
        requests_failed: Requests to LipService that were not answered as they should have been.
        reports_uncertain: Reports that were sent without an answer, and may be lost.
        last_error: What went wrong last, in words; None when nothing ever did.
    """

    policy_version: int = 0
    policy_source: str = "local"
    policy_age_seconds: float = 0.0
    patterns_tracked: int = 0
    kept: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    sampled_out: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    requests_failed: int = 0
    reports_uncertain: int = 0
    last_error: str | None = None

    @property
    def left_out(self) -> Mapping[str, int]:
        """Deprecated: the former name of ``sampled_out``."""
        return self.sampled_out


@dataclass(frozen=True, slots=True)
class Status:
    """The ledgers of all outputs that are on, and what sampling does.

    Attributes:
        outputs: By name: ``console``, ``file``, ``error_file``, ``otlp_logs``, ``otlp_traces``
            (its items are spans), ``otlp_metrics`` (its items are exports), ``logwell`` and
            ``relay`` (``relay_1`` and so on where there are several).
        sampling: None when sampling is off.
        redacted: How many values each rule of redaction replaced (specification: redaction).
    """

    outputs: Mapping[str, OutputStatus] = field(default_factory=dict)
    sampling: SamplingStatus | None = None
    redacted: Mapping[str, int] = field(default_factory=lambda: _NOTHING)

    @property
    def healthy(self) -> bool:
        """Whether every output is."""
        return all(output.healthy for output in self.outputs.values())

    @property
    def dropped(self) -> int:
        """What all outputs dropped, together."""
        return sum(output.dropped for output in self.outputs.values())
