"""The Logwell output against a server that is as strict as the real one."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger import (
    SOVDEV_LOGLEVELS,
    sovdev_flush,
    sovdev_log,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_shutdown,
    sovdev_start_span,
    sovdev_status,
    sovdev_test_connection,
    sovdev_validate_config,
)
from sovdev_logger._outputs.logwell import exporter as logwell_http
from support.certificates import Certificates
from support.logwell import KEY, FakeLogwell
from support.processes import program, run
from support.service import Started

Start = Callable[..., Started]


@pytest.fixture
def server() -> Iterator[FakeLogwell]:
    with FakeLogwell() as server:
        yield server


@pytest.fixture
def start_with(start: Start, server: FakeLogwell) -> Start:
    def start_it(**options: Any) -> Started:
        return start(LOGWELL_ENDPOINT=server.url, LOGWELL_API_KEY=KEY, **options)

    return start_it


def log(count: int = 1, message: str = "User {} logged in", **more: Any) -> None:
    for number in range(count):
        sovdev_log("info", "f", message.format(number), None, **more)


def status() -> Any:
    return sovdev_status().outputs["logwell"]


def test_a_record_has_every_field_at_its_place(start_with: Start, server: FakeLogwell) -> None:
    running = start_with()
    sovdev_set_context(acting_user="kari")
    with sovdev_start_span("work") as span:
        sovdev_log("warn", "look_up", "Slow", "BRREG", {"a": 1}, [True], ValueError("x"))
    sovdev_flush()
    (record,) = server.stored
    entry = running.last
    assert record["level"] == "warn"
    assert record["message"] == "Slow"
    assert record["timestamp"] == entry["timestamp"]
    assert record["service"] == "orders"
    assert "sourceFile" not in record
    metadata = record["metadata"]
    assert metadata.pop("sequence") == 1
    own = {"level", "message", "timestamp", "service_name"}
    assert metadata == {name: value for name, value in entry.items() if name not in own}
    assert metadata["span_id"] == span.span_id
    assert metadata["input_json"] == {"a": 1}
    assert metadata["acting_user"] == "kari"


@pytest.mark.parametrize("level", list(SOVDEV_LOGLEVELS))
def test_trace_is_sent_as_debug(start_with: Start, server: FakeLogwell, level: str) -> None:
    start_with()
    sovdev_log(level, "f", "x", None)
    sovdev_flush()
    (record,) = server.stored
    assert record["level"] == ("debug" if level == "trace" else level)
    assert record["metadata"].get("level") == ("trace" if level == "trace" else None)


def test_the_source_is_the_callers_line(start_with: Start, server: FakeLogwell) -> None:
    start_with(LOGWELL_CAPTURE_SOURCE_LOCATION="true")
    sovdev_log("info", "f", "x", None)  # the line that is meant
    logging.getLogger("orders").warning("plain")  # and this one
    sovdev_log_job_status("info", "f", "import", "Started", None)  # and this
    sovdev_flush()
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    for record, said in zip(server.stored, ("meant", "this one", "this"), strict=True):
        assert record["sourceFile"] == __file__
        assert lines[record["lineNumber"] - 1].endswith(said)


def test_the_order_within_a_millisecond_can_be_told(start_with: Start, server: FakeLogwell) -> None:
    start_with()
    log(500)
    sovdev_flush()
    numbers = [record["metadata"]["sequence"] for record in server.stored]
    assert numbers == list(range(1, 501))


def test_batches_are_within_the_servers_bounds(start_with: Start, server: FakeLogwell) -> None:
    start_with()
    log(1000)
    log(60, input_json={"text": "x" * 30_000})
    sovdev_flush()
    assert len(server.stored) == 1060
    assert all(request.status == 200 for request in server.seen)
    assert max(request.size for request in server.seen) <= logwell_http.MAX_REQUEST_BYTES
    assert max(request.records for request in server.seen) == 100
    assert server.most_in_flight == 1
    assert status().delivered == 1060


HOSTILE: list[Any] = [
    "\0",
    {"a\0b": "c\0d", "e": ["\0"]},
    "\ud800 lone",
    {"\udfff": 1},
    float("nan"),
    [float("inf"), -float("inf")],
    {"n": 2**60, "m": -(2**63), "small": 2**53},
    "back\\u0000slash",
    b"\0\xff",
]


def test_what_the_server_cannot_store_is_mended_before(
    start_with: Start, server: FakeLogwell
) -> None:
    start_with()
    for value in HOSTILE:
        sovdev_log("info", "f\0g", f"m {value!s}\0", None, value, value, ValueError("\0\ud800"))
    sovdev_log("info", "f", "   ", None)
    sovdev_flush()
    assert len(server.stored) == len(HOSTILE) + 1
    assert [request.status for request in server.seen] == [200]
    value = server.stored[6]["metadata"]["input_json"]
    assert value == {"n": str(2**60), "m": str(-(2**63)), "small": 2**53}
    assert server.stored[1]["metadata"]["input_json"] == {"a␀b": "c␀d", "e": ["␀"]}
    assert server.stored[7]["metadata"]["input_json"] == "back\\u0000slash"
    assert server.messages[-1] == "(no message)"


def test_a_record_that_is_too_large_is_cut(start_with: Start, server: FakeLogwell) -> None:
    start_with(SOVDEV_MAX_FIELD_BYTES="2000000")
    sovdev_log("info", "f", "m" * 600_000, None, {"text": "x" * 900_000})
    sovdev_flush()
    (record,) = server.stored
    assert len(record["message"]) == 32_768
    assert record["metadata"]["too_large"] is True
    assert record["metadata"]["event_id"]


def test_rejected_records_are_counted(
    start_with: Start, server: FakeLogwell, capsys: pytest.CaptureFixture[str]
) -> None:
    start_with()
    body = b'{"accepted": 2, "rejected": 1, "errors": ["index 1: level"]}'
    server.answer(200, body, times=1)
    log(3)
    sovdev_flush()
    ledger = status()
    assert (ledger.delivered, ledger.dropped) == (2, 1)
    assert "the server rejected 1 logwell records (index 1: level)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "delivered"),
    [
        (b'{"accepted": 1000000000000000000000, "rejected": 0}', 3),
        (b'{"accepted": 3, "rejected": -5}', 3),
        (b'{"accepted": 3, "rejected": 1000000000000000000000}', 0),
        (b'{"accepted": -3}', 0),
        (b'{"accepted": 1}', 1),
        (b'{"accepted": 3, "rejected": 2}', 1),
    ],
)
def test_whatever_the_server_counts_the_ledger_adds_up(
    start_with: Start, server: FakeLogwell, body: bytes, delivered: int
) -> None:
    start_with()
    server.answer(200, body, times=1)
    log(3)
    sovdev_flush()
    ledger = status()
    assert (ledger.logged, ledger.delivered, ledger.dropped) == (3, delivered, 3 - delivered)


@pytest.mark.parametrize("number", [b"true", b"NaN", b"3e0"])
def test_what_is_no_count_is_no_answer_of_logwell(
    start_with: Start, server: FakeLogwell, number: bytes
) -> None:
    start_with(SOVDEV_EXIT_TIMEOUT_SECONDS="1")
    server.answer(200, b'{"accepted": ' + number + b"}", times=1)
    log(3)
    sovdev_flush()
    assert (status().delivered, status().dropped) == (0, 0)


def test_an_unknown_key_is_said_once_and_nothing_more_is_sent(
    start_with: Start, server: FakeLogwell, capsys: pytest.CaptureFixture[str]
) -> None:
    start_with(SOVDEV_EXIT_TIMEOUT_SECONDS="1")
    server.answer(401, b'{"error": "unauthorized", "message": "Invalid API key"}')
    log(10)
    sovdev_flush()
    log(10)
    sovdev_flush()
    assert len(server.seen) == 1
    said = capsys.readouterr().err
    assert said.count("HTTP 401 unauthorized") >= 1
    assert "Check LOGWELL_ENDPOINT and LOGWELL_API_KEY" in said
    assert KEY not in said
    assert status().dropped == 0
    server.recover()


@pytest.mark.parametrize("status_code", [403, 404, 405, 415, 308, 204])
def test_what_is_about_us_is_asked_again_rarely(
    start_with: Start, server: FakeLogwell, status_code: int
) -> None:
    start_with()
    server.answer(status_code, b"")
    log(3)
    sovdev_flush()
    log(3)
    sovdev_flush()
    assert len(server.seen) == 1
    assert status().dropped == 0
    server.recover()


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[]", b'{"ok": true}', b""])
def test_a_page_of_a_proxy_is_no_delivery(
    start_with: Start, server: FakeLogwell, body: bytes
) -> None:
    start_with()
    server.answer(200, body)
    log(3)
    sovdev_flush()
    assert status().delivered == 0
    assert status().last_error == logwell_http.NOT_LOGWELL
    server.recover()


@pytest.mark.parametrize("status_code", [408, 500, 502, 503, 504])
def test_an_outage_costs_nothing(start_with: Start, server: FakeLogwell, status_code: int) -> None:
    start_with()
    server.answer(status_code, b"<html>", times=2)
    log(100)
    sovdev_flush()
    server.wait_for(lambda s: len(s.stored) == 100)
    assert server.messages == [f"User {n} logged in" for n in range(100)]


def test_a_database_that_is_away_for_long_costs_nothing(
    start_with: Start, server: FakeLogwell
) -> None:
    start_with(LOGWELL_MAX_RETRIES="0")
    server.is_down = True
    log(30)
    server.wait_for(lambda s: len(s.seen) >= 3)
    assert server.health_checks >= 2
    server.is_down = False
    server.wait_for(lambda s: len(s.stored) == 30)
    sovdev_flush()
    assert status().dropped == 0


def test_one_record_that_cannot_be_stored_costs_one_record(
    start_with: Start, server: FakeLogwell, tmp_path: Path
) -> None:
    start_with(LOGWELL_MAX_RETRIES="0")
    server.is_poison = lambda record: record["message"] == "User 63 logged in"
    log(100)
    sovdev_flush()
    server.wait_for(lambda s: len(s.stored) == 99)
    sovdev_flush()
    ledger = status()
    assert (ledger.delivered, ledger.dropped) == (99, 1)
    (aside,) = (tmp_path / "spool" / "rejected").iterdir()
    (record,) = json.loads(aside.read_bytes())
    assert record["message"] == "User 63 logged in"


@pytest.mark.parametrize("status_code", [400, 413, 422])
def test_a_record_that_is_refused_is_set_aside(
    start_with: Start, server: FakeLogwell, tmp_path: Path, status_code: int
) -> None:
    start_with()
    server.answer(status_code, b'{"error": "validation_error"}', times=1)
    log()
    sovdev_flush()
    assert status().dropped_by_reason == {f"refused: HTTP {status_code} validation_error": 1}
    assert len(list((tmp_path / "spool" / "rejected").iterdir())) == 1


def test_a_server_with_lower_bounds_gets_smaller_batches(
    start_with: Start, server: FakeLogwell
) -> None:
    start_with()
    server.max_records = 30
    log(100)
    sovdev_flush()
    assert len(server.stored) == 100
    assert {request.status for request in server.seen} == {200, 400}
    server.max_body_bytes = 20_000
    log(100)
    sovdev_flush()
    assert len(server.stored) == 200
    assert 413 in {request.status for request in server.seen}
    assert status().dropped == 0


def test_a_server_that_closes_while_it_is_written_to_is_understood(
    start_with: Start, server: FakeLogwell
) -> None:
    start_with()
    server.max_body_bytes = 100_000
    log(8, input_json={"text": "x" * 50_000})
    sovdev_flush()
    assert len(server.stored) == 8
    assert all(request.size <= 100_000 for request in server.seen if request.status == 200)


def test_a_rate_limit_is_waited_for(server: FakeLogwell, start_with: Start) -> None:
    start_with()
    server.answer(429, b'{"error": "rate_limited"}', headers={"Retry-After": "2"}, times=1)
    log(10)
    server.wait_for(lambda s: len(s.stored) == 10)
    first, second = server.seen[:2]
    assert (first.status, second.status) == (429, 200)
    assert 0.9 <= second.at - first.at < 4


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(60.0, 5.0, 10.0), (4.0, 2.0, 4.0), (None, 5.0, 10.0)]
)
def test_the_wait_has_a_cap_and_a_jitter(asked: float | None, least: float, most: float) -> None:
    from sovdev_logger._settings.logwell import LogwellSettings

    def choose(bound: float, _low: float, _high: float) -> float:
        return bound

    settings = LogwellSettings("http://localhost", KEY)
    pauses = []
    for bound in (0.5, 1.0):
        exporter = logwell_http.LogwellExporter(settings, partial(choose, bound))
        pauses.append(exporter._rate_limit_pause(asked))
    assert pauses == [least, most]


@pytest.mark.parametrize(("max_idle_seconds", "connections"), [(60.0, 1), (-1.0, 2)])
def test_an_idle_connection_is_not_used_again(
    start_with: Start,
    server: FakeLogwell,
    monkeypatch: pytest.MonkeyPatch,
    max_idle_seconds: float,
    connections: int,
) -> None:
    monkeypatch.setattr(logwell_http, "MAX_IDLE_SECONDS", max_idle_seconds)
    start_with()
    for _ in range(2):
        log()
        sovdev_flush()
    assert server.connections_accepted == connections
    assert len(server.stored) == 2


def test_what_is_left_is_sent_at_the_end(start_with: Start, server: FakeLogwell) -> None:
    start_with(LOGWELL_FLUSH_INTERVAL="60")
    log(50)
    sovdev_shutdown()
    assert len(server.stored) == 50


def test_over_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    body = """
    log.sovdev_log("info", "f", "x", None)
    log.sovdev_flush()
    print(log.sovdev_status().outputs["logwell"].last_error)
    """
    with FakeLogwell(tls=certificates.for_http()) as server:
        variables = {"LOGWELL_ENDPOINT": server.url, "LOGWELL_API_KEY": KEY}
        out, _ = run(tmp_path, program(body), variables, SOVDEV_SPOOL="off")
        assert server.stored == []
        assert "certificate" in out.lower(), "it is not trusted"
        run(tmp_path, program(body), variables, SSL_CERT_FILE=str(certificates.ca))
        assert server.messages == ["x"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LOGWELL_ENDPOINT": "http://localhost"}, "LOGWELL_API_KEY is not set"),
        ({"LOGWELL_API_KEY": KEY}, "LOGWELL_ENDPOINT is not set"),
        ({"LOGWELL_API_KEY": KEY, "LOGWELL_ENDPOINT": "logwell:80"}, "endpoint of Logwell is not"),
        ({"LOGWELL_API_KEY": KEY, "LOGWELL_ENDPOINT": "http://192.0.2.1"}, "without TLS"),
        (
            {"LOGWELL_API_KEY": KEY[:-1], "LOGWELL_ENDPOINT": "http://localhost"},
            "expected lw_ and 32 characters",
        ),
        (
            {"LOGWELL_API_KEY": "xx_secret", "LOGWELL_ENDPOINT": "http://localhost"},
            "expected lw_ and 32 characters",
        ),
        *(
            ({"LOGWELL_API_KEY": KEY, "LOGWELL_ENDPOINT": "http://localhost", name: value}, said)
            for name, value, said in (
                ("LOGWELL_BATCH_SIZE", "101", "expected a whole number, 1 to 100"),
                ("LOGWELL_BATCH_SIZE", "0", "expected a whole number, 1 to 100"),
                ("LOGWELL_FLUSH_INTERVAL", "61", "flush interval 61 is not usable"),
                ("LOGWELL_QUEUE_SIZE", "-1", "expected a whole number, 1 to 100000"),
                ("LOGWELL_MAX_RETRIES", "x", "expected a whole number, 0 to 100"),
            )
        ),
    ],
)
def test_what_cannot_be_used_is_said_and_the_others_work(
    start: Start, variables: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start(**variables)
    log()
    assert len(running.entries) == 1
    assert "logwell" not in sovdev_status().outputs
    warning = capsys.readouterr().err
    assert said in warning
    assert warning.count("WARNING") == 1
    assert "secret" not in warning
    assert KEY[:-1] not in warning
    assert any(said in sentence for sentence in sovdev_validate_config().doubtful)


def test_a_server_that_is_not_there(start: Start) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    start(LOGWELL_ENDPOINT=url, LOGWELL_API_KEY=KEY, SOVDEV_EXIT_TIMEOUT_SECONDS="1")
    log(10)
    sovdev_flush()
    ledger = status()
    assert (ledger.delivered, ledger.dropped, ledger.queued + ledger.spooled) == (0, 0, 10)


def test_the_connection_can_be_tested(server: FakeLogwell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sovdev_test_connection("logwell").message == "off: LOGWELL_ENDPOINT is not set."
    monkeypatch.setenv("LOGWELL_ENDPOINT", server.url)
    monkeypatch.setenv("LOGWELL_API_KEY", KEY)
    result = sovdev_test_connection("logwell")
    assert (result.reached, result.accepted, result.endpoint) == (True, True, server.url)
    server.answer(404, b"<html>", times=1)
    result = sovdev_test_connection("logwell")
    assert (result.reached, result.accepted, result.status) == (True, False, 404)
    monkeypatch.setenv("LOGWELL_API_KEY", KEY[:-1] + "x")
    result = sovdev_test_connection("logwell")
    assert (result.reached, result.accepted) == (True, False)
    assert "check LOGWELL_API_KEY" in result.message
    monkeypatch.setenv("LOGWELL_ENDPOINT", "http://127.0.0.1:9")
    result = sovdev_test_connection("logwell")
    assert (result.reached, result.accepted, result.status) == (False, False, None)
    monkeypatch.setenv("LOGWELL_API_KEY", "short")
    assert "expected lw_ and 32" in sovdev_test_connection("logwell").message
    with pytest.raises(ValueError, match="known are logwell"):
        sovdev_test_connection("other")
    assert server.stored == []


def test_it_goes_together_with_sampling(start_with: Start, server: FakeLogwell) -> None:
    start_with(SOVDEV_SAMPLING="local", SOVDEV_SAMPLING_FALLBACK_RATE="0")
    log(10)
    sovdev_flush()
    assert len(server.stored) == 1
    assert server.stored[0]["metadata"]["sample_rate"] == 1.0
    assert status().sampled_out == 9
