"""Which version a service has, whoever starts it."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger import (
    sovdev_flush,
    sovdev_initialize,
    sovdev_initialize_environment,
    sovdev_log,
)
from sovdev_logger.testing import capture
from support import service
from support.otlp_receiver import OtlpReceiver
from support.processes import run
from support.service import read_lines

NOT_GIVEN: tuple[Any, ...] = ()


@pytest.mark.parametrize(
    ("argument", "variable", "attribute", "expected"),
    [
        (("2.0.0",), "3.0.0", "4.0.0", "2.0.0"),
        (("1.0.0",), "3.0.0", "4.0.0", "1.0.0"),
        ((" 2.0.0 ",), "", "", "2.0.0"),
        (NOT_GIVEN, "3.0.0", "4.0.0", "3.0.0"),
        ((None,), "3.0.0", "4.0.0", "3.0.0"),
        (("",), "3.0.0", "4.0.0", "3.0.0"),
        ((" ",), "3.0.0", "4.0.0", "3.0.0"),
        (NOT_GIVEN, "", "4.0.0", "4.0.0"),
        ((None,), " ", "4.0.0", "4.0.0"),
        (NOT_GIVEN, "", "%20", "1.0.0"),
        (NOT_GIVEN, "", "", "1.0.0"),
        ((None,), "", "", "1.0.0"),
        (("",), "", "", "1.0.0"),
    ],
)
def test_the_argument_then_the_variable_then_the_attribute(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argument: tuple[Any, ...],
    variable: str,
    attribute: str,
    expected: str,
) -> None:
    with OtlpReceiver() as receiver:
        variables = {
            "SERVICE_VERSION": variable,
            "OTEL_RESOURCE_ATTRIBUTES": f"service.name=another,service.version={attribute}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        }
        for name, value in service.environment(tmp_path, **variables).items():
            monkeypatch.setenv(name, value)
        sovdev_initialize("orders", *argument)
        sovdev_log("info", "f", "m", None)
        sovdev_flush()
        service.stop()
        ((resource, _, _, record),) = receiver.log_records()
        ((labels, _),) = receiver.metrics()["sovdev_operations_total"]
    (entry,) = read_lines(tmp_path / "dev.log")
    assert entry["service_version"] == expected
    assert (resource["service.name"], resource["service.version"]) == ("orders", expected)
    assert labels["service_version"] == expected
    sent = {pair.key: pair.value.string_value for pair in record.attributes}
    assert sent["service_version"] == expected


@pytest.mark.parametrize("start", [sovdev_initialize, sovdev_initialize_environment, capture])
def test_the_default_is_shown(start: Callable[..., Any]) -> None:
    parameter = inspect.signature(start).parameters["service_version"]
    assert str(parameter) == "service_version: str | None = '1.0.0'"


@pytest.mark.parametrize(
    ("argument", "expected"), [({}, "1.0.0"), ({"service_version": None}, "1.0.0")]
)
def test_captured_entries_have_one(argument: dict[str, Any], expected: str) -> None:
    with capture("orders", **argument) as logged:
        sovdev_log("info", "f", "m", None)
    assert logged.entries[0]["service_version"] == expected
    assert type(logged.entries[0]["service_version"]) is str


STARTERS = {
    "core": "log.sovdev_initialize('orders', **version)",
    "profile": "log.sovdev_initialize_environment(**version)",
    "fastapi": """
from fastapi import FastAPI
from sovdev_logger.integrations.asgi import configure_fastapi
configure_fastapi(FastAPI(), "orders", **version)
""",
    "flask": """
from flask import Flask
from sovdev_logger.integrations.flask import init_app
init_app(Flask("orders"), **version)
""",
    "celery": """
from celery import Celery
from sovdev_logger.integrations.celery import configure_celery
configure_celery(Celery("orders"), **version)
""",
    "django": """
import django
from django.conf import settings
settings.configure(
    SOVDEV={"SERVICE_NAME": "orders", **{name.upper(): text for name, text in version.items()}},
    INSTALLED_APPS=["sovdev_logger.integrations.django.SovdevConfig"],
)
django.setup()
""",
}


@pytest.mark.parametrize("starter", STARTERS)
def test_all_who_start_a_service_keep_the_order(tmp_path: Path, starter: str) -> None:
    pytest.importorskip({"profile": "loguru", "core": "sys"}.get(starter, starter))
    program = f"""
import os, warnings
import sovdev_logger as log
for version in [{{}}, {{"service_version": None}}, {{"service_version": "1.0.0"}}]:
    child = os.fork()
    if child == 0:
        exec({STARTERS[starter]!r})
        log.sovdev_log("info", "f", "m", None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    run(
        tmp_path,
        program,
        SERVICE_VERSION="7.0.1",
        NAME_APP="orders",
        RUN_ENVIRONMENT="development",
        PATH_TO_LOGS=str(tmp_path),
        LOG_TO_FILE="true",
    )
    versions = [entry["service_version"] for entry in read_lines(tmp_path / "dev.log")]
    assert versions == ["7.0.1", "7.0.1", "1.0.0"]
