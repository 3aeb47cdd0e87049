"""What a caller may rely on, function by function (specification/api-contract.md)."""

import inspect
import io
import logging
import logging.config
import pickle
import re
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import sovdev_logger
from sovdev_logger import (
    SOVDEV_LOGLEVELS,
    create_peer_services,
    sovdev_flush,
    sovdev_generate_trace_id,
    sovdev_initialize,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_shutdown,
    sovdev_start_span,
)
from support import service
from support.service import Started

Start = Callable[..., Started]


def test_the_positional_order_and_the_names_are_fixed() -> None:
    def names(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert names(sovdev_initialize) == [
        "service_name",
        "service_version",
        "peer_services",
        "redact",
    ]
    assert names(sovdev_log) == [
        "level",
        "function_name",
        "message",
        "peer_service",
        "input_json",
        "response_json",
        "exception",
        "trace_id",
    ]
    assert names(sovdev_log_job_status) == [
        "level",
        "function_name",
        "job_name",
        "status",
        "peer_service",
        "input_json",
        "trace_id",
    ]
    assert names(sovdev_log_job_progress) == [
        "level",
        "function_name",
        "item_id",
        "current",
        "total",
        "peer_service",
        "input_json",
        "trace_id",
    ]
    assert names(sovdev_start_span) == ["operation_name", "attributes", "peer_service"]
    assert names(sovdev_logger.sovdev_end_span) == ["span", "error"]
    assert names(sovdev_logger.sovdev_test_otlp_connection) == ["timeout"]
    for function in (sovdev_flush, sovdev_shutdown, sovdev_generate_trace_id):
        assert names(function) == []


def test_everything_public_is_exported_and_documented() -> None:
    public = {
        name
        for name, value in {**vars(sovdev_logger), **sovdev_logger._HOMES}.items()
        if not name.startswith("_") and not inspect.ismodule(value)
    } - {"TYPE_CHECKING"}
    assert {name for name in dir(sovdev_logger) if not name.startswith("_")} == public
    assert public == set(sovdev_logger.__all__)
    assert len(sovdev_logger.__all__) == len(public)
    for name in sovdev_logger.__all__:
        assert inspect.getdoc(getattr(sovdev_logger, name)), name
    assert re.fullmatch(r"\d+\.\d+\.\d+", sovdev_logger.__version__)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = sovdev_logger.nothing_like_it


@pytest.mark.parametrize("name", ["", "  ", "\n"])
def test_a_blank_service_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="service_name is blank"):
        sovdev_initialize(name)


def test_wrong_types_at_initialisation_are_refused() -> None:
    with pytest.raises(TypeError, match="service_name must be a str"):
        sovdev_initialize(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"PEER\.mappings"):
        sovdev_initialize("orders", peer_services=["BRREG"])  # type: ignore[arg-type]


def test_a_second_call_is_ignored_and_the_first_one_stays(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    started = start(name="first", version="1.2.3")
    sovdev_initialize("second", "9.9.9")
    sovdev_initialize("")
    sovdev_log("info", "main", "hello", None)
    assert (started.last["service_name"], started.last["service_version"]) == ("first", "1.2.3")
    assert capsys.readouterr() == ("", "")


def test_the_version_comes_from_the_environment_when_left_at_its_default(start: Start) -> None:
    started = start(SERVICE_VERSION="7.0.1")
    sovdev_log("info", "main", "hello", None)
    assert started.last["service_version"] == "7.0.1"


def test_names_that_are_not_valid_unicode_are_mended(start: Start) -> None:
    started = start(name="or\ud800ders", version="1\udfff", peers={"B\ud800": "S\ud800"})
    sovdev_log("info", "main", "hello", "B\ufffd")
    entry = started.last
    assert entry["service_name"] == "or\ufffdders"
    assert (entry["service_version"], entry["peer_service"]) == ("1\ufffd", "S\ufffd")


def test_peers_may_be_given_as_they_were_made(start: Start) -> None:
    started = start(peers=create_peer_services({"ALTINN": "SYS2"}))
    sovdev_log("info", "main", "hello", "ALTINN")
    assert started.last["peer_service"] == "SYS2"


def test_internal_cannot_be_given_another_id(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    started = start(peers={"INTERNAL": "SYS9", "EMPTY": " ", "NONE": None})
    sovdev_log("info", "main", "hello", "INTERNAL")
    assert started.last["peer_service"] == "orders"
    assert capsys.readouterr().err.count("is ignored") == 3
    sovdev_log("info", "main", "hello", "NONE")
    assert started.last["peer_service"] != "None"


@pytest.mark.parametrize(
    "call",
    [
        lambda: sovdev_log("info", "f", "m", None),
        lambda: sovdev_log_job_status("info", "f", "j", "s", None),
        lambda: sovdev_log_job_progress("info", "f", "i", 1, 2, None),
        lambda: sovdev_start_span("s"),
    ],
)
def test_logging_before_initialisation_names_what_to_call(call: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="sovdev_initialize"):
        call()


def test_flush_and_shutdown_before_initialisation_do_nothing() -> None:
    sovdev_flush()
    sovdev_shutdown()


def test_an_entry_has_the_fields_of_the_contract_in_order(start: Start) -> None:
    started = start()
    before = datetime.now(UTC)
    sovdev_log(SOVDEV_LOGLEVELS.WARN, "place", "Order placed", "BRREG", {"order": 17}, [1, None])
    entry = started.last
    assert list(entry) == [
        "timestamp",
        "level",
        "service_name",
        "service_version",
        "session_id",
        "peer_service",
        "function_name",
        "log_type",
        "message",
        "trace_id",
        "event_id",
        "input_json",
        "response_json",
    ]
    assert (entry["level"], entry["function_name"], entry["message"]) == (
        "warn",
        "place",
        "Order placed",
    )
    assert (entry["peer_service"], entry["log_type"]) == ("SYS1234567", "transaction")
    assert (entry["input_json"], entry["response_json"]) == ({"order": 17}, [1, None])
    assert uuid.UUID(entry["session_id"]).version == 4
    assert uuid.UUID(entry["event_id"]).version == 4
    assert before - timedelta(seconds=1) < datetime.fromisoformat(entry["timestamp"])
    assert entry["timestamp"].endswith("+00:00")
    assert re.fullmatch(r"[0-9a-f]{32}", entry["trace_id"])


def test_the_session_is_one_for_the_process_and_events_differ(start: Start) -> None:
    started = start()
    for _ in range(3):
        sovdev_log("info", "f", "m", None)
    assert len({entry["session_id"] for entry in started.entries}) == 1
    assert len({entry["event_id"] for entry in started.entries}) == 3


@pytest.mark.parametrize("level", list(SOVDEV_LOGLEVELS))
def test_every_level_reaches_the_file_and_errors_the_error_file(
    start: Start, level: SOVDEV_LOGLEVELS
) -> None:
    started = start()
    sovdev_log(level, "f", "m", None)
    assert started.last["level"] == level.value
    assert len(started.errors) == (level.value in {"error", "fatal"})


@pytest.mark.parametrize(
    ("given", "logged"),
    [("warning", "warn"), ("CRITICAL", "fatal"), (logging.ERROR, "error"), ("INFO", "info")],
)
def test_stdlib_spellings_of_a_level_are_understood(
    start: Start, given: Any, logged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    started = start()
    sovdev_log(given, "f", "m", None)
    assert started.last["level"] == logged
    assert capsys.readouterr().err == ""


def test_bad_arguments_keep_the_entry_and_are_said_once_each(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    started = start()
    for _ in range(2):
        sovdev_log("loud", "", "", "NOBODY")
    entry = started.last
    assert (entry["level"], entry["function_name"]) == ("info", "unknown")
    assert (entry["message"], entry["peer_service"]) == ("(no message)", "NOBODY")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert all(line.startswith("[sovdev-logger] WARNING: ") for line in said)
    (peer,) = (line for line in said if "unknown peer service" in line)
    assert "BRREG" in peer
    for number in range(1000):
        sovdev_log("louder", "f", "m", f"NOBODY {number}")
    (said_now,) = capsys.readouterr().err.splitlines()  # other peers: after a minute, with a count
    assert "louder" in said_now


def test_a_message_that_is_no_text_is_made_one(start: Start) -> None:
    started = start()
    sovdev_log("info", 17, {"a": 1}, None)  # type: ignore[arg-type]
    assert (started.last["function_name"], started.last["message"]) == ("17", "{'a': 1}")
    sovdev_log("info", None, None, None)  # type: ignore[arg-type]
    assert (started.last["function_name"], started.last["message"]) == ("unknown", "(no message)")


def test_a_call_below_the_level_says_nothing_of_its_peer(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start(SOVDEV_LOG_LEVEL="warn")
    sovdev_log("info", "f", "m", "NOBODY")
    sovdev_log_job_status("info", "f", "job", "Started", "NOBODY")
    assert capsys.readouterr().err == ""


def test_the_level_variable_is_the_lowest_that_the_outputs_get(start: Start) -> None:
    started = start(SOVDEV_LOG_LEVEL="warn")
    for level in SOVDEV_LOGLEVELS:
        sovdev_log(level, "f", level.value, None)
    assert [entry["message"] for entry in started.entries] == ["warn", "error", "fatal"]


def test_a_trace_id_is_kept_as_given(start: Start) -> None:
    started = start()
    for given in ("Order 17/ÆØÅ", "0AF7651916CD43DD8448EB211C80319C", "a:b@c=d&e"):
        sovdev_log("info", "f", "m", None, trace_id=given)
        assert started.last["trace_id"] == given
    sovdev_log("info", "f", "m", None, trace_id="order \ud800")
    assert started.last["trace_id"] == "order \ufffd"
    for blank in ("", "  "):
        sovdev_log("info", "f", "m", None, trace_id=blank)
        assert re.fullmatch(r"[0-9a-f]{32}", started.last["trace_id"])
    sovdev_log("info", "f", "m", None, trace_id=uuid.UUID(int=7))  # type: ignore[arg-type]
    assert started.last["trace_id"] == str(uuid.UUID(int=7))


def test_a_credential_in_a_trace_id_is_redacted(start: Start) -> None:
    started = start()
    sovdev_log("info", "f", "m", None, trace_id="Bearer abcdefghijklmnop123")
    sovdev_log("info", "f", "m", None, trace_id={"password": "abcdefghijklmnop123"})  # type: ignore[arg-type]
    ids = [entry["trace_id"] for entry in started.entries]
    assert ids == ["Bearer [REDACTED]", "{'password': '[REDACTED]'}"]


def test_generated_trace_ids_are_uuids() -> None:
    made = sovdev_generate_trace_id()
    assert uuid.UUID(made).version == 4
    assert str(uuid.UUID(made)) == made
    assert len(made) == 36


def test_an_exception_is_described(start: Start) -> None:
    started = start()
    try:
        try:
            raise ConnectionError("refused")
        except ConnectionError as cause:
            raise LookupError("HTTP 500: password=hunter2") from cause
    except LookupError as error:
        sovdev_log("error", "f", "failed", "BRREG", exception=error)
    entry = started.last
    assert entry["exception_type"] == "Error"
    assert entry["exception_message"].startswith("HTTP 500: password=[REDACTED]")
    trace = entry["exception_stacktrace"]
    assert len(trace) <= 350
    assert trace.startswith("LookupError: HTTP 500: password=[REDACTED]")
    assert "test_api.py" in trace
    assert "test_an_exception_is_described" in trace
    assert "ConnectionError: refused" in trace


@pytest.mark.parametrize("kind", ["true", "exc_info", "text"])
def test_other_forms_of_an_exception_are_understood(start: Start, kind: str) -> None:
    started = start()
    try:
        raise ValueError("odd")
    except ValueError:
        given: Any = {"true": True, "exc_info": sys.exc_info(), "text": "odd"}[kind]
        sovdev_log("error", "f", "failed", None, exception=given)
    assert started.last["exception_message"] == "odd"
    assert started.last["exception_type"] == "Error"


@pytest.mark.parametrize("nothing", [None, False])
def test_no_exception_leaves_no_fields(start: Start, nothing: Any) -> None:
    started = start()
    sovdev_log("error", "f", "failed", None, exception=nothing)
    assert not [name for name in started.last if name.startswith("exception")]


def test_job_status(start: Start) -> None:
    started = start()
    sovdev_log_job_status("info", "batch", "Nightly", "Started", "INTERNAL", {"count": 4})
    entry = started.last
    assert (entry["message"], entry["log_type"]) == ("Job Started: Nightly", "job.status")
    assert list(entry["input_json"].items()) == [
        ("job_name", "Nightly"),
        ("job_status", "Started"),
        ("count", 4),
    ]
    assert entry["response_json"] is None


def test_job_progress(start: Start) -> None:
    started = start()
    sovdev_log_job_progress("info", "batch", "971277882", 1, 8, "BRREG", {"x": 1}, "order-17")
    entry = started.last
    assert (entry["message"], entry["log_type"]) == ("Processing 971277882 (1/8)", "job.progress")
    assert list(entry["input_json"].items()) == [
        ("job_name", "BatchProcessing"),
        ("item_id", "971277882"),
        ("current_item", 1),
        ("total_items", 8),
        ("progress_percentage", 13),
        ("x", 1),
    ]
    assert entry["trace_id"] == "order-17"


@pytest.mark.parametrize(
    ("current", "total", "percentage"),
    [
        (1, 4, 25),
        (1, 8, 13),
        (3, 8, 38),
        (1, 200, 1),
        (5, 0, 0),
        (0, 0, 0),
        (8, 4, 200),
        (float("nan"), 4, 0),
        pytest.param(10**400, 3, 0, id="overflow"),
        ("a", "b", 0),
        (None, 4, 0),
    ],
)
def test_the_percentage_is_rounded_half_up_and_never_an_error(
    start: Start, current: Any, total: Any, percentage: int
) -> None:
    started = start()
    sovdev_log_job_progress("info", "batch", 7, current, total, None)
    assert started.last["input_json"]["progress_percentage"] == percentage


def test_the_callers_keys_win_and_other_inputs_are_kept(start: Start) -> None:
    started = start()
    sovdev_log_job_status("info", "f", "Nightly", "Started", None, {"job_name": "mine"})
    assert started.last["input_json"]["job_name"] == "mine"
    sovdev_log_job_status("info", "f", "Nightly", "Started", None, [1, 2])
    assert started.last["input_json"]["input"] == [1, 2]


def test_the_context_is_on_later_entries_merges_and_can_be_removed(start: Start) -> None:
    started = start()
    sovdev_set_context(client_name="shop", acting_user="kari")
    sovdev_set_context(service_principal="svc-1")
    sovdev_log("info", "f", "m", None)
    context = {k: started.last.get(k) for k in ("client_name", "service_principal", "acting_user")}
    assert context == {"client_name": "shop", "service_principal": "svc-1", "acting_user": "kari"}
    sovdev_set_context(client_name="", service_principal="", acting_user="")
    sovdev_log("info", "f", "m", None)
    assert "client_name" not in started.last


def test_the_context_belongs_to_its_thread(start: Start) -> None:
    started = start()
    sovdev_set_context(client_name="main")

    def work() -> None:
        sovdev_log("info", "f", "before", None)
        sovdev_set_context(client_name="worker")
        sovdev_log("info", "f", "after", None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    sovdev_log("info", "f", "main", None)
    assert [entry.get("client_name") for entry in started.entries] == [None, "worker", "main"]


def test_the_context_may_be_set_before_initialisation(start: Start) -> None:
    sovdev_set_context(client_name="early", acting_user="password=hunter2")
    started = start()
    sovdev_log("info", "f", "m", None)
    assert started.last["client_name"] == "early"
    assert "hunter2" not in started.last["acting_user"]


def test_plain_logging_goes_to_the_same_outputs_as_a_full_entry(start: Start) -> None:
    started = start(name="orders")
    logging.getLogger("orders").warning("disk at %d %%", 91, extra={"disk": "/var"})
    entry = started.last
    assert (entry["level"], entry["message"]) == ("warn", "disk at 91 %")
    assert entry["function_name"] == "test_plain_logging_goes_to_the_same_outputs_as_a_full_entry"
    assert (entry["peer_service"], entry["log_type"]) == ("orders", "transaction")
    assert (entry["input_json"], entry["response_json"]) == ({"disk": "/var"}, None)


def test_plain_logging_of_an_exception_and_of_child_loggers(start: Start) -> None:
    started = start(name="orders")
    try:
        raise ValueError("token=abc123secret")
    except ValueError:
        logging.getLogger("orders.db").exception("query failed")
    assert started.last["exception_message"] == "token=[REDACTED]"
    assert started.last["level"] == "error"
    assert started.errors[-1]["event_id"] == started.last["event_id"]


def test_plain_logging_with_arguments_that_do_not_fit_keeps_the_entry(start: Start) -> None:
    started = start(name="orders")
    logging.getLogger("orders").info("no place for it", 17)  # noqa: PLE1205
    assert started.last["message"] == "no place for it (17,)"


def test_one_stdlib_logger_has_one_handler_an_output(start: Start) -> None:
    start(name="orders", LOG_TO_CONSOLE="true")
    kinds = [type(handler).__name__ for handler in logging.getLogger("orders").handlers]
    assert kinds == ["JsonFileHandler", "JsonFileHandler", "ConsoleHandler"]


def test_handlers_of_others_get_stdlib_records(start: Start) -> None:
    started = start(name="orders")
    stream = io.StringIO()
    other = logging.StreamHandler(stream)
    other.setFormatter(logging.Formatter("%(name)s %(levelname)s %(funcName)s %(message)s"))
    logging.getLogger("orders").addHandler(other)
    try:
        sovdev_log("fatal", "place", "both", None, exception=ValueError("x"))
    finally:
        logging.getLogger("orders").removeHandler(other)
    assert stream.getvalue().splitlines()[:2] == ["orders CRITICAL place both", "ValueError: x"]
    assert started.last["message"] == "both"


def test_records_can_be_pickled_by_handlers_of_others(start: Start) -> None:
    started = start(name="orders")
    pickled: list[bytes] = []

    class Sends(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            pickled.append(pickle.dumps(record))

    other = Sends()
    logging.getLogger("orders").addHandler(other)
    try:
        sovdev_log("warn", "place", "both", "BRREG", {"a": [1]}, trace_id="order-17")
    finally:
        logging.getLogger("orders").removeHandler(other)
    record = pickle.loads(pickled[0])  # noqa: S301
    assert record.getMessage() == "both"
    for handler in logging.getLogger("orders").handlers:
        handler.handle(record)
    first, again = started.log_path.read_bytes().splitlines()
    assert first == again


def test_dictconfig_does_not_silence_the_service(start: Start) -> None:
    started = start(name="orders")
    sovdev_log("info", "f", "before", None)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    assert logging.getLogger("orders").disabled
    sovdev_log("info", "f", "after", None)
    assert [entry["message"] for entry in started.entries] == ["before", "after"]


def test_logging_disable_is_respected(start: Start) -> None:
    started = start()
    logging.disable(logging.INFO)
    try:
        sovdev_log("info", "f", "not this", None)
        sovdev_log("warn", "f", "this", None)
    finally:
        logging.disable(logging.NOTSET)
    assert [entry["message"] for entry in started.entries] == ["this"]


def test_after_shutdown_the_file_goes_on_and_a_second_call_does_nothing(start: Start) -> None:
    started = start()
    sovdev_shutdown()
    sovdev_shutdown()
    sovdev_log("info", "f", "late", None)
    assert started.last["message"] == "late"
    sovdev_flush()


def test_a_quiet_start_prints_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start()
    sovdev_log("info", "f", "m", None)
    sovdev_flush()
    assert capsys.readouterr() == ("", "")


def test_a_wrong_variable_is_said_once_at_the_start(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start(LOG_FILE_BACKUP_COUNT="many")
    said = capsys.readouterr().err
    assert said.startswith("[sovdev-logger] WARNING: LOG_FILE_BACKUP_COUNT='many'")
    assert said.count("\n") == 1


def test_a_call_returns_with_the_entry_in_the_file(start: Start, tmp_path: Path) -> None:
    started = start()
    for number in range(10):
        sovdev_log("info", "f", f"number {number}", None)
        assert started.log_path.read_bytes().count(b"\n") == number + 1


def test_the_logger_is_left_as_it_was(start: Start) -> None:
    logger = logging.getLogger("orders")
    logger.setLevel(logging.ERROR)
    start(name="orders")
    service.stop()
    assert (logger.level, logger.propagate, logger.handlers) == (logging.ERROR, True, [])
    logger.setLevel(logging.NOTSET)


def test_an_error_inside_the_logger_is_said_and_hurts_nobody(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = start()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(started.service.logger.builder, "_active_span", fail)
    sovdev_log("info", "f", "m", None)
    logging.getLogger("orders").info("plain")
    assert "ZeroDivisionError inside the logger" in capsys.readouterr().err


def test_a_level_that_is_set_while_the_service_runs_holds_at_once(
    start: Callable[..., Started],
) -> None:
    started = start(SOVDEV_LOG_LEVEL="info")
    logger = logging.getLogger("orders")
    for level, is_logged in [("info", False), ("debug", True), ("error", False), ("debug", True)]:
        logger.setLevel(level.upper())
        for _ in range(2):
            before = len(started.entries)
            sovdev_log("debug", "f", f"while it is {level}", None)
            assert len(started.entries) == before + is_logged
    logging.disable(logging.WARNING)
    try:
        sovdev_log("debug", "f", "disabled", None)
        sovdev_log("info", "f", "disabled", None)
    finally:
        logging.disable(logging.NOTSET)
    assert started.last["message"] == "while it is debug"
    sovdev_log("debug", "f", "enabled again", None)
    assert started.last["message"] == "enabled again"
