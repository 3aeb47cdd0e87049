"""Backoff: exponential, full jitter, capped, and never shorter than the server asked."""

import pytest

from sovdev_logger._delivery.backoff import Backoff


def upper(_low: float, high: float) -> float:
    return high


def test_the_longest_pause_doubles_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 30, uniform=upper)
    assert [backoff.delay(attempt) for attempt in (1, 2, 3, 6, 7, 10_000)] == [
        0.5,
        1,
        2,
        16,
        30,
        30,
    ]


def test_the_jitter_is_full() -> None:
    backoff = Backoff(0.5, 30)
    pauses = [backoff.delay(4) for _ in range(500)]
    assert min(pauses) < 1
    assert 3 < max(pauses) <= 4


@pytest.mark.parametrize(("asked", "pause"), [(None, 0.5), (0.1, 0.5), (7, 7), (120, 120)])
def test_what_the_server_asked_is_the_least(asked: float | None, pause: float) -> None:
    assert Backoff(0.5, 30, uniform=upper).delay(1, asked) == pause
