"""An exception in 350 characters."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._safety.stacktrace import exception_message, exception_text


class OwnError(Exception):
    pass


def fail(depth: int = 0, error: BaseException | None = None) -> None:
    if depth:
        fail(depth - 1, error)
    raise error or OwnError("no answer")


def caught(depth: int = 0, error: BaseException | None = None) -> BaseException:
    try:
        fail(depth, error)
    except BaseException as found:
        return found
    raise AssertionError


def test_the_exception_line_comes_first_then_the_innermost_frames() -> None:
    lines = exception_text(caught(2, ValueError("odd"))).splitlines()
    assert lines[0] == "ValueError: odd"
    assert re.fullmatch(r"  at fail \(test_stacktrace\.py:\d+\)", lines[1])
    assert re.fullmatch(r"  at caught \(test_stacktrace\.py:\d+\)", lines[4])
    assert len(lines) == 5


def test_a_class_of_ones_own_has_its_module() -> None:
    assert exception_text(caught()).splitlines()[0].endswith("test_stacktrace.OwnError: no answer")


def test_outer_frames_are_left_out_with_a_mark() -> None:
    text = exception_text(caught(50))
    shown = text.count("  at ")
    assert shown >= 3
    assert text.splitlines()[-1] == f"  … {52 - shown} more frames"
    assert len(text) <= 350


def test_causes_are_named() -> None:
    try:
        try:
            try:
                raise ConnectionError("refused")
            except ConnectionError as error:
                raise OSError("unreachable") from error
        except OSError:
            raise LookupError("HTTP 500")  # noqa: B904
    except LookupError as error:
        lines = exception_text(error).splitlines()
    assert lines[:3] == [
        "LookupError: HTTP 500",
        "  caused by OSError: unreachable",
        "  caused by ConnectionError: refused",
    ]


def test_a_suppressed_context_is_no_cause() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None
    except ValueError as error:
        assert "caused by" not in exception_text(error)


def test_groups_name_their_members() -> None:
    group = ExceptionGroup("many", [ValueError(str(number)) for number in range(5)])
    lines = exception_text(group).splitlines()
    assert lines[0] == "ExceptionGroup: many (5 sub-exceptions)"
    assert lines[1:] == [
        "  with ValueError: 0",
        "  with ValueError: 1",
        "  with ValueError: 2",
        "  with 2 more exceptions",
    ]


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    assert exception_text(first).count("caused by") == 1


def test_a_long_message_leaves_room_for_a_frame() -> None:
    text = exception_text(caught(3, ValueError("x" * 5000)))
    assert len(text) <= 350
    assert "…" in text.splitlines()[0]
    assert "  at fail" in text


def test_a_secret_is_redacted_before_the_cut() -> None:
    error = caught(0, ValueError("y" * 160 + " password=hunter2hunter2hunter2"))
    assert "hunter" not in Sanitizer().exception(error)[1]
    assert "hunter" in Sanitizer(redact=False).exception(error)[0]


def test_a_message_cannot_forge_a_line() -> None:
    text = exception_text(ValueError("one\n  at evil (x.py:1)\r\x1b[31m\u2028two"))
    assert text.splitlines() == ["ValueError: one   at evil (x.py:1)  [31m two"]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Wrong(Exception):
    def __str__(self) -> str:
        return 17  # type: ignore[return-value]  # noqa: PLE0307


@pytest.mark.parametrize("kind", [Mute, Wrong])
def test_an_exception_that_cannot_say_what_it_is(kind: type[Exception]) -> None:
    assert exception_message(kind()) == f"[unserialisable {kind.__name__}]"
    assert f"{kind.__name__}: [unserialisable" in exception_text(kind())


def test_an_exception_without_a_message_is_its_class() -> None:
    assert exception_text(ValueError()) == "ValueError"


def test_a_very_deep_traceback() -> None:
    error = caught(0)
    trace = error.__traceback__
    assert trace is not None
    for _ in range(100_000):
        trace = type(trace)(trace, trace.tb_frame, 1, 1)
    error.__traceback__ = trace
    text = exception_text(error)
    assert len(text) <= 350
    assert "more frames" in text


@given(st.text(), st.integers(20, 400))
def test_the_bound_always_holds(message: str, limit: int) -> None:
    error = ValueError(message)
    error.__cause__ = KeyError(message)
    assert len(exception_text(error, limit)) <= limit
