"""Start times of exported metric points (OpenTelemetry's data model: temporality)."""

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
        self._exported_ns = time.time_ns()
        self._started_ns: dict[tuple[str, bytes], int] = {}

    def set(self, request: ExportMetricsServiceRequest) -> None:
        """Let each series start when it was last known to be zero, and a delta at its interval.

        In the first export that is when counting began; a cumulative series that is not in one
        export, but in the next, was zero at the time of the former.
        """
        since_ns = exported_ns = self._exported_ns
        for name, data in _sums_and_histograms(request):
            is_delta = data.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
            for point in data.data_points:
                start_ns = since_ns
                if not is_delta:
                    labels = b"".join(pair.SerializeToString() for pair in point.attributes)
                    start_ns = self._started_ns.setdefault((name, labels), since_ns)
                exported_ns = point.time_unix_nano  # one for the whole export
                # A clock that was set back must not make a point end before it starts.
                point.start_time_unix_nano = min(start_ns, exported_ns)
        self._exported_ns = exported_ns


def _sums_and_histograms(
    request: ExportMetricsServiceRequest,
) -> Iterator[tuple[str, Sum | Histogram]]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.HasField("sum"):
                    yield metric.name, metric.sum
                elif metric.HasField("histogram"):
                    yield metric.name, metric.histogram
