"""Requests of Flask applications."""

import logging
from collections.abc import Iterator
from typing import Any

import flask
import pytest

import sovdev_logger as log
from sovdev_logger import sovdev_request_id
from sovdev_logger.integrations import requests
from sovdev_logger.integrations.flask import init_app
from sovdev_logger.integrations.stdlib import sovdev_capture_logging
from sovdev_logger.testing import Captured, capture

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def logged() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


def make_app(name: str = "orders", **options: Any) -> flask.Flask:
    app = flask.Flask(name)
    init_app(app, **options)

    @app.get("/items/<int:item>")
    def read_item(item: int) -> dict[str, Any]:
        log.sovdev_log("info", "read_item", f"item {item}", None)
        return {"request_id": sovdev_request_id()}

    @app.get("/boom")
    def boom() -> str:
        raise ValueError("boom")

    @app.get("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            for number in range(3):
                log.sovdev_log("info", "parts", f"part {number}", None)
                yield "x"

        return flask.Response(parts())

    @app.post("/echo")
    def echo() -> str:
        return str(len(flask.request.get_data()))

    @app.get("/health")
    def health() -> str:
        return "ok"

    return app


def test_one_entry_a_request(logged: Captured) -> None:
    client = make_app().test_client()
    answer = client.get(
        "/items/17?q=1",
        headers={"X-Request-ID": "abc-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
    )
    assert answer.headers["X-Request-ID"] == "abc-1"
    assert answer.json == {"request_id": "abc-1"}
    answer.close()
    inside, entry = logged.entries
    assert (entry["message"], entry["level"]) == ("GET /items/<int:item> 200", "info")
    assert entry["function_name"] == "read_item"
    assert entry["input_json"] == {
        "method": "GET",
        "route": "/items/<int:item>",
        "path": "/items/17",
        "request_id": "abc-1",
    }
    assert inside["trace_id"] == entry["trace_id"] == TRACE
    assert inside["span_id"] == entry["span_id"]
    assert sovdev_request_id() is None


def test_levels_and_exceptions_once(logged: Captured) -> None:
    undo = sovdev_capture_logging()
    try:
        client = make_app().test_client()
        for path, status in (("/nowhere", 404), ("/items/x", 404), ("/boom", 500)):
            answer = client.get(path)
            assert answer.status_code == status
            answer.close()
        client.get("/health").close()
    finally:
        undo()
    assert [(entry["level"], entry["message"]) for entry in logged.entries] == [
        ("warn", "GET /nowhere 404"),
        ("warn", "GET /items/x 404"),
        ("error", "GET /boom 500"),
    ]
    assert len(logged.find(exception_message="boom")) == 1


def test_a_stream_ends_its_request(logged: Captured) -> None:
    client = make_app().test_client()
    with client.get("/stream") as answer:
        assert answer.data == b"xxx"
    assert logged.messages == ["part 0", "part 1", "part 2", "GET /stream 200"]
    assert len({entry["span_id"] for entry in logged.entries}) == 1
    logged.clear()
    answer = client.get("/stream", buffered=False)
    next(iter(answer.response))
    answer.close()
    assert logged.entries[-1]["response_json"]["client_disconnected"] is True


def test_whom_it_is_for_ends_with_the_request(logged: Captured) -> None:
    app = make_app(resolver=lambda request: {"client_name": request.headers.get("X-Client")})
    client = app.test_client()
    client.get("/items/1", headers={"X-Client": "shop"}).close()
    client.get("/items/1").close()
    assert [entry.get("client_name") for entry in logged.entries] == ["shop", "shop", None, None]


def test_several_applications_and_twice_the_same(logged: Captured) -> None:
    first, second = make_app("first"), make_app("second")
    init_app(first)
    first.test_client().get("/items/1").close()
    second.test_client().get("/items/2").close()
    assert logged.messages == [
        "item 1",
        "GET /items/<int:item> 200",
        "item 2",
        "GET /items/<int:item> 200",
    ]


def test_queries_and_bodies_only_when_asked_for(logged: Captured) -> None:
    make_app().test_client().post("/echo?q=1", data=b"body").close()
    assert not {"query", "body"} & logged.entries[-1]["input_json"].keys()
    client = make_app(log_query=True, log_bodies=True).test_client()
    answer = client.post("/echo?q=1&token=abcdef", json={"a": 1, "password": "hunter2"})
    assert int(answer.data) > 10
    answer.close()
    given = logged.entries[-1]["input_json"]
    assert given["query"] == "q=1&token=[REDACTED]"
    assert "hunter2" not in given["body"]


def test_plain_logging_inside_a_request_has_its_trace(logged: Captured) -> None:
    undo = sovdev_capture_logging()
    try:
        app = make_app()

        @app.get("/l")
        def plain_logging() -> str:
            logging.getLogger("x").warning("plain")
            return "ok"

        app.test_client().get("/l").close()
    finally:
        undo()
    plain, entry = logged.entries
    assert plain["trace_id"] == entry["trace_id"]


def test_what_somebody_left_open_does_not_reach_the_next_request(logged: Captured) -> None:
    client = make_app().test_client()
    log.sovdev_set_context(client_name="left over")
    left = log.sovdev_start_span("never ended")
    client.get("/items/1").close()
    client.get("/items/2").close()
    traces = [entry["trace_id"] for entry in logged.entries]
    assert left.trace_id not in traces
    assert traces[0] == traces[1] != traces[2] == traces[3]
    assert {entry.get("client_name") for entry in logged.entries} == {None}


def test_the_span_of_other_instrumentation_is_used(logged: Captured) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("theirs")
    with tracer.start_as_current_span("GET /items") as span:
        make_app().test_client().get("/items/1").close()
    theirs = f"{span.get_span_context().span_id:016x}"
    assert [entry["span_id"] for entry in logged.entries] == [theirs, theirs]


def test_code_that_imports_the_request_id_from_its_first_place_goes_on() -> None:
    assert requests.sovdev_request_id is sovdev_request_id
