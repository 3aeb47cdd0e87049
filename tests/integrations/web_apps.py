"""Applications for real servers, each in a process or several."""

import asyncio
import time
import urllib.request
from typing import Any

import fastapi
import flask

import sovdev_logger as log
from sovdev_logger import sovdev_request_id
from sovdev_logger.integrations.asgi import configure_fastapi
from sovdev_logger.integrations.flask import init_app


def whom(request: Any) -> dict[str, Any]:
    return {"client_name": request.headers.get("x-client")}


def make_asgi() -> fastapi.FastAPI:
    app = fastapi.FastAPI(title="shop")
    configure_fastapi(app, resolver=whom)

    @app.get("/items/{item}")
    async def read_item(item: str) -> dict[str, Any]:
        await asyncio.sleep(0.002)
        log.sovdev_log("info", "read_item", f"inside {item}", None, {"id": sovdev_request_id()})
        return {"item": item}

    @app.get("/sync/{item}")
    def read_sync(item: str) -> dict[str, Any]:
        time.sleep(0.002)
        log.sovdev_log("info", "read_sync", f"inside {item}", None, {"id": sovdev_request_id()})
        return {"item": item}

    return app


def make_flask() -> flask.Flask:
    app = flask.Flask("shop")
    init_app(app, resolver=whom)

    @app.get("/items/<item>")
    def read_item(item: str) -> dict[str, Any]:
        time.sleep(0.002)
        log.sovdev_log("info", "read_item", f"inside {item}", None, {"id": sovdev_request_id()})
        return {"item": item}

    @app.get("/chain/<int:port>")
    def chain(port: int) -> str:
        with log.sovdev_span("call the other", peer_service="OTHER"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/items/chained",
                headers=log.sovdev_inject_headers({}),
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read())

    return app
