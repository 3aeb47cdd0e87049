"""What users test their own code with."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from sovdev_logger import (
    sovdev_flush,
    sovdev_initialize,
    sovdev_log,
    sovdev_set_context,
    sovdev_shutdown,
    sovdev_start_span,
)
from sovdev_logger.testing import Captured, capture
from support.service import Started

pytest_plugins = ["pytester"]


def test_code_that_logs_before_initialisation_can_be_tested() -> None:
    with capture() as logged:
        sovdev_log("info", "f", "hello", None, {"token": "x1y2z3"})
    assert logged.messages == ["hello"]
    entry = logged.one(level="info")
    assert entry["service_name"] == "test-service"
    assert entry["input_json"] == {"token": "[REDACTED]"}
    with pytest.raises(RuntimeError):
        sovdev_log("info", "f", "after", None)


def test_code_that_initialises_itself_is_taken_at_its_word() -> None:
    with capture() as logged:
        sovdev_initialize("orders", "2.0.0", {"BRREG": "SYS1"})
        sovdev_initialize("ignored")
        sovdev_log("info", "f", "hello", "BRREG")
        sovdev_flush()
        sovdev_shutdown()
    assert logged.one()["service_name"] == "orders"
    assert logged.one()["peer_service"] == "SYS1"


def test_a_blank_name_is_still_an_error_inside() -> None:
    with capture(), pytest.raises(ValueError):
        sovdev_initialize(" ")


def test_an_initialised_service_is_set_aside_and_comes_back(
    start: Callable[..., Started],
) -> None:
    started = start(name="orders")
    sovdev_log("info", "f", "real", None)
    with capture("orders") as logged:
        sovdev_log("info", "f", "captured", None)
        logging.getLogger("orders").info("captured too")
    sovdev_log("info", "f", "real again", None)
    assert logged.messages == ["captured", "captured too"]
    assert [entry["message"] for entry in started.entries] == ["real", "real again"]


def test_no_files_no_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with capture():
        sovdev_set_context(client_name="inside")
        sovdev_start_span("never ended")
        sovdev_log("error", "f", "m", None)
    with capture() as later:
        sovdev_log("info", "f", "m", None)
    assert "client_name" not in later.one()
    assert "span_id" not in later.one()
    assert list(tmp_path.iterdir()) == []


def test_captures_nest() -> None:
    with capture() as outer:
        sovdev_log("info", "f", "one", None)
        with capture() as inner:
            sovdev_log("info", "f", "two", None)
        sovdev_log("info", "f", "three", None)
    assert (outer.messages, inner.messages) == (["one", "three"], ["two"])


def test_entries_are_found_by_their_fields() -> None:
    with capture(peer_services={"BRREG": "SYS1"}) as logged:
        sovdev_log("info", "f", "one", "BRREG")
        sovdev_log("warn", "f", "two", None)
    assert [entry["message"] for entry in logged.find(peer_service="SYS1")] == ["one"]
    assert logged.find(level="fatal") == []
    assert logged.find(no_such_field=None) == []
    with pytest.raises(AssertionError, match=r"(?s)2 entries .* info: one\n  warn: two"):
        logged.one(function_name="f")
    logged.clear()
    assert logged.entries == []


def test_an_exception_in_the_block_puts_everything_back() -> None:
    with pytest.raises(KeyError), capture():
        raise KeyError("x")
    with pytest.raises(RuntimeError):
        sovdev_log("info", "f", "m", None)


def test_the_fixture_is_there(sovdev_capture: Captured) -> None:
    sovdev_log("info", "f", "by fixture", None)
    assert sovdev_capture.messages == ["by fixture"]


def test_the_fixture_leaves_nothing_between_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sovdev_logger

        def test_first(sovdev_capture):
            sovdev_logger.sovdev_log("info", "f", "m", None)
            assert len(sovdev_capture.entries) == 1

        def test_second(sovdev_capture):
            assert sovdev_capture.entries == []
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
