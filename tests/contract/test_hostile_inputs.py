"""Arbitrary values for every parameter: no call raises, every line is strict JSON by the schema."""

import datetime
import decimal
import enum
import functools
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovdev_logger import (
    sovdev_end_span,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_start_span,
)
from sovdev_logger.testing import capture
from support import schema
from support.service import Started

Start = Callable[..., Started]


class Colour(enum.Enum):
    RED = "red"


class Raises:
    """Everything that can be asked of it raises."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __iter__ = __len__ = __bool__ = __eq__ = __int__ = __float__ = _raise
    __hash__ = __getattr__ = __format__ = keys = items = _raise


class Lies:
    """Answers with the wrong types."""

    def __str__(self) -> Any:
        return 17  # noqa: PLE0307

    __repr__ = __str__


class RaisingError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("hostile")


class Logs:
    """Logs while it is being logged."""

    def __repr__(self) -> str:
        sovdev_log("info", "repr", "from inside", None)
        return "logged"


def circular() -> list[Any]:
    made: list[Any] = [1]
    made.append({"again": made})
    return made


@functools.cache
def deep() -> list[Any]:
    made: list[Any] = []
    for _ in range(5000):
        made = [made]
    return made


# By name, because hypothesis shows what it samples from.
MAKERS: dict[str, Callable[[], Any]] = {
    "raises": Raises,
    "lies": Lies,
    "logs": Logs,
    "object": object,
    "raising error": RaisingError,
    "class": lambda: Colour,
    "ellipsis": lambda: ...,
    "too many digits": lambda: 10**5000,
}

odd = st.one_of(
    st.sampled_from(sorted(MAKERS)).map(lambda name: MAKERS[name]()),
    st.sampled_from([Colour.RED, float("nan")]),
    st.builds(circular),
    st.builds(deep),
    st.sampled_from([2**64, -(2**70), float("inf"), -0.0, 1e308, True, None]),
    st.sampled_from(["\ud800", "a\x00b", "\u2028", "x" * 70_000, "password=hunter2", ""]),
    st.sampled_from([ValueError("x" * 5000), KeyboardInterrupt(), SystemExit(3)]),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.binary(),
    st.complex_numbers(),
    st.fractions(),
    st.builds(pathlib.PurePosixPath, st.text(max_size=5)),
    st.text(st.characters(), max_size=20),
    st.integers(),
    st.floats(),
)
hashable = st.one_of(
    st.text(max_size=5), st.integers(), st.floats(), st.none(), st.booleans(), st.binary(max_size=3)
)
value = st.recursive(
    odd,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
        st.builds(lambda v: (v for _ in range(3)), inner),
        st.builds(lambda v: {"deeper": {"password": v, "list": [v]}}, inner),
    ),
    max_leaves=4,
)

# At full size five properties and one run of all make 10,000 hostile inputs.
hostile = settings(
    max_examples=20 * settings().max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@hostile
@given(st.tuples(*[value] * 8))
def test_sovdev_log(arguments: tuple[Any, ...]) -> None:
    with capture() as logged:
        sovdev_log(*arguments)
    assert logged.entries


@hostile
@given(st.tuples(*[value] * 7))
def test_sovdev_log_job_status(arguments: tuple[Any, ...]) -> None:
    with capture() as logged:
        sovdev_log_job_status(*arguments)
    assert logged.entries


@hostile
@given(st.tuples(*[value] * 8))
def test_sovdev_log_job_progress(arguments: tuple[Any, ...]) -> None:
    with capture() as logged:
        sovdev_log_job_progress(*arguments)
    assert logged.entries


@hostile
@given(st.tuples(value, value, value, value))
def test_spans(arguments: tuple[Any, ...]) -> None:
    name, attributes, peer, error = arguments
    with capture() as logged:
        span = sovdev_start_span(name, attributes, peer_service=peer)
        sovdev_log("info", "f", "inside", None)
        sovdev_end_span(span, error)
    assert logged.one(message="inside")["span_id"] == span.span_id


@hostile
@given(st.tuples(value, value, value))
def test_context(arguments: tuple[Any, ...]) -> None:
    client, principal, user = arguments
    with capture() as logged:
        sovdev_set_context(client_name=client, service_principal=principal, acting_user=user)
        sovdev_log("info", "f", "m", None)
    assert logged.entries


def test_hostile_values_reach_the_real_file_as_lines_of_the_schema(start: Start) -> None:
    started = start(LOG_TO_CONSOLE="false")
    written = 0
    for one in (
        Raises(),
        Lies(),
        circular(),
        deep(),
        {1: "a", "1": "b", None: float("nan")},
        {"\ud800": "\udfff"},
        {uuid.UUID(int=1): decimal.Decimal("1.5")},
        10**5000,
        b"\xff",
    ):
        sovdev_log(one, one, one, one, one, one, one, one)  # type: ignore[arg-type]
        written += 1
    lines = started.log_path.read_bytes().splitlines(keepends=True)
    assert len(lines) == written
    assert [fault for line in lines for fault in schema.faults_of(line)] == []


def test_an_object_that_logs_while_it_is_logged(start: Start) -> None:
    started = start()
    sovdev_log("info", "f", "outer", None, {"odd": Logs()})
    assert sorted(entry["message"] for entry in started.entries) == ["from inside", "outer"]


@pytest.mark.parametrize("size", [256, 1000, 65536])
def test_no_field_is_larger_than_asked_for(start: Start, size: int) -> None:
    started = start(SOVDEV_MAX_FIELD_BYTES=str(size))
    big = {"text": "ø" * 100_000, "list": list(range(50_000))}
    sovdev_log("info", "f", "m" * 200_000, None, big, "r" * 200_000)
    raw = started.log_path.read_bytes()
    assert len(raw) < 3 * size + 2000
    assert len(started.last["message"].encode()) <= size
    assert started.last["message"].startswith("mmm")
    assert started.last["input_json"]["text"].startswith("øøø")
