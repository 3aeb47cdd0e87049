"""What is set, and what the collector says; neither ever raises."""

import time
from collections.abc import Iterator

import pytest

from sovdev_logger import (
    sovdev_test_connection,
    sovdev_test_otlp_connection,
    sovdev_validate_config,
)
from sovdev_logger._api import connection_check, diagnostics
from sovdev_logger._api.connection_check import ConnectionResult
from support.otlp_receiver import OtlpReceiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        yield made


def test_an_empty_environment_is_fine_but_nothing_is_sent() -> None:
    report = sovdev_validate_config()
    assert report.ok
    assert dict(report.settings) == {}
    assert report.missing == ("OTEL_EXPORTER_OTLP_ENDPOINT is not set: nothing is sent over OTLP.",)


def test_what_is_set_is_shown_but_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_TO_FILE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer s3cret")
    monkeypatch.setenv("UNRELATED", "x")
    report = sovdev_validate_config()
    assert report.settings == {
        "LOG_TO_FILE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example",
        "OTEL_EXPORTER_OTLP_HEADERS": "(set, not shown)",
    }
    assert "s3cret" not in repr(report)
    assert "deployment.environment.name" in report.missing[0]


@pytest.mark.parametrize(
    ("name", "value", "doubt"),
    [
        ("LOG_FILE_BACKUP_COUNT", "many", "expected a whole number"),
        ("SOVDEV_LOGLEVEL", "info", "is SOVDEV_LOG_LEVEL meant?"),
        ("LOG_TO_FILES", "true", "is LOG_TO_FILE meant?"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "expected an http:// or https:// URL"),
    ],
)
def test_doubts_are_sentences(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, doubt: str
) -> None:
    monkeypatch.setenv(name, value)
    report = sovdev_validate_config()
    assert not report.ok
    assert doubt in " ".join(report.doubtful)


def test_no_output_at_all_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_TO_FILE", "false")
    monkeypatch.setenv("LOG_TO_CONSOLE", "false")
    assert "no output" in sovdev_validate_config().doubtful[0]


def test_a_check_that_fails_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(diagnostics, "_report", fail)
    assert "ZeroDivisionError" in sovdev_validate_config().doubtful[0]


def test_a_collector_that_takes_all(receiver: OtlpReceiver) -> None:
    report = sovdev_test_otlp_connection()
    assert report.ok
    for signal, result in (
        ("logs", report.logs),
        ("metrics", report.metrics),
        ("traces", report.traces),
    ):
        assert (result.output, result.reached, result.accepted) == (signal, True, True)
        assert result.endpoint == f"{receiver.endpoint}/v1/{signal}"
        assert (result.status, result.message) == (200, "reached.")
        assert result.signal == signal
        assert result.elapsed_seconds > 0


@pytest.mark.parametrize(
    ("status", "reached", "accepted", "words"),
    [
        (200, True, True, "reached."),
        (202, True, True, "reached."),
        (204, True, True, "reached."),
        (400, True, False, "refused"),
        (401, False, False, "credentials"),
        (403, False, False, "credentials"),
        (404, False, False, "Host header"),
        (500, False, False, "HTTP 500"),
    ],
)
def test_each_status_has_its_meaning(
    receiver: OtlpReceiver, status: int, reached: bool, accepted: bool, words: str
) -> None:
    receiver.respond_with(status)
    report = sovdev_test_otlp_connection()
    assert (report.logs.reached, report.logs.accepted) == (reached, accepted)
    assert words in report.logs.message
    assert report.ok is accepted


def test_a_collector_that_hangs(receiver: OtlpReceiver) -> None:
    receiver.hang()
    started = time.monotonic()
    report = sovdev_test_otlp_connection(timeout=0.3)
    assert time.monotonic() - started < 3
    assert not report.ok
    assert report.traces.endpoint == f"{receiver.endpoint}/v1/traces"
    assert report.traces.status is None


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    report = sovdev_test_otlp_connection()
    assert "refused" in report.logs.message
    assert not report.logs.reached


def test_signals_that_are_off_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    report = sovdev_test_otlp_connection()
    assert not report.ok
    assert report.logs.message == "off: OTEL_EXPORTER_OTLP_ENDPOINT is not set."
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense")
    assert "expected an http" in sovdev_test_otlp_connection().logs.message


def test_an_error_inside_is_the_answer(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(connection_check, "_check_otlp", fail)
    assert "ZeroDivisionError" in sovdev_test_otlp_connection().logs.message


def test_a_report_shows_no_credential_and_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://bob:s3cret@host/v1?api_key=s3cret")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a,db_password=s3cret\x1b[2J\u202e\r\nb=c")
    monkeypatch.setenv("LOGWELL_ENDPOINT", "ftp://bob:s3cret@host\r\nforged")
    monkeypatch.setenv("LOGWELL_API_KEY", "s3cret")
    monkeypatch.setenv("LOG_TO_FILE", "https://bob:s3cret@host\x1b[2J\u2028")
    report = sovdev_validate_config()
    shown = [*report.settings.values(), *report.missing, *report.doubtful]
    assert report.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == (
        "https://bob:[REDACTED]@host/v1?api_key=[REDACTED]"
    )
    assert [line for line in shown if "s3cret" in line or not line.isprintable()] == []


def test_a_result_shows_no_credential_and_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> ConnectionResult:
        raise OSError("cannot resolve Bearer s3cret\r\n\x1b[2J\u202e https://bob:s3cret@host")

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1/v1?api_key=s3cret")
    monkeypatch.setenv("LOGWELL_ENDPOINT", "http://localhost:1/v1?api_key=s3cret")
    monkeypatch.setenv("LOGWELL_API_KEY", "s3cret")
    logwell = sovdev_test_connection("logwell")
    monkeypatch.setattr(connection_check, "_check_otlp", fails)
    report = sovdev_test_otlp_connection()
    for result in (logwell, report.logs):
        for text in (result.endpoint or "", result.message):
            assert "s3cret" not in text
            assert text.isprintable()
    assert report.logs.endpoint == "http://localhost:1/v1?api_key=[REDACTED]"
    assert "Bearer [REDACTED]" in report.logs.message
