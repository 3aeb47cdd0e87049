"""Any value as JSON: what each kind becomes, and the bounds."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import pathlib
import threading
import types
import uuid
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovdev_logger._safety import json_encoding as encoding
from sovdev_logger._safety import sanitizer
from sovdev_logger._safety.json_walk import MAX_DEPTH, JsonWalk
from sovdev_logger._safety.sanitizer import Sanitizer
from support.service import strict_json

needs_orjson = pytest.mark.skipif(
    encoding.orjson_dumps is None, reason="orjson is not installed: there is one encoder"
)


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Flavour(enum.StrEnum):
    SWEET = "sweet"


class Thing(enum.Enum):
    OBJECT = (1, 2)


class Pair(NamedTuple):
    left: int
    right: str


@dataclasses.dataclass
class Order:
    number: int
    _note: str = "x"


@dataclasses.dataclass(slots=True)
class Half:
    set_here: int
    never_set: int = dataclasses.field(init=False)


@attrs.define
class Address:
    street: str


class Customer(pydantic.BaseModel):
    name: str
    joined: dt.date


class Text(str):
    __slots__ = ()


class Ratio(float):
    pass


class Row(dict[str, Any]):
    pass


class Plain:
    def __repr__(self) -> str:
        return "<plain>"


UTC = dt.UTC
KINDS: list[tuple[str, Any, Any]] = [
    ("datetime", dt.datetime(2026, 1, 31, 12, 0, 0, 5, UTC), "2026-01-31T12:00:00.000005+00:00"),
    ("naive datetime", dt.datetime(2026, 1, 31, 12), "2026-01-31T12:00:00"),  # noqa: DTZ001
    ("date", dt.date(2026, 1, 31), "2026-01-31"),
    ("time", dt.time(12, 30), "12:30:00"),
    ("timedelta", dt.timedelta(days=1, hours=2, milliseconds=500), "P1DT7200.5S"),
    ("negative timedelta", -dt.timedelta(seconds=30), "-P0DT30S"),
    ("Decimal", decimal.Decimal("1.50"), "1.50"),
    ("UUID", uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ("bytes", "bjørn".encode(), "bjørn"),
    ("other bytes", b"\xff\x00", "base64:/wA="),
    ("bytearray", bytearray(b"ab"), "ab"),
    ("memoryview", memoryview(b"ab"), "ab"),
    ("set", {3, 1, 2}, [1, 2, 3]),
    ("frozenset", frozenset({"b", "a"}), ["a", "b"]),
    ("mixed set", {(1,)}, [[1]]),
    ("tuple", (1, "a"), [1, "a"]),
    ("namedtuple", Pair(1, "a"), {"left": 1, "right": "a"}),
    ("deque", collections.deque([1, 2]), [1, 2]),
    ("range", range(3), [0, 1, 2]),
    ("Enum", Colour.RED, "red"),
    ("IntEnum", Number.ONE, 1),
    ("StrEnum", Flavour.SWEET, "sweet"),
    ("Enum of a tuple", Thing.OBJECT, [1, 2]),
    ("Path", pathlib.PurePosixPath("/a/b"), "/a/b"),
    ("dataclass", Order(17), {"number": 17, "_note": "x"}),
    ("dataclass, half set", Half(1), {"set_here": 1, "never_set": "[unset]"}),
    ("attrs", Address("Storgata"), {"street": "Storgata"}),
    (
        "pydantic",
        Customer(name="Kari", joined=dt.date(2026, 1, 31)),
        {"name": "Kari", "joined": "2026-01-31"},
    ),
    ("exception", ValueError("odd"), "ValueError: odd"),
    ("NaN", float("nan"), "NaN"),
    ("Infinity", float("inf"), "Infinity"),
    ("-Infinity", float("-inf"), "-Infinity"),
    ("NaN inside", {"a": [float("nan"), None]}, {"a": ["NaN", None]}),
    ("largest int", 2**64 - 1, 2**64 - 1),
    ("smallest int", -(2**63), -(2**63)),
    ("larger int", 2**64, "18446744073709551616"),
    ("huge int", 10**5000, "[integer of 16610 bits]"),
    ("lone surrogate", "a\ud800b", "a\ufffdb"),
    ("surrogate key", {"\ud800": 1}, {"\ufffd": 1}),
    ("int keys", {1: "a", 2: "b"}, {"1": "a", "2": "b"}),
    ("keys that meet", {1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
    ("odd keys", {None: 1, True: 2, 1.5: 3}, {"null": 1, "true": 2, "1.5": 3}),
    ("tuple key", {(1, 2): 1}, {"(1, 2)": 1}),
    ("enum key", {Colour.RED: 1}, {"red": 1}),
    ("date key", {dt.date(2026, 1, 31): 1}, {"2026-01-31": 1}),
    ("str subclass", Text("a"), "a"),
    ("float subclass", Ratio(1.5), 1.5),
    ("dict subclass", Row(a=1), {"a": 1}),
    ("mapping", types.MappingProxyType({"a": 1}), {"a": 1}),
    ("object", Plain(), "<plain>"),
    ("class", Plain, "<class 'tests.unit.test_jsonable.Plain'>"),
    ("fraction", fractions.Fraction(1, 3), "Fraction(1, 3)"),
    ("complex", 1j, "1j"),
    ("None", None, None),
    ("bool", True, True),
]


@pytest.mark.parametrize(("value", "expected"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_each_kind_has_its_form(value: Any, expected: Any) -> None:
    _, text, _ = Sanitizer().texts("m", value, None)
    found = strict_json(text.decode())
    if isinstance(expected, str) and expected.startswith("<class"):
        assert found.startswith("<class")
    else:
        assert found == expected


@needs_orjson
@pytest.mark.parametrize("value", [k[1] for k in KINDS], ids=[k[0] for k in KINDS])
def test_without_orjson_the_result_is_the_same(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_orjson = Sanitizer().texts("m", {"v": value}, [value])
    monkeypatch.setattr(sanitizer, "orjson_dumps", None)
    assert Sanitizer().texts("m", {"v": value}, [value]) == with_orjson


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=3 * settings().max_examples)
@given(plain)
def test_the_walk_and_the_encoder_agree_on_plain_values(value: Any) -> None:
    whole = Sanitizer(10**9, redact=False)
    assert whole.texts("m", value, None)[1] == whole.json_text(value)


@needs_orjson
@settings(max_examples=3 * settings().max_examples)
@given(plain)
def test_what_both_encoders_write_reads_back_the_same(value: Any) -> None:
    assert encoding.orjson_dumps is not None
    assert json.loads(encoding.stdlib_dumps(value)) == json.loads(encoding.orjson_dumps(value))


def test_both_encoders_write_the_same_line() -> None:
    fields = {"message": "TIL OPPHØR \u2028", "number": 1}
    with_orjson = {**fields, "input_json": encoding.Fragment(b'{"a":1}')}
    with_stdlib = {**fields, "input_json": encoding.StdlibFragment(b'{"a":1}')}
    line = encoding.dumps_line(with_orjson)
    assert encoding.stdlib_dumps_line(with_stdlib) == line
    assert json.loads(line)["input_json"] == {"a": 1}


@pytest.mark.parametrize("bad", ["\ud800", float("nan"), object()])
def test_the_fallback_refuses_what_orjson_refuses(bad: Any) -> None:
    with pytest.raises(TypeError):
        encoding.stdlib_dumps(bad)


def test_a_circular_structure_ends() -> None:
    value: dict[str, Any] = {"a": 1}
    value["again"] = [value]
    _, text, _ = Sanitizer().texts("m", value, None)
    assert json.loads(text) == {"a": 1, "again": ["[circular]"]}


def test_the_same_value_twice_is_no_circle() -> None:
    shared = [1]
    _, text, _ = Sanitizer().texts("m", {"a": shared, "b": shared, "s": {1}}, None)
    assert json.loads(text) == {"a": [1], "b": [1], "s": [1]}


@pytest.mark.parametrize(
    "depth",
    [
        pytest.param(MAX_DEPTH, marks=needs_orjson),  # the walk ends before, with the stack
        MAX_DEPTH + 1,
        5000,
    ],
)
def test_depth_is_bounded_where_the_encoders_is(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    _, text, _ = Sanitizer().texts("m", value, None)
    is_whole = text == b"[" * depth + b"]" * depth
    assert is_whole == (depth <= MAX_DEPTH)
    if not is_whole:
        assert b"[nested too deep]" in text


class Hostile:
    def __init__(self, *methods: str) -> None:
        self.methods = methods

    def __repr__(self) -> str:
        raise RuntimeError("hostile")


class HostileList(list[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("hostile")


class HostileMapping(collections.UserDict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("hostile")


class HostileSet(set[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("hostile")


@pytest.mark.parametrize("value", [Hostile(), HostileMapping(a=1), HostileSet({1})])
def test_what_cannot_be_read_is_marked_and_the_rest_stays(value: Any) -> None:
    _, text, _ = Sanitizer().texts("m", {"bad": value, "good": 1}, None)
    found = json.loads(text)
    assert found == {"bad": f"[unserialisable {type(value).__name__}]", "good": 1}


def test_a_list_is_read_past_its_own_iterator() -> None:
    _, text, _ = Sanitizer().texts("m", HostileList([1]), None)
    assert json.loads(text) in ([1], "[unserialisable HostileList]")


def test_a_generator_is_not_consumed() -> None:
    generator = (number for number in range(3))
    _, text, _ = Sanitizer().texts("m", generator, None)
    assert "generator object" in json.loads(text)
    assert list(generator) == [0, 1, 2]


class Stop(BaseException):
    pass


class Stops:
    def __repr__(self) -> str:
        raise Stop


def test_what_is_meant_to_end_the_program_does() -> None:
    with pytest.raises(Stop):
        Sanitizer().texts("m", Stops(), None)


def test_a_dict_that_another_thread_changes() -> None:
    shared: dict[str, Any] = {f"k{number}": object() for number in range(200)}
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared[f"n{number % 500}"] = number
            shared.pop(f"n{(number + 250) % 500}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            _, text, _ = Sanitizer().texts("m", shared, None)
            assert "k0" in strict_json(text.decode())
    finally:
        stop.set()
        thread.join(10)


@settings(max_examples=2 * settings().max_examples)
@given(
    st.recursive(
        st.text(max_size=2000) | st.integers() | st.floats() | st.binary(max_size=500),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=300), inner),
        max_leaves=30,
    ),
    st.integers(256, 3000),
)
def test_the_result_never_exceeds_its_bound(value: Any, limit: int) -> None:
    made = Sanitizer(limit)
    _, text, _ = made.texts("m", value, None)
    assert len(text) <= limit
    strict_json(text.decode())


@given(st.text(), st.integers(256, 500))
def test_a_message_never_exceeds_its_bound(text: str, limit: int) -> None:
    shown = Sanitizer(limit).text(text * 50)
    assert len(json.dumps(shown, ensure_ascii=False).encode()) <= limit + 2


def test_cuts_are_marked() -> None:
    made = Sanitizer(256)
    _, text, response = made.texts("m", {"a": "x" * 1000, "b": 1}, list(range(1000)))
    found = json.loads(text)
    assert found["a"].startswith("xxx")
    assert "…[cut " in found["a"]
    assert " characters]" in found["a"]
    assert " items]" in json.loads(response)[-1]
    assert " characters]" in made.text("y" * 1000)
    assert made.texts("m", {"a": 1}, None) == ("m", b'{"a":1}', b"null")


def test_what_does_not_fit_is_counted_in_the_mark() -> None:
    _, text, _ = Sanitizer(256).texts("m", list(range(1000)), None)
    found = json.loads(text)
    assert found[-1] == f"…[cut {1000 - len(found) + 1} items]"
    _, text, _ = Sanitizer(256).texts("m", {f"key{number}": number for number in range(100)}, None)
    pairs = json.loads(text)
    assert pairs["…"] == f"…[cut {100 - len(pairs) + 1} items]"


def test_a_huge_value_costs_what_its_bound_allows() -> None:
    class Endless(collections.abc.Sequence[int]):
        reads = 0

        def __len__(self) -> int:
            return 10**12

        def __getitem__(self, index: Any) -> Any:
            Endless.reads += 1
            return 7

    Sanitizer(1000).texts("m", Endless(), None)
    assert Endless.reads < 1000


def test_a_walk_is_for_one_value() -> None:
    walk = JsonWalk(256, redact=True)
    assert walk.plain({"a": 1}) == {"a": 1}
    assert not walk.was_cut
