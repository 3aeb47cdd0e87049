"""A sampler with the client that updates its policy, as a service or an application holds it."""

import logging
from collections.abc import Callable
from typing import Final

from sovdev_logger._delivery.status import SamplingStatus
from sovdev_logger._entry.identifiers import trace_id_digits
from sovdev_logger._entry.levels import Level
from sovdev_logger._entry.log_types import JOB_STATUS
from sovdev_logger._sampling.lipservice_client import LipServiceClient
from sovdev_logger._sampling.policy import LOCAL_DEFAULTS, uniform_policy
from sovdev_logger._sampling.sampler import Sampler
from sovdev_logger._settings.sampling import SamplingSettings

ActiveTrace = Callable[[], str | None]
"""Returns the trace id of the active span as 32 hex digits, None without a span."""

_MAX_TRACE_ID_CHARACTERS: Final = 256


class ManagedSampler:
    """A sampler and the client that feeds it; decides about a service's calls and records."""

    def __init__(
        self,
        sampler: Sampler,
        client: LipServiceClient | None = None,
        active_trace: ActiveTrace | None = None,
    ) -> None:
        self.sampler = sampler
        self.client = client
        self._active_trace = active_trace

    def rate_for_call(
        self,
        level: Level,
        message: object,
        exception: object,
        trace_id: object,
        log_type: str,
    ) -> float:
        """Return the rate at which a call's entry is kept, 0 if it is sampled out."""
        sampler = self.sampler
        return sampler.decide(
            level,
            message if type(message) is str else type(message).__name__,
            (exception is not None and exception is not False) or log_type == JOB_STATUS,
            self._trace_digits(trace_id) if sampler.by_trace else None,
        )

    def rate_for_record(self, record: logging.LogRecord) -> float:
        """Return the rate at which a plain record's entry is kept, 0 if it is sampled out."""
        sampler = self.sampler
        trace_digits = self._trace_digits(None) if sampler.by_trace else None
        return sampler.decide_record(record, trace_digits)

    def begin_close(self, deadline: float) -> None:
        """Ask the client, if there is one, to send its last report."""
        if self.client is not None:
            self.client.begin_close(deadline)

    def end_close(self, deadline: float) -> None:
        """Wait for the last report, at most until the deadline."""
        if self.client is not None:
            self.client.end_close(deadline)

    def status(self) -> SamplingStatus:
        """Return the policy in use, and what was decided so far."""
        sampler, client = self.sampler, self.client
        kept, sampled_out = sampler.counts()
        return SamplingStatus(
            policy_version=sampler.policy.version,
            policy_source="lipservice" if client is not None and client.has_policy else "local",
            policy_age_seconds=sampler.policy_age_seconds,
            patterns_tracked=sampler.patterns_tracked,
            kept=kept,
            sampled_out=sampled_out,
            requests_failed=client.requests_failed if client is not None else 0,
            reports_uncertain=client.reports_uncertain if client is not None else 0,
            last_error=client.last_error if client is not None else None,
        )

    def _trace_digits(self, trace_id: object) -> str | None:
        if type(trace_id) is str and len(trace_id) <= _MAX_TRACE_ID_CHARACTERS:
            return trace_id_digits(trace_id)
        return self._active_trace() if self._active_trace is not None else None


def start_sampler(
    settings: SamplingSettings, service_name: str, active_trace: ActiveTrace | None = None
) -> ManagedSampler:
    """Start what the settings ask for; nothing here waits for a server."""
    rate = settings.fallback_rate
    sampler = Sampler(
        LOCAL_DEFAULTS if rate is None else uniform_policy(rate),
        max_patterns=settings.max_patterns,
        by_trace=settings.by_trace,
        from_template=settings.from_template,
    )
    client = None
    if settings.lipservice is not None:
        client = LipServiceClient(settings.lipservice, service_name, sampler)
        client.start()
    return ManagedSampler(sampler, client, active_trace)
