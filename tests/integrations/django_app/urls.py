import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

import sovdev_logger as log
from sovdev_logger import sovdev_request_id


def resolve(request: HttpRequest) -> dict[str, Any]:
    return {"client_name": request.headers.get("X-Client")}


def item(request: HttpRequest, number: int) -> JsonResponse:
    log.sovdev_log("info", "item", f"item {number}", None)
    return JsonResponse({"request_id": sovdev_request_id()})


async def item_async(request: HttpRequest, number: int) -> JsonResponse:
    await asyncio.sleep(0.001)
    log.sovdev_log("info", "item_async", f"item {number}", None)
    return JsonResponse({"request_id": sovdev_request_id()})


def boom(request: HttpRequest) -> HttpResponse:
    raise ValueError("boom")


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("odd")


def plain(request: HttpRequest) -> HttpResponse:
    logging.getLogger("shop").warning("plain", extra={"order": 17})
    return HttpResponse("ok")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        for number in range(3):
            log.sovdev_log("info", "parts", f"part {number}", None)
            yield "x"

    return StreamingHttpResponse(parts())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            log.sovdev_log("info", "parts", f"part {number}", None)
            yield "x"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("items/<int:number>/", item),
    path("async/<int:number>/", item_async),
    path("boom/", boom),
    path("suspicious/", suspicious),
    path("plain/", plain),
    path("stream/", stream),
    path("stream-async/", stream_async),
    path("health", plain),
]
