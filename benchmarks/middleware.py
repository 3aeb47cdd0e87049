"""What a request costs: nothing, ours, and OpenTelemetry's instrumentation, turn by turn.

pip install "sovdev-logger[fastapi]" opentelemetry-instrumentation-fastapi
python benchmarks/middleware.py
"""

import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

ROUNDS = 15
REQUESTS = 400

os.environ.update(LOG_TO_CONSOLE="false", LOG_FILE_PATH=f"{tempfile.mkdtemp()}/dev.log")

from fastapi import FastAPI  # noqa: E402

import sovdev_logger as log  # noqa: E402
from sovdev_logger.integrations.asgi import SovdevMiddleware  # noqa: E402

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/items/17",
    "raw_path": b"/items/17",
    "query_string": b"q=1",
    "root_path": "",
    "headers": [
        (b"host", b"shop.example"),
        (b"user-agent", b"bench"),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ],
    "server": ("127.0.0.1", 8000),
    "client": ("127.0.0.1", 5000),
}
Application = Callable[[Any, Any, Any], Awaitable[None]]


def make_app() -> FastAPI:
    """Return an application with one route."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def read_item(item: int) -> dict[str, int]:
        return {"item": item}

    return app


def with_ours() -> Application:
    """Return it with our middleware: span, context and an entry in a file."""
    app = make_app()
    app.add_middleware(SovdevMiddleware)
    return app


def with_theirs() -> Application | None:
    """Return it with OpenTelemetry's instrumentation and a line of an access log in a file."""
    try:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
    except ImportError:
        return None

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:  # noqa: ARG002
            return None

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    app = make_app()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    access = logging.getLogger("access")
    access.addHandler(logging.FileHandler(f"{tempfile.mkdtemp()}/access.log"))
    access.setLevel("INFO")
    access.propagate = False

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        started = time.perf_counter()
        await app(scope, receive, send)
        elapsed_ms = (time.perf_counter() - started) * 1000
        access.info("%s %s %.3f", scope["method"], scope["path"], elapsed_ms)

    return logged


async def serve(app: Application, count: int) -> float:
    """Return the microseconds of a request."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        pass

    started = time.perf_counter()
    for _ in range(count):
        await app(dict(SCOPE), receive, send)
    return (time.perf_counter() - started) / count * 1e6


def main() -> None:
    """Print the table."""
    log.sovdev_initialize("shop")
    apps = {"plain": make_app(), "sovdev-logger": with_ours(), "OpenTelemetry": with_theirs()}
    present = {name: app for name, app in apps.items() if app is not None}
    times: dict[str, list[float]] = {name: [] for name in present}
    for turn in range(ROUNDS + 1):
        for name, app in present.items():
            elapsed = asyncio.run(serve(app, REQUESTS))
            if turn:
                times[name].append(elapsed)
    try:
        theirs = version("opentelemetry-instrumentation-fastapi")
    except PackageNotFoundError:
        theirs = "not installed"
    print(f"FastAPI {version('fastapi')}, opentelemetry-instrumentation-fastapi {theirs}\n")
    print("| | µs a request | added to plain |\n|---|--:|--:|")
    for name, found in times.items():
        added = statistics.median(a - b for a, b in zip(found, times["plain"], strict=True))
        print(f"| {name} | {statistics.median(found):.0f} | {added:.0f} |")


if __name__ == "__main__":
    main()
