"""OTLP against a real receiver that decodes every byte."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from sovdev_logger import (
    SOVDEV_LOGLEVELS,
    sovdev_end_span,
    sovdev_flush,
    sovdev_log,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_shutdown,
    sovdev_start_span,
    sovdev_status,
)
from sovdev_logger._delivery.protobuf import varint
from sovdev_logger._outputs.otlp.encoder import OtlpEncoder
from sovdev_logger._telemetry import counters
from support import service
from support.entries import NOW_NS, TRACE_ID, make_entry
from support.otlp_receiver import OVERFLOW, OtlpReceiver, attributes
from support.service import Started

Start = Callable[..., Started]


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.fixture
def exporting(start: Start, receiver: OtlpReceiver) -> Iterator[Callable[..., Started]]:
    def start_it(**options: Any) -> Started:
        return start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **options)

    yield start_it
    receiver.recover()
    service.stop()


def decode(entry: Any) -> LogRecord:
    return record_of(OtlpEncoder(), entry)


def record_of(encoder: OtlpEncoder, entry: Any) -> LogRecord:
    """Return the only log record of the scope that an encoded entry is an item of."""
    (record,) = ScopeLogs.FromString(encoder.encode(entry)).log_records
    return record


def test_a_record_has_every_field_at_its_place() -> None:
    entry = make_entry(
        level="error",
        span_id="00f067aa0ba902b7",
        client_name="shop",
        service_principal="svc",
        acting_user="kari",
        exception_type="Error",
        exception_message="m",
        exception_stacktrace="s",
    )
    record = decode(entry)
    assert record.time_unix_nano == record.observed_time_unix_nano == NOW_NS
    assert (record.severity_number, record.severity_text) == (17, "ERROR")
    assert record.body.string_value == "Order placed"
    assert record.trace_id.hex() == TRACE_ID
    assert record.span_id.hex() == "00f067aa0ba902b7"
    assert attributes(record.attributes) == {
        "timestamp": entry.fields["timestamp"],
        "service_name": "orders",
        "service_version": "1.0.0",
        "peer_service": "SYS1234567",
        "function_name": "place",
        "log_type": "transaction",
        "trace_id": TRACE_ID,
        "span_id": "00f067aa0ba902b7",
        "event_id": entry.fields["event_id"],
        "input_json": '{"order":17}',
        "response_json": "null",
        "client_name": "shop",
        "service_principal": "svc",
        "acting_user": "kari",
        "exception_type": "Error",
        "exception_message": "m",
        "exception_stacktrace": "s",
    }


@pytest.mark.parametrize(
    ("level", "number"),
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)],
)
def test_every_level_keeps_its_own_severity(level: str, number: int) -> None:
    record = decode(make_entry(level=level))
    assert (record.severity_number, record.severity_text) == (number, level.upper())


def test_a_trace_id_that_is_none_for_otel_is_an_attribute_only() -> None:
    entry = make_entry(trace_id="order-17")
    entry.trace_digits = None
    record = decode(entry)
    assert record.trace_id == b""
    assert attributes(record.attributes)["trace_id"] == "order-17"


@given(st.text(), st.text(), st.text(max_size=3000))
def test_any_text_is_encoded(message: str, function: str, user: str) -> None:
    entry = make_entry(message=message, function_name=function, acting_user=user)
    entry.input_text = message.encode("utf-8", "replace") * 100
    record = decode(entry)
    assert record.body.string_value == message.encode("utf-8", "replace").decode()
    sent = attributes(record.attributes)
    assert sent["acting_user"] == user.encode("utf-8", "replace").decode()
    assert sent["input_json"] == entry.input_text.decode()


def test_records_of_one_encoder_do_not_mix() -> None:
    encoder = OtlpEncoder()
    for number in range(20):
        entry = make_entry(
            level=("info", "error")[number % 2],
            function_name=f"f{number % 3}",
            peer_service=f"p{number % 5}",
            message="x" * number * 20,
        )
        record = record_of(encoder, entry)
        sent = attributes(record.attributes)
        assert sent["function_name"] == f"f{number % 3}"
        assert sent["peer_service"] == f"p{number % 5}"
        assert record.severity_number == (9, 17)[number % 2]


@given(st.integers(min_value=0, max_value=2**63))
def test_varints(number: int) -> None:
    message = LogRecord()
    message.ParseFromString(b"\x30" + varint(number % 2**32))
    encoded = varint(number)
    decoded = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(encoded))
    assert decoded == number


def test_resource_and_scope(exporting: Start, receiver: OtlpReceiver) -> None:
    started = exporting(
        name="orders",
        version="2.0.0",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=prod,team=web",
    )
    sovdev_log("info", "f", "hello", None)
    sovdev_flush()
    ((resource, scope, version, _),) = receiver.log_records()
    assert resource == {
        "service.name": "orders",
        "service.version": "2.0.0",
        "deployment.environment.name": "prod",
        "team": "web",
        "session_id": started.last["session_id"],
    }
    assert (scope, version) == ("orders", "1.0.0")


def test_the_three_signals_share_one_resource_but_for_the_instance(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting()
    with sovdev_start_span("work"):
        sovdev_log("info", "f", "hello", None)
    sovdev_flush()
    of_logs = receiver.log_records()[0][0]
    resources = [receiver.spans()[0][0]]
    metrics = receiver._items("/v1/metrics", "resource_metrics", "scope_metrics", "metrics")
    resources += [resource for resource, _, _, _ in metrics]
    instance = {"service.instance.id": of_logs["session_id"]}
    assert all(resource == {**of_logs, **instance} for resource in resources)
    scopes = {item[1:3] for item in [*receiver.log_records(), *receiver.spans(), *metrics]}
    assert scopes == {("orders", "1.0.0")}


def test_entries_and_spans_carry_the_same_native_ids(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting()
    with sovdev_start_span("outer") as outer, sovdev_start_span("inner") as inner:
        sovdev_log("info", "f", "hello", None)
    sovdev_flush()
    record = receiver.log_records()[0][3]
    spans = {span.name: span for _, _, _, span in receiver.spans()}
    assert record.trace_id == spans["inner"].trace_id == spans["outer"].trace_id
    assert record.span_id == spans["inner"].span_id
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert record.span_id.hex() == inner.span_id
    assert record.trace_id.hex() == outer.trace_id


def test_a_uuid_is_a_native_trace_id(exporting: Start, receiver: OtlpReceiver) -> None:
    exporting()
    sovdev_log("info", "f", "hello", None, trace_id="0AF76519-16CD-43DD-8448-EB211C80319C")
    sovdev_flush()
    record = receiver.log_records()[0][3]
    assert record.trace_id.hex() == TRACE_ID
    assert attributes(record.attributes)["trace_id"] == "0AF76519-16CD-43DD-8448-EB211C80319C"


def test_a_span_with_a_peer_is_a_client_span_with_redacted_attributes(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting()
    values = {
        "number": 17,
        "ok": True,
        "share": 0.5,
        "names": ["a", "b"],
        "mixed": [1, "a"],
        "nested": {"password": "hunter2"},
        "token": "hunter2",
        "none": None,
        "big": 2**70,
    }
    span = sovdev_start_span("ask", values, peer_service="BRREG")
    sovdev_end_span(span, ValueError("password=hunter2"))
    sovdev_flush()
    sent = receiver.spans()[0][3]
    assert sent.kind == 3
    shown = attributes(sent.attributes)
    assert shown.pop("names").values[1].string_value == "b"
    assert shown == {
        "number": 17,
        "ok": True,
        "share": 0.5,
        "mixed": '[1,"a"]',
        "nested": '{"password":"[REDACTED]"}',
        "token": "[REDACTED]",
        "big": str(2**70),
        "peer.service": "SYS1234567",
        "service.peer.name": "SYS1234567",
    }
    assert sent.status.code == 2
    event = attributes(sent.events[0].attributes)
    assert event["exception.type"] == "ValueError"
    assert set(event) == {
        "exception.type",
        "exception.message",
        "exception.stacktrace",
        "exception.escaped",
    }
    assert "hunter2" not in str(sent)


def test_a_span_without_a_peer_or_error(exporting: Start, receiver: OtlpReceiver) -> None:
    exporting()
    sovdev_end_span(sovdev_start_span("plain"))
    sovdev_end_span(sovdev_start_span("failed"), "a text")
    sovdev_flush()
    plain, failed = [span for _, _, _, span in receiver.spans()]
    assert (plain.kind, plain.status.code, len(plain.attributes)) == (1, 0, 0)
    assert (failed.status.code, failed.status.message, len(failed.events)) == (2, "a text", 0)
    assert plain.end_time_unix_nano >= plain.start_time_unix_nano


def test_metrics_count_every_call_also_below_the_level(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting(SOVDEV_LOG_LEVEL="error", version="2.0.0")
    for level in SOVDEV_LOGLEVELS:
        sovdev_log(level, "f", "m", "BRREG")
    sovdev_log("info", "f", "m", None, exception=ValueError("x"))
    sovdev_log_job_status("info", "f", "job", "Started", None)
    logging.getLogger("orders").error("plain")
    sovdev_flush()
    metrics = receiver.metrics()
    total: Counter[tuple[str, str]] = Counter()
    for labels, value in metrics["sovdev_operations_total"]:
        total[labels["log_level"], labels["log_type"]] += value
    assert total[("trace", "transaction")] == 1
    assert total[("info", "transaction")] == 2
    assert total[("info", "job.status")] == 1
    assert sum(total.values()) == 6 + 1 + 1 + 1
    labels = metrics["sovdev_operations_total"][0][0]
    assert set(labels) == {
        "service_name",
        "service_version",
        "peer_service",
        "log_level",
        "log_type",
    }
    assert (labels["service_name"], labels["service_version"]) == ("orders", "2.0.0")
    errors: Counter[tuple[str, str]] = Counter()
    for labels, value in metrics["sovdev_errors_total"]:
        errors[labels["log_level"], labels["exception_type"]] += value
    assert errors == {("info", "Error"): 1, ("error", "none"): 2, ("fatal", "none"): 1}


def test_counters_are_monotonic_sums_and_durations_a_histogram(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting()
    span = sovdev_start_span("work", peer_service="BRREG")
    sovdev_flush()
    active = receiver.metrics()["sovdev_operations_active"]
    assert active == [
        (
            {
                "service_name": "orders",
                "service_version": "1.0.0",
                "peer_service": "SYS1234567",
                "operation_name": "work",
            },
            1,
        )
    ]
    sovdev_end_span(span)
    sovdev_log("info", "f", "m", None)
    sovdev_flush()
    assert receiver.metrics()["sovdev_operations_active"][0][1] == 0
    ((_, histogram),) = receiver.metrics()["sovdev_operation_duration"]
    assert histogram.count == 1
    assert 0 < histogram.sum < 10_000
    metrics = receiver._items("/v1/metrics", "resource_metrics", "scope_metrics", "metrics")
    kinds = {m.name: m for _, _, _, m in metrics}
    assert kinds["sovdev_operations_total"].sum.is_monotonic
    assert kinds["sovdev_operations_total"].sum.aggregation_temporality == 2
    assert kinds["sovdev_operation_duration"].unit == "ms"
    assert not kinds["sovdev_operations_active"].sum.is_monotonic


def test_delta_temporality(exporting: Start, receiver: OtlpReceiver) -> None:
    exporting(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    for _ in range(2):
        sovdev_log("info", "f", "m", None)
        sovdev_flush()
    assert receiver.metrics()["sovdev_operations_total"][0][1] == 1


def test_label_values_are_bounded(
    exporting: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "MAX_LABEL_SETS", 3)
    exporting(LOG_TO_FILE="false")
    for number in range(10):
        sovdev_log("error", "f", "m", f"peer-{number}")
        sovdev_end_span(sovdev_start_span(f"operation-{number}"))
    sovdev_flush()
    metrics = receiver.metrics()
    operations = metrics["sovdev_operations_total"]
    assert sum(value for _, value in operations) == 10
    assert [value for labels, value in operations if labels == {OVERFLOW: True}] == [7]
    assert [v for labels, v in metrics["sovdev_errors_total"] if labels == {OVERFLOW: True}] == [7]
    durations = metrics["sovdev_operation_duration"]
    assert [h.count for labels, h in durations if labels == {OVERFLOW: True}] == [7]


def test_counts_from_many_threads_are_exact(exporting: Start, receiver: OtlpReceiver) -> None:
    exporting(LOG_TO_FILE="false")

    def work() -> None:
        for _ in range(500):
            sovdev_log("info", "f", "m", None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    sovdev_flush()
    assert [value for _, value in receiver.metrics()["sovdev_operations_total"]] == [4000]
    assert len(receiver.log_records()) == 4000


def test_many_durations_between_exports_are_all_kept(
    exporting: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "_MAX_PENDING_DURATIONS", 10)
    exporting()
    for _ in range(35):
        sovdev_end_span(sovdev_start_span("work"))
    sovdev_flush()
    assert receiver.metrics()["sovdev_operation_duration"][0][1].count == 35


def test_gzip_and_headers_by_the_standard_variables(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting(
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip", OTEL_EXPORTER_OTLP_HEADERS="X-Api-Key=k1,Host=inner"
    )
    with sovdev_start_span("work"):
        sovdev_log("info", "f", "hello", None)
    sovdev_flush()
    assert {request.path for request in receiver.requests} == {
        "/v1/logs",
        "/v1/traces",
        "/v1/metrics",
    }
    for request in receiver.requests:
        assert request.is_gzipped
        assert (request.headers["X-Api-Key"], request.headers["Host"]) == ("k1", "inner")


def test_only_the_signals_that_are_on_are_sent(exporting: Start, receiver: OtlpReceiver) -> None:
    exporting(
        OTEL_METRICS_EXPORTER="none",
        OTEL_TRACES_EXPORTER="none",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{receiver.endpoint}/v1/logs",
    )
    with sovdev_start_span("work") as span:
        sovdev_log("info", "f", "hello", None)
    sovdev_flush()
    assert {request.path for request in receiver.requests} == {"/v1/logs"}
    assert receiver.log_records()[0][3].span_id.hex() == span.span_id


def test_what_is_refused_for_a_while_arrives_later_in_order(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting()
    receiver.respond_with(503, times=2)
    receiver.respond_with(429, {"Retry-After": "0"}, times=1)
    for number in range(10):
        sovdev_log("info", "f", f"number {number}", None)
    sovdev_flush()
    sovdev_flush()
    assert receiver.messages() == [f"number {number}" for number in range(10)]


def test_being_turned_away_is_said_with_what_to_do(
    exporting: Start, receiver: OtlpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    exporting()
    receiver.respond_with(401)
    sovdev_log("info", "f", "m", None)
    sovdev_flush()
    said = capsys.readouterr().err
    assert "log entries could not be delivered (HTTP 401)" in said
    assert "OTEL_EXPORTER_OTLP_HEADERS" in said


@pytest.mark.parametrize("name", ["urllib3", "opentelemetry"])
def test_own_traffic_never_comes_back_as_entries(
    exporting: Start, receiver: OtlpReceiver, name: str
) -> None:
    started = exporting(name=name)
    sovdev_log("info", "f", "the only one", None)
    for _ in range(3):
        sovdev_flush()
    sovdev_shutdown()
    assert receiver.messages() == ["the only one"]
    assert [entry["message"] for entry in started.entries] == ["the only one"]


def test_the_applications_own_http_logging_does_come(exporting: Start) -> None:
    started = exporting(name="urllib3")
    logging.getLogger("urllib3.connectionpool").debug("somebody's request")
    assert started.last["message"] == "somebody's request"


def test_after_shutdown_entries_are_counted_as_dropped(
    exporting: Start, receiver: OtlpReceiver
) -> None:
    exporting()
    sovdev_log("info", "f", "before", None)
    sovdev_shutdown()
    sovdev_log("info", "f", "after", None)
    assert receiver.messages() == ["before"]
    assert sovdev_status().outputs["otlp_logs"].dropped_by_reason == {"closed": 1}


def test_the_context_travels(exporting: Start, receiver: OtlpReceiver) -> None:
    exporting()
    sovdev_set_context(acting_user="kari")
    sovdev_log("info", "f", "m", None)
    sovdev_flush()
    assert attributes(receiver.log_records()[0][3].attributes)["acting_user"] == "kari"


FOREIGN_TIMES = {
    -5.5: "1969-12-31T23:59:54.500000+00:00",
    -59_918_400_000.0: "0071-04-06T00:00:00.000000+00:00",
    9e9: "2255-03-14T16:00:00.000000+00:00",
    1.2e10: "2350-04-07T21:20:00.000000+00:00",
    2e10: "2603-10-11T11:33:20.000000+00:00",
}
NO_TIMES = [-1e30, 3e11, float("inf"), float("-inf"), float("nan"), None, "yesterday"]


@pytest.mark.parametrize("created", [*FOREIGN_TIMES, *NO_TIMES])
def test_an_entry_of_any_time_arrives(
    exporting: Start, receiver: OtlpReceiver, created: Any
) -> None:
    started = exporting()
    before = time.time_ns()
    record = logging.makeLogRecord({"name": "orders", "msg": "old", "levelno": logging.INFO})
    record.created = created
    logging.getLogger("orders").handle(record)
    sovdev_flush()
    after = time.time_ns()
    (sent,) = (log_record for _, _, _, log_record in receiver.log_records())
    text = attributes(sent.attributes)["timestamp"]
    assert text == started.last["timestamp"]
    if created not in FOREIGN_TIMES:  # it has none, so it is from now
        assert before <= sent.time_unix_nano == sent.observed_time_unix_nano <= after
        return
    assert text == FOREIGN_TIMES[created]
    if 0 <= created * 10**9 < 2**63:
        assert sent.time_unix_nano == sent.observed_time_unix_nano == created * 10**9
    else:
        assert sent.time_unix_nano == 0
        assert before <= sent.observed_time_unix_nano <= after


def test_a_clock_before_1970_leaves_both_times_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: -(10**18))
    record = decode(make_entry(time_ns=-(10**18)))
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (0, 0)
    assert attributes(record.attributes)["timestamp"] == "1938-04-24T22:13:20.000000+00:00"


def test_an_entry_that_cannot_be_encoded_is_said(
    exporting: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = exporting()

    def fail(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(OtlpEncoder, "encode", fail)
    sovdev_log("info", "f", "m", None)
    assert "could not be encoded for OTLP" in capsys.readouterr().err
    assert started.last["message"] == "m"
