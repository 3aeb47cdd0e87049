"""FastAPI: each request has a trace, a context and an entry.

pip install "sovdev-logger[fastapi]" uvicorn
uvicorn app:app
curl -H "X-Client: shop" localhost:8000/items/17
"""

import logging

from fastapi import FastAPI, HTTPException

import sovdev_logger as log
from sovdev_logger.integrations.asgi import AsgiRequest, configure_fastapi

app = FastAPI(title="orders")


def whom(request: AsgiRequest) -> dict[str, str | None]:
    """Say whom the request is for."""
    return {"client_name": request.headers.get("x-client")}


configure_fastapi(app, resolver=whom)
log.sovdev_capture_logging()


@app.get("/items/{item}")
async def read_item(item: int) -> dict[str, int]:
    """Return an item."""
    log.sovdev_log("info", "read_item", "Looking up an item", None, {"item": item})
    if item > 100:
        logging.getLogger("stock").warning("no such item")
        raise HTTPException(404)
    return {"item": item}


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app)
