"""Sampling inside a service: what is left out where, and what is counted."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger import (
    SOVDEV_LOGLEVELS,
    sovdev_end_span,
    sovdev_flush,
    sovdev_generate_trace_id,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_shutdown,
    sovdev_start_span,
    sovdev_status,
    sovdev_validate_config,
)
from sovdev_logger._sampling.signature import signature_of
from support.lipservice import FakeLipService
from support.otlp_receiver import OtlpReceiver, attributes
from support.service import Started

INFO, ERROR = SOVDEV_LOGLEVELS.INFO, SOVDEV_LOGLEVELS.ERROR
Start = Callable[..., Started]
NONE = {"SOVDEV_SAMPLING": "local", "SOVDEV_SAMPLING_FALLBACK_RATE": "0"}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as found:
        yield found


def log(count: int, level: SOVDEV_LOGLEVELS = INFO, **more: object) -> None:
    for number in range(count):
        sovdev_log(level, "f", f"User {number} logged in", None, **more)  # type: ignore[arg-type]


def test_it_is_off_by_default(start: Start, receiver: OtlpReceiver) -> None:
    start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    log(5)
    sovdev_flush()
    assert len(receiver.messages()) == 5
    assert all("sample_rate" not in attributes(r.attributes) for *_, r in receiver.log_records())
    assert sovdev_status().sampling is None


def test_the_file_keeps_everything_and_the_network_gets_what_is_kept(
    start: Start, receiver: OtlpReceiver
) -> None:
    running = start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **NONE)
    log(10)
    log(2, ERROR)
    sovdev_flush()
    assert len(running.entries) == 12
    assert all("sample_rate" not in entry for entry in running.entries)
    assert receiver.messages() == ["User 0 logged in", "User 0 logged in", "User 1 logged in"]
    rates = [attributes(r.attributes)["sample_rate"] for *_, r in receiver.log_records()]
    assert rates == [1.0, 1.0, 1.0]


def test_the_rate_goes_with_what_is_kept(start: Start, receiver: OtlpReceiver) -> None:
    start(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        SOVDEV_SAMPLING="local",
        SOVDEV_SAMPLING_FALLBACK_RATE="0.5",
    )
    log(2000)
    sovdev_flush()
    rates = [attributes(r.attributes)["sample_rate"] for *_, r in receiver.log_records()]
    assert set(rates) == {0.5, 1.0}
    assert abs(sum(1 / rate for rate in rates) - 2000) < 300


def test_the_ledgers_count_what_is_left_out(start: Start, receiver: OtlpReceiver) -> None:
    start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, LOG_TO_CONSOLE="true", **NONE)
    log(10)
    sovdev_flush()
    status = sovdev_status()
    found = {
        name: (one.logged, one.delivered, one.sampled_out)
        for name, one in status.outputs.items()
        if name in {"otlp_logs", "file", "console"}
    }
    assert found == {"otlp_logs": (10, 1, 9), "file": (10, 10, 0), "console": (10, 10, 0)}
    assert status.sampling is not None
    assert status.sampling.kept["info"] == 1
    assert status.sampling.sampled_out["info"] == 9
    assert status.sampling.left_out == status.sampling.sampled_out  # its former name
    assert status.sampling.patterns_tracked == 1
    assert status.sampling.policy_source == "local"


def test_metrics_count_every_call(start: Start, receiver: OtlpReceiver) -> None:
    start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, SOVDEV_SAMPLING_OUTPUTS="all", **NONE)
    log(10)
    for _ in range(4):
        logging.getLogger("orders").info("plain")
    sovdev_flush()
    points = receiver.metrics()["sovdev_operations_total"]
    assert sum(value for _, value in points) == 14


def test_all_outputs_may_leave_out(
    start: Start, receiver: OtlpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        SOVDEV_SAMPLING_OUTPUTS="all",
        LOG_TO_CONSOLE="true",
        **NONE,
    )
    log(10)
    log(1, ERROR)
    logger = logging.getLogger("orders")
    for _ in range(5):
        logger.info("plain")
    sovdev_flush()
    messages = ["User 0 logged in", "User 0 logged in", "plain"]
    assert [entry["message"] for entry in running.entries] == messages
    assert receiver.messages() == messages
    assert capsys.readouterr().err.count("logged in") == 2
    outputs = sovdev_status().outputs
    for name in ("file", "console", "otlp_logs"):
        assert (outputs[name].logged, outputs[name].sampled_out) == (16, 13), name
    assert (outputs["error_file"].logged, outputs["error_file"].sampled_out) == (1, 0)


def test_the_schema_of_the_file_is_the_same(start: Start) -> None:
    running = start(SOVDEV_SAMPLING_OUTPUTS="all", **NONE)
    log(3)
    assert set(running.last) >= {"timestamp", "message", "event_id"}


def test_exceptions_and_job_status_are_always_kept(start: Start, receiver: OtlpReceiver) -> None:
    start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **NONE)
    log(3, exception=ValueError("x"))
    for _ in range(3):
        sovdev_log_job_status(INFO, "f", "import", "Started", None)
        sovdev_log_job_progress(INFO, "f", "item", 1, 3, None)
    try:
        raise KeyError
    except KeyError:
        for _ in range(3):
            logging.getLogger("orders").info("with an exception", exc_info=True)
    sovdev_flush()
    messages = receiver.messages()
    assert messages.count("Job Started: import") == 3
    assert messages.count("Processing item (1/3)") == 1
    assert messages.count("with an exception") == 3
    assert len(messages) == 10


def test_plain_records_are_sampled_too(start: Start, receiver: OtlpReceiver) -> None:
    running = start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **NONE)
    for number in range(10):
        logging.getLogger("orders").info("User %d logged in", number)
    sovdev_flush()
    assert len(running.entries) == 10
    assert len(receiver.messages()) == 1
    assert sovdev_status().outputs["otlp_logs"].sampled_out == 9


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.mark.parametrize(("outputs", "heard"), [("remote", 10), ("all", 1)])
def test_other_handlers_get_what_the_file_gets(start: Start, outputs: str, heard: int) -> None:
    start(SOVDEV_SAMPLING_OUTPUTS=outputs, **NONE)
    listener = Listener()
    logger = logging.getLogger("orders")
    logger.addHandler(listener)
    try:
        log(10)
    finally:
        logger.removeHandler(listener)
    assert len(listener.messages) == heard


def test_a_filter_of_ours_on_another_handler_decides_as_the_service_did(
    start: Start, receiver: OtlpReceiver
) -> None:
    from sovdev_logger.sampling import AdaptiveSampler

    start(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        SOVDEV_SAMPLING="local",
        SOVDEV_SAMPLING_FALLBACK_RATE="0.5",
    )
    listener = Listener()
    listener.addFilter(AdaptiveSampler())
    logger = logging.getLogger("orders")
    logger.addHandler(listener)
    try:
        log(200)
        for number in range(200):
            logger.info("Item %d sold", number)
    finally:
        logger.removeHandler(listener)
    sovdev_flush()
    assert listener.messages == receiver.messages()
    sampling = sovdev_status().sampling
    assert sampling is not None
    assert sampling.kept["info"] + sampling.sampled_out["info"] == 400, "each is decided about once"


def test_without_local_outputs_what_is_left_out_is_not_made(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, LOG_TO_FILE="false", **NONE)
    made = []
    original = running.service.logger._build

    def build(*arguments: Any) -> Any:
        made.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(running.service.logger, "_build", build)
    logging.getLogger("orders").handlers[:] = running.service.attachment.outputs
    log(10)
    assert len(made) == 1
    assert sovdev_status().outputs["otlp_logs"].sampled_out == 9


def test_a_level_that_is_off_is_not_sampled(start: Start) -> None:
    start(SOVDEV_LOG_LEVEL="warn", **NONE)
    log(5)
    sampling = sovdev_status().sampling
    assert sampling is not None
    assert sampling.patterns_tracked == 0


def test_a_trace_is_kept_as_a_whole(start: Start, receiver: OtlpReceiver) -> None:
    start(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        SOVDEV_SAMPLING="local",
        SOVDEV_SAMPLING_BY_TRACE="true",
    )
    log(1)
    for _ in range(100):
        trace_id = sovdev_generate_trace_id()
        for level in (INFO, SOVDEV_LOGLEVELS.DEBUG, SOVDEV_LOGLEVELS.WARN):
            sovdev_log(level, "f", "User 1 logged in", None, trace_id=trace_id)
    for _ in range(100):
        span = sovdev_start_span("work")
        log(3)
        logging.getLogger("orders").info("User %d logged in", 1)
        sovdev_end_span(span)
    sovdev_flush()
    found: dict[str, int] = {}
    for *_, record in receiver.log_records():
        trace = attributes(record.attributes)["trace_id"].replace("-", "")
        found[trace] = found.get(trace, 0) + 1
    sizes = sorted(found.values())
    assert set(sizes) == {1, 3, 4}
    assert sizes.count(1) == 1, "the first of the pattern"


def test_the_policy_of_a_server(start: Start, receiver: OtlpReceiver) -> None:
    with FakeLipService() as server:
        rates = {signature_of("User 1 logged in"): 0.0}
        server.set_policy("orders", pattern_rates=rates, version=8)
        start(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_SAMPLING="lipservice",
            LIPSERVICE_URL=server.url,
            LIPSERVICE_TEAM_ID="7",
            LIPSERVICE_API_KEY="key-1",
        )
        deadline = time.monotonic() + 10
        while (status := sovdev_status().sampling) and status.policy_source != "lipservice":
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert status is not None
        assert status.policy_version == 8
        assert 0 <= status.policy_age_seconds < 10
        log(10)
        sovdev_shutdown()
        assert receiver.messages() == ["User 0 logged in"]
        assert server.total() == 10
        assert server.counts() == {signature_of("User 1 logged in"): (10, 1)}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SOVDEV_SAMPLING": "yes"}, "SOVDEV_SAMPLING='yes' is not usable: expected one of off"),
        ({"SOVDEV_SAMPLING": "lipservice"}, "LIPSERVICE_URL is not set"),
        (
            {"SOVDEV_SAMPLING": "lipservice", "LIPSERVICE_URL": "http://localhost"},
            "LIPSERVICE_TEAM_ID is not set",
        ),
        (
            {
                "SOVDEV_SAMPLING": "lipservice",
                "LIPSERVICE_URL": "lip.example",
                "LIPSERVICE_TEAM_ID": "1",
            },
            "URL of LipService is not usable",
        ),
        (
            {
                "SOVDEV_SAMPLING": "lipservice",
                "LIPSERVICE_URL": "http://localhost",
                "LIPSERVICE_TEAM_ID": "team",
            },
            "LIPSERVICE_TEAM_ID='team' is not usable: expected a whole number",
        ),
        (
            {
                "SOVDEV_SAMPLING": "lipservice",
                "LIPSERVICE_URL": "http://192.0.2.1",
                "LIPSERVICE_TEAM_ID": "1",
                "LIPSERVICE_API_KEY": "secret-1",
            },
            "a credential does not travel without TLS",
        ),
    ],
)
def test_what_cannot_be_used_is_said_and_everything_is_kept(
    start: Start,
    variables: dict[str, str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(**variables)
    log(3)
    assert sovdev_status().sampling is None
    warning = capsys.readouterr().err
    assert said in warning
    assert "secret-1" not in warning
    assert any(said in one for one in sovdev_validate_config().doubtful)


@pytest.mark.parametrize("rate", ["-1", "1.5", "half", "nan"])
def test_a_rate_that_is_none(start: Start, rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    start(SOVDEV_SAMPLING="local", SOVDEV_SAMPLING_FALLBACK_RATE=rate)
    assert "expected a number from 0 to 1" in capsys.readouterr().err


def test_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSERVICE_API_KEY", "secret-1")
    assert "secret-1" not in str(sovdev_validate_config())


def test_a_service_that_does_not_sample_does_not_import_it(tmp_path: Path) -> None:
    from support.processes import program, run

    out, _ = run(
        tmp_path,
        program(
            """
            log.sovdev_log("info", "f", "x", None)
            print([name for name in sys.modules if name.startswith("sovdev_logger.sampling")])
            """
        ),
    )
    assert "signature" not in out
    assert "sampler" not in out
