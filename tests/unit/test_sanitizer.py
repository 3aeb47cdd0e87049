"""The door to the safe side: what it returns for hostile, endless and secret-bearing values."""

import collections
import json
import time
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._safety import sanitizer
from sovdev_logger._safety.prefilter import FLAGS, HAS_NULL, may_contain_secret, scan
from sovdev_logger._safety.redaction import REDACTED
from sovdev_logger._safety.sanitizer import Sanitizer
from support.redaction_table import MUST_GO, MUST_STAY
from support.service import strict_json


def shown(value: Any, made: Sanitizer | None = None) -> Any:
    return strict_json((made or Sanitizer()).texts("m", value, None)[1].decode())


def test_ordinary_values_come_back_as_compact_json() -> None:
    given_texts = Sanitizer().texts("Hei på deg", {"a": [1, None]}, ["b", 1.5])
    assert given_texts == ("Hei på deg", b'{"a":[1,null]}', b'["b",1.5]')


def test_what_was_not_given_is_null() -> None:
    assert Sanitizer().texts("m", None, None) == ("m", b"null", b"null")


@pytest.mark.parametrize("message", ["a\ud800b", "\udfff"])
def test_a_message_can_always_be_encoded(message: str) -> None:
    text, _, _ = Sanitizer().texts(message, {"a": 1}, None)
    assert "\ufffd".encode() in text.encode()


@pytest.mark.parametrize("value", ["text", None, 17, 1.5, b"bytes", ["list"], object()])
def test_text_takes_any_value(value: Any) -> None:
    assert Sanitizer().text(value) == str(value)


class ClassWithoutName(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("hostile")


class Nameless(metaclass=ClassWithoutName):
    def __repr__(self) -> str:
        raise RuntimeError("hostile")


class Disguised:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("hostile")


@pytest.mark.parametrize("kind", [Nameless, Disguised], ids=["nameless", "disguised"])
def test_a_hostile_class_does_not_take_its_neighbours_along(kind: Any) -> None:
    found = shown({"bad": kind(), "good": 1})
    assert found == {
        "bad": f"[unserialisable {type.__dict__['__name__'].__get__(kind)}]",
        "good": 1,
    }


class EndlessMapping(Mapping[int, int]):
    def __getitem__(self, key: int) -> int:
        return 1

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1


class EndlessSet(Set[int]):
    def __contains__(self, value: object) -> bool:
        return True

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter(EndlessMapping())


@pytest.mark.parametrize("value", [EndlessMapping(), EndlessSet()])
def test_what_has_no_end_is_cut(value: Any) -> None:
    made = Sanitizer(1000)
    _, text, _ = made.texts("m", value, None)
    assert len(text) <= 1000
    assert "…[cut" in json.dumps(strict_json(text.decode()), ensure_ascii=False)


def test_what_is_left_out_of_a_set_is_counted() -> None:
    found = shown(set(range(1000)), Sanitizer(256))
    assert found[-1] == f"…[cut {1000 - len(found) + 1} items]"


def test_a_large_mapping_costs_what_its_bound_allows() -> None:
    large = {number: number for number in range(1_000_000)}
    started = time.process_time()
    for _ in range(20):
        shown(large, Sanitizer(1000))
    assert time.process_time() - started < 1  # copying the items alone would take over 2


@pytest.mark.parametrize(
    "pair",
    [
        (b"cookie", b"theme=dark; lang=f00ba4"),
        (b"X-Api-Key", b"f00ba4"),
        ("Set-Cookie", "id=f00ba4; Path=/"),
        ("x-api-key", "f00ba4"),
        ("password", ["f00ba4"]),
    ],
)
def test_a_credential_goes_from_a_list_of_header_pairs(pair: tuple[Any, Any]) -> None:
    """Servers and clients hand over headers as pairs; the name is then a neighbour, not a key."""
    name = pair[0].decode() if isinstance(pair[0], bytes) else pair[0]
    found = shown({"headers": [("Accept", "*/*"), pair]})
    assert found == {"headers": [["Accept", "*/*"], [name, REDACTED]]}
    assert "f00ba4" in json.dumps(shown([pair], Sanitizer(redact=False)))


@pytest.mark.parametrize("pair", [("name", "bob"), ("password", None), ("password", True), (1, 2)])
def test_an_ordinary_pair_stays(pair: tuple[Any, Any]) -> None:
    assert shown([pair]) == [list(pair)]


class FailingCause(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("hostile")


class FailingTraceback(Exception):
    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("hostile")


class FailingGroup(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError("hostile")


@pytest.mark.parametrize(
    "error",
    [
        FailingCause("token=f00ba4 seen"),
        FailingTraceback("token=f00ba4 seen"),
        FailingGroup("token=f00ba4 seen", [ValueError()]),
    ],
)
def test_an_exception_that_fails_to_tell_its_story_is_still_named(error: Exception) -> None:
    message, stacktrace = Sanitizer().exception(error)
    assert message.startswith(f"token={REDACTED} seen")
    assert stacktrace.startswith(type(error).__name__)
    assert "f00ba4" not in stacktrace
    assert len(stacktrace) <= 350


def test_a_frame_shows_its_file_without_the_folders() -> None:
    for name in ("/srv/app/job.py", "C:\\app\\job.py", "job.py"):
        try:
            exec(compile("raise ValueError('x')", name, "exec"), {})  # noqa: S102
        except ValueError as error:
            assert Sanitizer().exception(error)[1].splitlines()[1] == "  at <module> (job.py:1)"


odd = st.sampled_from([object(), collections.deque([1]), {1: 2}, b"\xff", 1j, 10**400])
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.timedeltas()
    | odd,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.dates(), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(anything, anything, st.booleans())
def test_any_two_values_become_json(one: Any, other: Any, redact: bool) -> None:
    made = Sanitizer(redact=redact)
    message, first, second = made.texts("m", one, other)
    assert message == "m"
    strict_json(first.decode())
    strict_json(second.decode())


@given(anything)
def test_the_short_way_and_the_long_way_end_alike(value: Any) -> None:
    made = Sanitizer()
    short = made.texts("m", value, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sanitizer, "orjson_dumps", None)
        assert made.texts("m", value, None) == short


@pytest.mark.parametrize("make", [lambda x: [x, x], lambda x: {"a": 1, "b": x, "c": x}])
def test_a_value_that_holds_itself_many_times_over_is_bounded(make: Any) -> None:
    """Written out this has 2**60 items; an encoder that starts on it takes all the memory."""
    value = make(1)
    for _ in range(60):
        value = make(value)
    made = Sanitizer()
    _, text, _ = made.texts("m", value, None)
    assert len(text) <= 65536
    assert "…[cut" in text.decode()


@pytest.mark.parametrize("name", ["note", "password"])
def test_what_fits_is_whole_whether_walked_or_not(name: str) -> None:
    value: Any = {name: None}
    for _ in range(60):
        value = [value]
    found = shown(value, Sanitizer(256))
    for _ in range(60):
        found = found[0]
    assert found == {name: None}


class Spoken(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("hostile")


def test_a_message_is_a_plain_string() -> None:
    message, _, _ = Sanitizer().texts(Spoken("hi"), {"a": 1}, None)
    assert type(message) is str
    assert message == "hi"


@pytest.mark.parametrize("message", [None, 17, b"hi"])
def test_a_message_of_another_kind_is_shown(message: Any) -> None:
    assert Sanitizer().texts(message, None, None)[0] == str(message)


FRAGMENTS = st.sampled_from(
    [
        *(text for text, _ in MUST_GO),
        *MUST_STAY,
        *("password", "token", "Bearer abc123", ":", "=", "--", "<", "[", '"', "\\", " ", "x"),
        *("sid", "api key", "=>", "_hash", "https://", "@", "\n", "\t" * 9, "æ"),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=4).map("".join)
FLAT = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none() | st.tuples(TEXTS, TEXTS))


def finds_always(message: str, _input_text: bytes, _response_text: bytes) -> int:
    return sum(FLAGS.values()) | HAS_NULL


@pytest.mark.parametrize("look", [scan, finds_always])
@given(TEXTS, FLAT, FLAT)
def test_what_is_not_walked_had_nothing_to_redact(
    look: Callable[[str, bytes, bytes], int],
    message: str,
    given_in: dict[str, Any],
    came_out: dict[str, Any],
) -> None:
    made = Sanitizer()
    with mock.patch.object(sanitizer, "scan", look):
        walked = made._walked(message, given_in, came_out)
        assert made.texts(message, given_in, came_out) == walked


@pytest.mark.parametrize(("text", "secret"), MUST_GO)
@pytest.mark.parametrize("where", ["message", "value", "key", "pair"])
def test_a_secret_goes_from_a_flat_mapping(text: str, secret: str, where: str) -> None:
    made = Sanitizer()
    texts = made.texts(
        text if where == "message" else "m",
        {"note": text if where == "value" else "x", "n": 1},
        {text if where == "key" else "k": ("note", text) if where == "pair" else 1},
    )
    assert secret not in "".join((texts[0], *(part.decode() for part in texts[1:])))


@pytest.mark.parametrize(
    "text",
    [
        "keyJhbGciOiJIUzI1NiJ9",
        "https://a@b",
        '{"password":"x"}',
        r'{"note":"{\"api_key\": \"x\"}"}',
        r'{"secret!\n\u001f":1}',
        r'{"note":"token\t=x"}',
        '[["X-Api-Key","x"]]',
        "run --db-password x",
        "<pwd>x</pwd>",
        "SID=1",
        "?Auth=x",
    ],
)
def test_what_may_be_a_credential_is_suspected(text: str) -> None:
    assert may_contain_secret(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "AuthBasic",
        "the token expired and the password was reset",
        '{"session":"x","author":"x","key":1,"cache_key":2,"passed":3,"side":"buy"}',
        '{"error":"invalid_token","status":401}',
        '{"token_count":5}',
        '["author","x"]',
        "https://bob.example/react@18",
        "task-17 asked for disk-4",
        "?page=2&author=3&sort_key=4",
    ],
)
def test_harmless_words_are_not_suspected(text: str) -> None:
    assert not may_contain_secret(text.encode())
