"""Flask: each request has a trace, a context and an entry.

pip install "sovdev-logger[flask]"
flask --app app run
curl -H "X-Client: shop" localhost:5000/items/17
"""

import logging

from flask import Flask, abort

import sovdev_logger as log
from sovdev_logger.integrations.flask import init_app


def create_app() -> Flask:
    """Make the application."""
    app = Flask("orders")
    init_app(app, resolver=lambda request: {"client_name": request.headers.get("X-Client")})

    @app.get("/items/<int:item>")
    def read_item(item: int) -> dict[str, int]:
        log.sovdev_log("info", "read_item", "Looking up an item", None, {"item": item})
        if item > 100:
            logging.getLogger("stock").warning("no such item")
            abort(404)
        return {"item": item}

    return app


app = create_app()
log.sovdev_capture_logging()
