"""Handlers that are frozen when they return: what is logged is delivered before."""

import asyncio
import time

import pytest

from sovdev_logger import sovdev_initialize, sovdev_log
from sovdev_logger.integrations.serverless import sovdev_serverless
from support.otlp_receiver import OtlpReceiver
from support.service import stop


class LambdaContext:
    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> object:
    with OtlpReceiver() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.endpoint)
        monkeypatch.setenv("LOG_TO_FILE", "false")
        monkeypatch.setenv("SOVDEV_SPOOL", "false")
        sovdev_initialize("orders")
        yield found
        stop()


@sovdev_serverless
def handler(event: dict[str, str], context: object) -> str:
    sovdev_log("info", "handler", event["name"], None)
    if event["name"] == "bad":
        raise ValueError("bad")
    return "done"


@sovdev_serverless(timeout_seconds=2)
async def handler_async(event: dict[str, str], context: object) -> str:
    return handler.__wrapped__(event, context)  # type: ignore[attr-defined, no-any-return]


def test_what_was_logged_is_delivered_when_it_returns(receiver: OtlpReceiver) -> None:
    assert handler({"name": "one"}, LambdaContext(3000)) == "done"
    assert receiver.messages() == ["one"]
    with pytest.raises(ValueError, match="bad"):
        handler({"name": "bad"}, LambdaContext(3000))
    assert receiver.messages() == ["one", "bad"]
    assert asyncio.run(handler_async({"name": "two"}, object())) == "done"
    assert receiver.messages() == ["one", "bad", "two"]


def test_a_collector_that_hangs_costs_no_more_than_is_left(receiver: OtlpReceiver) -> None:
    receiver.hang()
    began = time.monotonic()
    handler({"name": "one"}, LambdaContext(800))
    assert time.monotonic() - began < 0.8
    receiver.recover()


def test_before_a_service_it_is_only_the_handler() -> None:
    assert sovdev_serverless(lambda event: event)(5) == 5
    with pytest.raises(ValueError, match="must not be negative"):
        sovdev_serverless(timeout_seconds=-1)
