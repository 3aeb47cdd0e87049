"""Requests of ASGI applications, driven by the frameworks' own test clients."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.websockets import WebSocketDisconnect

import sovdev_logger as log
from sovdev_logger import sovdev_request_id
from sovdev_logger.integrations.asgi import AsgiRequest, SovdevMiddleware, configure_fastapi
from sovdev_logger.integrations.stdlib import sovdev_capture_logging
from sovdev_logger.testing import Captured, capture
from support.otlp_receiver import OtlpReceiver, attributes
from support.processes import run

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


@pytest.fixture
def logged() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


def make_app(**options: Any) -> FastAPI:
    app = FastAPI(title="orders")
    configure_fastapi(app, **options)

    @app.get("/items/{item}")
    async def read_item(item: int) -> dict[str, Any]:
        log.sovdev_log("info", "read_item", f"item {item}", None)
        return {"item": item, "request_id": sovdev_request_id()}

    @app.get("/sync/{item}")
    def read_sync(item: int) -> int:
        log.sovdev_log("info", "read_sync", "inside", None)
        return item

    @app.get("/boom")
    async def boom() -> None:
        raise ValueError("boom")

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    @app.get("/unavailable")
    async def unavailable() -> None:
        raise HTTPException(503)

    @app.get("/health")
    async def health(bad: bool = False) -> str:
        if bad:
            raise HTTPException(500)
        return "ok"

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(3):
                log.sovdev_log("info", "parts", f"part {number}", None)
                yield b"x"

        return StreamingResponse(parts())

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"x"
            raise ValueError("in the middle")

        return StreamingResponse(parts())

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(lambda: log.sovdev_log("info", "task", "later", None))
        return "now"

    @app.websocket("/ws/{room}")
    async def chat(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        log.sovdev_log("info", "chat", await websocket.receive_text(), None)
        await websocket.close()

    return app


def test_one_entry_a_request(logged: Captured) -> None:
    with TestClient(make_app()) as client:
        answer = client.get("/items/17?password=x", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.json() == {"item": 17, "request_id": "abc-1"}
    inside, entry = logged.entries
    assert (entry["message"], entry["level"]) == ("GET /items/{item} 200", "info")
    assert entry["function_name"] == "read_item"
    assert entry["input_json"] == {
        "method": "GET",
        "route": "/items/{item}",
        "path": "/items/17",
        "request_id": "abc-1",
    }
    assert entry["response_json"]["status"] == 200
    assert 0 < entry["response_json"]["duration_ms"] < 10_000
    assert inside["trace_id"] == entry["trace_id"]
    assert inside["span_id"] == entry["span_id"]
    assert sovdev_request_id() is None


@pytest.mark.parametrize(
    ("path", "level", "status"),
    [
        ("/items/1", "info", 200),
        ("/items/x", "warn", 422),
        ("/nowhere", "warn", 404),
        ("/teapot", "warn", 418),
        ("/unavailable", "error", 503),
    ],
)
def test_the_level_tells_the_status(logged: Captured, path: str, level: str, status: int) -> None:
    client = TestClient(make_app())
    assert client.get(path).status_code == status
    assert logged.entries[-1]["level"] == level
    assert logged.entries[-1]["response_json"]["status"] == status


def test_an_exception_is_told_once(logged: Captured) -> None:
    undo = sovdev_capture_logging()
    try:
        with pytest.raises(ValueError, match="boom") as caught:
            TestClient(make_app()).get("/boom")
        # As servers do, which get the exception, too.
        logging.getLogger("uvicorn.error").error("in ASGI application", exc_info=caught.value)
    finally:
        undo()
    (entry,) = [one for one in logged.entries if one["level"] == "error"]
    assert entry["message"] == "GET /boom 500"
    assert entry["exception_message"] == "boom"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "a\u00e9", "<script>", "-x"])
def test_an_invalid_request_id_is_replaced(logged: Captured, bad: str) -> None:
    client = TestClient(make_app())
    headers = [(b"x-request-id", bad.encode())] if bad else []
    answer = client.get("/items/1", headers=headers)
    found = answer.headers["x-request-id"]
    assert found != bad
    assert logged.entries[-1]["input_json"]["request_id"] == found


def test_the_callers_trace_is_continued(logged: Captured) -> None:
    client = TestClient(make_app())
    client.get("/items/1", headers=TRACEPARENT)
    client.get("/items/1", headers={"traceparent": "rubbish"})
    first, second = logged.find(function_name="read_item", log_type="transaction")[1::2]
    assert first["trace_id"] == TRACE
    assert first["span_id"] != "b7ad6b7169203331"
    assert second["trace_id"] != TRACE


@pytest.mark.parametrize("is_async", [True, False])
def test_whom_it_is_for_ends_with_the_request(logged: Captured, is_async: bool) -> None:
    def resolve(request: AsgiRequest) -> dict[str, str] | None:
        name = request.headers.get("x-client")
        return {"client_name": name} if name else None

    async def resolve_async(request: AsgiRequest) -> dict[str, str] | None:
        await asyncio.sleep(0)
        return resolve(request)

    client = TestClient(make_app(resolver=resolve_async if is_async else resolve))
    for path in ("/items/1", "/sync/1"):
        client.get(path, headers={"X-Client": "shop"})
        client.get(path)
    named = [entry.get("client_name") for entry in logged.entries]
    assert named == ["shop", "shop", None, None] * 2


@pytest.mark.parametrize("bad", [lambda request: 1 / 0, lambda request: 5])
def test_a_resolver_that_fails_hurts_nobody(
    logged: Captured, bad: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(make_app(resolver=bad))
    assert client.get("/items/1").status_code == 200
    assert logged.messages[-1] == "GET /items/{item} 200"
    assert "resolver" in capsys.readouterr().err


def test_quiet_paths(logged: Captured) -> None:
    client = TestClient(make_app())
    client.get("/health")
    assert logged.entries == []
    client.get("/health?bad=1")
    assert logged.messages == ["GET /health 500"]
    logged.clear()
    TestClient(make_app(quiet_paths=["/items/1"])).get("/items/1")
    assert logged.messages == ["item 1"]


def test_queries_and_bodies_only_when_asked_for(logged: Captured) -> None:
    TestClient(make_app()).post("/echo?q=1", content=b"secret body")
    assert "query" not in logged.entries[-1]["input_json"]
    assert "body" not in logged.entries[-1]["input_json"]
    client = TestClient(make_app(log_query=True, log_bodies=True))
    client.post("/echo?q=1&token=abcdef", json={"a": 1, "password": "hunter2"})
    given = logged.entries[-1]["input_json"]
    assert given["query"] == "q=1&token=[REDACTED]"
    assert '"a":1' in given["body"]
    assert "hunter2" not in given["body"]
    client.post("/echo", content=b"y" * 100_000)
    assert len(logged.entries[-1]["input_json"]["body"]) == 16 * 1024


def test_streams_and_background_tasks_belong_to_the_request(logged: Captured) -> None:
    client = TestClient(make_app(), raise_server_exceptions=False)
    assert client.get("/stream").content == b"xxx"
    assert client.get("/background").json() == "now"
    assert logged.messages == [
        "part 0",
        "part 1",
        "part 2",
        "GET /stream 200",
        "later",
        "GET /background 200",
    ]
    assert len({entry["trace_id"] for entry in logged.entries}) == 2
    logged.clear()
    client.get("/broken-stream")
    (entry,) = logged.entries
    assert (entry["level"], entry["exception_message"]) == ("error", "in the middle")


def test_a_websocket_is_one_entry(logged: Captured) -> None:
    client = TestClient(make_app())
    with client.websocket_connect("/ws/kitchen") as websocket:
        websocket.send_text("hello")
        with pytest.raises(WebSocketDisconnect):
            websocket.receive_text()
    assert logged.messages == ["hello", "WEBSOCKET /ws/{room} 101"]
    assert logged.entries[0]["span_id"] == logged.entries[1]["span_id"]


def test_a_client_that_leaves(logged: Captured) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    log.sovdev_initialize("orders")
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    asyncio.run(SovdevMiddleware(application)(scope, receive, send))
    assert logged.entries[-1]["response_json"]["client_disconnected"] is True


def test_a_cancelled_request_is_told(logged: Captured) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
        task = asyncio.create_task(SovdevMiddleware(application)(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert logged.messages == ["GET /x 499"]
    assert logged.entries[0]["level"] == "warn"


def test_starlette_with_mounted_routes(logged: Captured) -> None:
    async def show(request: Any) -> PlainTextResponse:
        return PlainTextResponse("x")

    app = Starlette(routes=[Mount("/api", routes=[Route("/things/{thing}", show)])])
    configure_fastapi(app, "orders")
    TestClient(app).get("/api/things/5")
    assert logged.messages == ["GET /api/things/{thing} 200"]
    with pytest.raises(ValueError, match="service_name is missing"):
        configure_fastapi(Starlette())


def test_without_a_service_requests_pass() -> None:
    from sovdev_logger._service.instance import instance

    assert instance.service is None
    app = FastAPI()
    app.add_middleware(SovdevMiddleware)
    assert TestClient(app).get("/nowhere").status_code == 404


def test_wrong_arguments_are_told_at_the_start() -> None:
    with pytest.raises(TypeError, match="resolver must be a function"):
        SovdevMiddleware(FastAPI(), resolver=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="quiet_paths must be a list"):
        SovdevMiddleware(FastAPI(), quiet_paths="/health")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quart_and_litestar(logged: Captured) -> None:
    import litestar
    import quart
    from litestar.testing import TestClient as LitestarClient

    application = quart.Quart("orders")

    @application.get("/things/<int:thing>")
    async def show(thing: int) -> str:
        return sovdev_request_id() or ""

    application.asgi_app = SovdevMiddleware(application.asgi_app)  # type: ignore[method-assign, assignment, arg-type]
    answer = asyncio.run(_get(application))
    assert answer == "abc-1"

    @litestar.get("/things/{thing:int}")
    async def read_thing(thing: int) -> int:
        return thing

    with LitestarClient(
        litestar.Litestar([read_thing], middleware=[_litestar], logging_config=None)
    ) as client:
        assert client.get("/things/5").status_code == 200
    assert logged.messages == ["GET /things/5 200", "GET /things/{thing} 200"]


async def _get(application: Any) -> str:
    answer = await application.test_client().get("/things/5", headers={"X-Request-ID": "abc-1"})
    return str((await answer.get_data()).decode())


def _litestar(app: Any) -> Any:
    return SovdevMiddleware(app)


def test_the_span_has_the_standard_attributes(tmp_path: Path) -> None:
    body = """
    from fastapi import FastAPI, HTTPException
    from fastapi.testclient import TestClient
    from sovdev_logger.integrations.asgi import configure_fastapi
    app = FastAPI(title="orders")
    configure_fastapi(app)
    @app.get("/items/{item}")
    async def read_item(item: int):
        if item > 100:
            raise ValueError("boom")
        if item > 50:
            raise HTTPException(503)
        return item
    client = TestClient(app, raise_server_exceptions=False)
    for item in (17, 55, 101):
        client.get(f"/items/{item}?q=1")
    client.request("BREW", "/items/17")
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        good, unavailable, failed, odd = [span for _, _, _, span in receiver.spans()]
    assert good.name == "GET /items/{item}"
    assert attributes(good.attributes) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/17",
        "http.route": "/items/{item}",
        "http.response.status_code": 200,
        "server.address": "testserver",
        "server.port": 80,
        "client.address": "testclient",
        "user_agent.original": "testclient",
        "network.protocol.version": "1.1",
    }
    assert (good.status.code, unavailable.status.code, failed.status.code) == (0, 2, 2)
    assert attributes(unavailable.attributes)["error.type"] == "503"
    assert attributes(failed.attributes)["error.type"] == "ValueError"
    assert failed.events[0].name == "exception"
    assert attributes(odd.attributes)["http.request.method_original"] == "BREW"
