"""Since when the points of an export count (OpenTelemetry's data model: temporality)."""

import time
from collections.abc import Iterator

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    Histogram,
    Sum,
)


class StartTimes:
    """Sets the start times of exports, one after the other.

    The SDK starts an observable counter when it is first exported, so that a backend takes what
    was counted before for the value at the start, and sees no increase.
    """

    def __init__(self) -> None:
        self._counting_since_ns = self._exported_ns = time.time_ns()

    def set(self, request: ExportMetricsServiceRequest) -> None:
        """Let cumulative points start with the counting, delta points at the previous export."""
        exported_ns = self._exported_ns
        for data in _sums_and_histograms(request):
            is_delta = data.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
            start_ns = self._exported_ns if is_delta else self._counting_since_ns
            for point in data.data_points:
                exported_ns = point.time_unix_nano  # one for the whole export
                # A clock that was set back must not make a point end before it starts.
                point.start_time_unix_nano = min(start_ns, exported_ns)
        self._exported_ns = exported_ns


def _sums_and_histograms(request: ExportMetricsServiceRequest) -> Iterator[Sum | Histogram]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.HasField("sum"):
                    yield metric.sum
                elif metric.HasField("histogram"):
                    yield metric.histogram
