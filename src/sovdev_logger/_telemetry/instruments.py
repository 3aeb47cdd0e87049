"""The four instruments, on whichever meter provider there is."""

from collections.abc import Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from sovdev_logger._delivery.otlp_messages import SCOPE_VERSION
from sovdev_logger._entry.entry import EXCEPTION_TYPE, Identity
from sovdev_logger._telemetry.counters import (
    OVERFLOW,
    EntryCounts,
    EntryLabels,
    SpanCounts,
    SpanLabels,
)

NO_EXCEPTION: Final = "none"
"""``exception_type`` of an error that was logged without an exception."""

_DURATION_BUCKETS_MS: Final = (
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
)  # fmt: skip

Labels = dict[str, str | bool]


class Instruments:
    """Registers the contract's instruments on a provider; they read our counts when they export."""

    def __init__(
        self, provider: MeterProvider, identity: Identity, entries: EntryCounts, spans: SpanCounts
    ) -> None:
        self._service: Labels = {
            "service_name": identity.service_name,
            "service_version": identity.service_version,
        }
        self._entries = entries
        self._spans = spans
        spans.hand_over = self.record_durations
        meter = provider.get_meter(identity.service_name, SCOPE_VERSION)
        self._durations = meter.create_histogram(
            "sovdev_operation_duration",
            unit="ms",
            description="How long operations took.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS_MS,
        )
        meter.create_observable_counter(
            "sovdev_operations_total",
            callbacks=[self._observe_operations],
            unit="1",
            description="Entries that were logged.",
        )
        meter.create_observable_counter(
            "sovdev_errors_total",
            callbacks=[self._observe_errors],
            unit="1",
            description="Entries of level error or fatal, or with an exception.",
        )
        meter.create_observable_up_down_counter(
            "sovdev_operations_active",
            callbacks=[self._observe_active],
            unit="1",
            description="Operations that have started and not ended.",
        )

    def record_durations(self) -> None:
        """Hand the durations of ended spans to the histogram; called by the exporting thread."""
        for labels, duration_ms in self._spans.take_durations():
            self._durations.record(duration_ms, self._span_labels(labels))

    def _observe_operations(self, _options: CallbackOptions) -> Iterable[Observation]:
        # An application's own reader calls only the callbacks, so the histogram is fed here too.
        self.record_durations()
        totals: dict[tuple[str, str, str], int] = {}
        for labels, value in self._entries.read():
            totals[labels[:3]] = totals.get(labels[:3], 0) + value
        for (peer, level, log_type), value in totals.items():
            yield Observation(value, self._entry_labels(peer, level, log_type))

    def _observe_errors(self, _options: CallbackOptions) -> Iterable[Observation]:
        for labels, value in self._entries.read():
            if labels.is_error:
                yield Observation(value, self._error_labels(labels))

    def _observe_active(self, _options: CallbackOptions) -> Iterable[Observation]:
        for labels, value in self._spans.active():
            yield Observation(value, self._span_labels(labels))

    def _entry_labels(self, peer: str, level: str, log_type: str) -> Labels:
        if not peer:
            return {OVERFLOW: True}
        return {
            **self._service,
            "peer_service": peer,
            "log_level": level,
            "log_type": log_type,
        }

    def _error_labels(self, labels: EntryLabels) -> Labels:
        common = self._entry_labels(*labels[:3])
        if OVERFLOW in common:
            return common
        return {**common, "exception_type": EXCEPTION_TYPE if labels.failed else NO_EXCEPTION}

    def _span_labels(self, labels: SpanLabels) -> Labels:
        if not labels.operation_name:
            return {OVERFLOW: True}
        return {
            **self._service,
            "peer_service": labels.peer_service,
            "operation_name": labels.operation_name,
        }
