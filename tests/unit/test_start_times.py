"""The start times of an export's points."""

import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from sovdev_logger._telemetry.start_times import StartTimes

SECOND = 10**9


def start_of(times: StartTimes, metric: Metric) -> int:
    """Return the start time that the only point of a metric gets."""
    scope = ScopeMetrics(metrics=[metric])
    request = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[scope])])
    times.set(request)
    sent = request.resource_metrics[0].scope_metrics[0].metrics[0]
    kind = sent.WhichOneof("data")
    assert kind is not None
    (point,) = getattr(sent, kind).data_points
    return int(point.start_time_unix_nano)


def counter(time_ns: int, temporality: int = AGGREGATION_TEMPORALITY_CUMULATIVE) -> Metric:
    point = NumberDataPoint(time_unix_nano=time_ns, start_time_unix_nano=time_ns, as_int=1)
    return Metric(sum=Sum(data_points=[point], aggregation_temporality=temporality))  # type: ignore[arg-type]


def histogram(time_ns: int) -> Metric:
    point = HistogramDataPoint(time_unix_nano=time_ns, start_time_unix_nano=time_ns, count=1)
    return Metric(
        histogram=Histogram(
            data_points=[point], aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE
        )
    )


@pytest.fixture
def started_at(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(time, "time_ns", lambda: 100 * SECOND)
    return 100 * SECOND


@pytest.mark.parametrize("metric", [counter, histogram])
def test_cumulative_points_keep_one_start(metric: object, started_at: int) -> None:
    assert callable(metric)
    times = StartTimes()
    for seconds in (101, 160, 220):
        assert start_of(times, metric(seconds * SECOND)) == started_at


def test_delta_points_start_where_the_export_before_ended(started_at: int) -> None:
    times = StartTimes()
    starts = [
        start_of(times, counter(seconds * SECOND, AGGREGATION_TEMPORALITY_DELTA))
        for seconds in (101, 160, 220)
    ]
    assert starts == [started_at, 101 * SECOND, 160 * SECOND]


def test_a_clock_that_was_set_back_makes_no_point_end_before_it_starts(started_at: int) -> None:
    times = StartTimes()
    assert start_of(times, counter(40 * SECOND)) == 40 * SECOND
    assert start_of(times, counter(30 * SECOND, AGGREGATION_TEMPORALITY_DELTA)) == 30 * SECOND
    assert start_of(times, counter(160 * SECOND)) == started_at


def test_a_series_that_is_new_starts_at_the_export_before(started_at: int) -> None:
    def labelled(time_ns: int, level: str) -> Metric:
        metric = counter(time_ns)
        metric.sum.data_points[0].attributes.add(key="log_level").value.string_value = level
        return metric

    times = StartTimes()
    assert start_of(times, labelled(101 * SECOND, "info")) == started_at
    assert start_of(times, labelled(160 * SECOND, "error")) == 101 * SECOND
    assert start_of(times, labelled(220 * SECOND, "info")) == started_at
    assert start_of(times, labelled(280 * SECOND, "error")) == 101 * SECOND


def test_a_gauge_has_no_start(started_at: int) -> None:
    point = NumberDataPoint(time_unix_nano=started_at, as_int=1)
    assert start_of(StartTimes(), Metric(gauge=Gauge(data_points=[point]))) == 0
