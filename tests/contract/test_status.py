"""``sovdev_status``: the ledger of each output (specification: delivery)."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sovdev_logger import (
    OutputStatus,
    Status,
    sovdev_flush,
    sovdev_log,
    sovdev_shutdown,
    sovdev_start_span,
    sovdev_status,
)
from support.otlp_receiver import OtlpReceiver
from support.service import Started

Start = Callable[..., Started]
DOWN = "http://127.0.0.1:9"


def adds_up(one: OutputStatus) -> bool:
    fates = one.delivered + one.queued + one.spooled + one.dropped + one.sampled_out
    return one.logged == fates and one.dropped == sum(one.dropped_by_reason.values())


def test_before_initialisation_there_are_no_outputs() -> None:
    assert sovdev_status() == Status()
    assert sovdev_status().healthy
    assert sovdev_status().dropped == 0


def test_each_output_that_is_on_has_a_ledger(start: Start) -> None:
    with OtlpReceiver() as receiver:
        start(LOG_TO_CONSOLE="true", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        sovdev_log("info", "f", "m", None)
        sovdev_log("error", "f", "m", None)
        sovdev_log("loud", "f", "m", None)
        with sovdev_start_span("work"):
            pass
        sovdev_flush()
        status = sovdev_status()
        found = {name: (one.logged, one.delivered) for name, one in status.outputs.items()}
        assert found == {
            "file": (3, 3),
            "error_file": (1, 1),
            "otlp_logs": (3, 3),
            "console": (3, 3),
            "otlp_traces": (1, 1),
            "otlp_metrics": (1, 1),
        }
        assert status.healthy
        assert status.dropped == 0
        assert all(map(adds_up, status.outputs.values()))
        sovdev_shutdown()


def test_a_status_cannot_be_changed_and_can_be_shown(start: Start) -> None:
    start()
    status = sovdev_status()
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.outputs = {}  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.outputs["file"].logged = 7  # type: ignore[misc]
    with pytest.raises(TypeError):
        status.outputs["file"].dropped_by_reason["x"] = 1  # type: ignore[index]
    assert json.dumps({name: one.logged for name, one in status.outputs.items()})


def test_what_went_wrong_and_when(start: Start, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    start(OTEL_EXPORTER_OTLP_ENDPOINT=DOWN)
    sovdev_log("info", "f", "m", None)
    assert sovdev_status().outputs["otlp_logs"].last_error is None
    sovdev_flush()
    one = sovdev_status().outputs["otlp_logs"]
    assert not one.healthy
    assert not sovdev_status().healthy
    assert "refused" in str(one.last_error)
    assert one.last_error_at is not None
    assert before <= one.last_error_at <= datetime.now(UTC)
    assert (one.logged, one.spooled, one.queued) == (1, 1, 0)
    assert sovdev_status().outputs["file"].healthy


def test_an_output_that_works_again_is_healthy_and_keeps_its_last_error(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.write_text("a file is in the way")
    start(LOG_FILE_PATH=str(folder / "dev.log"), ERROR_LOG_PATH=str(tmp_path / "error.log"))
    sovdev_log("info", "f", "lost", None)
    failed = sovdev_status().outputs["file"]
    assert (failed.logged, failed.dropped, failed.healthy) == (1, 1, False)
    assert dict(failed.dropped_by_reason) == {failed.last_error: 1}
    folder.unlink()
    sovdev_log("info", "f", "kept", None)
    mended = sovdev_status().outputs["file"]
    assert (mended.logged, mended.delivered, mended.dropped) == (2, 1, 1)
    assert mended.healthy
    assert mended.last_error == failed.last_error


def test_metrics_with_delta_temporality_are_kept_until_they_are_sent(start: Start) -> None:
    with OtlpReceiver() as receiver:
        receiver.respond_with(503)
        start(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
            OTEL_LOGS_EXPORTER="none",
            OTEL_TRACES_EXPORTER="none",
        )
        for _ in range(3):
            sovdev_log("info", "f", "m", None)
            sovdev_flush()
        assert sovdev_status().outputs["otlp_metrics"].spooled == 3
        receiver.recover()
        sovdev_flush()
        one = sovdev_status().outputs["otlp_metrics"]
        assert (one.queued, one.dropped) == (0, 0)
        assert adds_up(one)
        total = sum(
            point.as_int
            for request in receiver.requests
            for resource in request.message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "sovdev_operations_total"
            for point in metric.sum.data_points
        )
        assert total == 3
