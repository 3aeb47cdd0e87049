"""Django in one file: each request has a trace, a context and an entry.

pip install "sovdev-logger[django]"
python app.py runserver
curl localhost:8000/items/17/

Under uvicorn: ``uvicorn app:application``.
"""

import logging
import os
import sys

import django
from django.conf import settings
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import path

import sovdev_logger as log

os.environ.setdefault("DJANGO_RUNSERVER_HIDE_WARNING", "true")
if not settings.configured:
    settings.configure(
        DEBUG=False,
        SECRET_KEY="an example's",  # noqa: S106
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["sovdev_logger.integrations.django.SovdevConfig"],
        MIDDLEWARE=["sovdev_logger.integrations.django.SovdevMiddleware"],
        SOVDEV={
            "SERVICE_NAME": "orders",
            "RESOLVER": lambda request: {"client_name": request.headers.get("X-Client")},
        },
        LOGGING_CONFIG=None,
    )
    django.setup()


def read_item(_request: HttpRequest, item: int) -> JsonResponse:
    """Return an item."""
    log.sovdev_log("info", "read_item", "Looking up an item", None, {"item": item})
    if item > 100:
        logging.getLogger("stock").warning("no such item")
        raise Http404
    return JsonResponse({"item": item})


urlpatterns = [path("items/<int:item>/", read_item)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
else:
    from sovdev_logger.integrations.django import get_asgi_application

    application = get_asgi_application()
