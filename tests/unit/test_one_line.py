"""What leaves for stderr, a terminal or a file of lines: one line each, without controls."""

import io
import sys
import traceback
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._outputs.console import place, render
from sovdev_logger._profiles.runtime import print_record
from sovdev_logger._runtime import selflog
from sovdev_logger._safety.one_line import notice_line, one_line, traceback_lines
from support.entries import make_entry

DANGEROUS = [
    *map(chr, [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    *"\u061c\u200e\u200f\u2028\u2029\ufeff\ud800\udbff\udc00\udfff",
]
ANY_TEXT = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(DANGEROUS),
        st.sampled_from(
            ["\r\n", "\n12:00:00.000 | INFO | a:b:1 | x", "\n[sovdev-logger] WARNING: x"]
        ),
    ),
    max_size=8,
).map("".join)
UNSAFE_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


def is_clean(line: str) -> bool:
    """Return whether a line has no control, no separator of lines and no lone surrogate."""
    return not any(
        unicodedata.category(character) in UNSAFE_CATEGORIES or character in DANGEROUS
        for character in line
    )


def test_each_dangerous_character_has_a_visible_escape() -> None:
    escapes = [one_line(character) for character in DANGEROUS]
    assert all(escape.isascii() and escape.isprintable() for escape in escapes)
    assert len(set(escapes)) == len(DANGEROUS)


def test_letters_of_other_scripts_stay() -> None:
    assert one_line("TIL OPPHØR 日本 🎉") == "TIL OPPHØR 日本 🎉"


@given(ANY_TEXT)
def test_any_text_is_one_line_on_the_console(text: str) -> None:
    entry = make_entry(message=text, function_name=text, peer_service=text, trace_id=text)
    line = render(entry, place(entry), colour=False)
    assert line.endswith("\n")
    assert is_clean(line[:-1])


@given(ANY_TEXT)
def test_any_text_is_one_line_in_what_we_say_on_stderr(text: str) -> None:
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        selflog.warn(text)
        print_record("CRITICAL", text, None)
    *lines, rest = written.getvalue().split("\n")
    assert rest == ""
    assert [line.split(" ")[1] for line in lines] == ["WARNING:", "|"]
    assert all(map(is_clean, lines))


@given(ANY_TEXT, ANY_TEXT)
def test_no_line_of_a_traceback_passes_for_an_entry(text: str, note: str) -> None:
    error = ValueError(text)
    error.add_note(note)
    error.__cause__ = ExceptionGroup(text, [KeyError(text), OSError(note)])
    shown = traceback_lines("".join(traceback.format_exception(error)))
    for line in shown.split("\n"):
        assert is_clean(line)
        assert not line.startswith(("[", "1"))


def test_an_ordinary_traceback_is_unchanged() -> None:
    try:
        try:
            int("twelve")
        except ValueError as error:
            raise ExceptionGroup("two", [error, KeyError("b")]) from error
    except ExceptionGroup as error:
        text = "".join(traceback.format_exception(error))
    assert traceback_lines(text) == text
    syntax = "".join(traceback.format_exception(SyntaxError("bad", ("f.py", 1, 2, "a b", 1, 3))))
    assert traceback_lines(syntax) == syntax


SECRETS = [
    ("cannot resolve Bearer abcdefgh12345678", "Bearer [REDACTED]"),
    ("no answer from https://user:hunter2secret@host:4318/v1", "https://user:[REDACTED]@host:4318"),
    ("no answer from https://host/v1?api_key=hunter2secret", "?api_key=[REDACTED]"),
    ('HTTP 401: {"password": "hunter2secret"}', '"password": "[REDACTED]"'),
]


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_a_warning_is_redacted(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    selflog.warn(text)
    print_record("CRITICAL", text, None)
    warned, recorded = capsys.readouterr().err.splitlines()
    assert shown in warned
    assert shown in recorded
    assert shown in notice_line(text)


def test_a_credential_is_redacted_before_the_cut() -> None:
    text = f"{'x' * 90} https://bob:hunter2secret@host/v1 {'y ' * 10_000}"
    for limit in range(80, 140):
        line = notice_line(text, limit)
        assert len(line) <= limit
        assert "hunter" not in line
