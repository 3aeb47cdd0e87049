"""Sampling in one line, for each framework."""

import logging
from collections.abc import Callable
from typing import Any

import fastapi
import flask
import pytest
from fastapi.testclient import TestClient

from sovdev_logger.integrations.lipservice import configure_lipservice_fastapi, init_lipservice
from sovdev_logger.testing import capture
from support.lipservice import FakeLipService
from support.processes import run

Setup = Callable[[str], Any]


def test_fastapi_and_flask() -> None:
    with FakeLipService() as server, capture() as logged:
        app = fastapi.FastAPI()
        found = configure_lipservice_fastapi(
            "orders", server.url, app=app, team_id=1, use_structlog=False
        )
        try:
            assert TestClient(app).get("/nowhere").status_code == 404
            logging.getLogger("x").error("kept")
            assert sum(found.status().kept.values()) >= 1
        finally:
            found.shutdown(1)
        other = flask.Flask("orders")
        found = init_lipservice(
            other, service_name="orders", lipservice_url=server.url, team_id=1, use_structlog=False
        )
        try:
            other.test_client().get("/nowhere").close()
        finally:
            found.shutdown(1)
        assert logged.messages == ["GET /nowhere 404"] * 2


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("{'SERVICE_NAME': 'orders', 'LIPSERVICE_URL': URL, 'TEAM_ID': 1}", "up"),
        ("{'SERVICE_NAME': 'orders'}", "LIPSERVICE must have"),
        ("{'SERVICE_NAME': 'orders', 'LIPSERVICE_URL': URL, 'TEAM': 1}", "no other keys"),
        ("{'SERVICE_NAME': 'orders', 'LIPSERVICE_URL': 'x', 'TEAM_ID': 1}", "LIPSERVICE: "),
    ],
)
def test_django(tmp_path: Any, setting: str, words: str) -> None:
    with FakeLipService() as server:
        body = f"""
        import django
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from sovdev_logger.integrations.lipservice import configure_lipservice_django
        URL = {server.url!r}
        settings.configure(LIPSERVICE={setting})
        django.setup()
        try:
            configure_lipservice_django().shutdown(1)
            print("up")
        except ImproperlyConfigured as error:
            print(error)
        """
        out, _ = run(tmp_path, body)
        assert words in out
