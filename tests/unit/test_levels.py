"""The six levels and their spellings."""

import logging

import pytest

from sovdev_logger import SOVDEV_LOGLEVELS
from sovdev_logger._entry.levels import BY_EXACT_NAME, LEVELS, find_level, level_of_number


def test_members_are_their_lower_case_names() -> None:
    assert [str(level) for level in SOVDEV_LOGLEVELS] == [
        "trace",
        "debug",
        "info",
        "warn",
        "error",
        "fatal",
    ]
    assert SOVDEV_LOGLEVELS.WARN == "warn"  # type: ignore[comparison-overlap]
    assert f"{SOVDEV_LOGLEVELS.WARN}" == "warn"


def test_otel_severities_are_those_of_the_contract() -> None:
    assert [(one.otel_severity, one.severity_text) for one in LEVELS] == [
        (1, "TRACE"),
        (5, "DEBUG"),
        (9, "INFO"),
        (13, "WARN"),
        (17, "ERROR"),
        (21, "FATAL"),
    ]


def test_a_member_is_found_in_the_hot_paths_table() -> None:
    assert BY_EXACT_NAME[SOVDEV_LOGLEVELS.FATAL].name == "fatal"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("WARNING", "warn"),
        ("warning", "warn"),
        ("critical", "fatal"),
        ("Exception", "error"),
        (" Info ", "info"),
        (logging.CRITICAL, "fatal"),
        (logging.DEBUG, "debug"),
        (5, "trace"),
        (25, "info"),
        (1000, "fatal"),
        (0, "trace"),
        (-1, "trace"),
    ],
)
def test_stdlib_spellings_are_understood(spelling: object, name: str) -> None:
    found = find_level(spelling)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("nonsense", ["loud", "", None, True, 1.5, object()])
def test_anything_else_is_no_level(nonsense: object) -> None:
    assert find_level(nonsense) is None


def test_a_number_between_two_levels_is_the_lower_one() -> None:
    assert level_of_number(39).name == "warn"
