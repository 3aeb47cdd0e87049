"""The library's own warnings: printed once, and never in the way."""

import io
import os
import sys
import time

import pytest

from sovdev_logger._runtime import selflog


def test_a_problem_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        selflog.warn_once("disk", "the disk is full;\n make room.")
    selflog.warn_once("other", "something else; fix it.")
    assert capsys.readouterr().err == (
        "[sovdev-logger] WARNING: the disk is full; make room.\n"
        "[sovdev-logger] WARNING: something else; fix it.\n"
    )


def test_a_new_problem_is_printed_after_any_number_of_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(3000):
        selflog.warn_once(f"{number}", f"problem {number}; fix it.")
        selflog.warn_throttled(f"{number}", f"recurring problem {number}; fix it.")
    capsys.readouterr()
    selflog.warn_once("disk", "cannot write; make room.")
    selflog.warn_throttled("queue", "5 entries are lost; make it larger.")
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert len(selflog._kinds) == len(selflog._quiet_until) == selflog._MAX_KINDS


def test_one_kind_of_problem_neither_floods_stderr_nor_goes_mute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for number in range(2000):
        selflog.warn_once(f"level:{number}", f"unknown level {number}; use another.")
    selflog.warn_once("disk", "the disk is full; make room.")
    *levels, disk = capsys.readouterr().err.splitlines()
    assert len(levels) == 20
    assert levels[-1].endswith("unknown level 19; use another.")
    assert disk.endswith("the disk is full; make room.")
    now += selflog.REPEAT_SECONDS
    for number in range(2000, 4000):
        selflog.warn_once(f"level:{number}", f"unknown level {number}; use another.")
    assert capsys.readouterr().err.splitlines() == [
        "[sovdev-logger] WARNING: unknown level 2000; use another. This kind of problem occurred "
        "1981 more times since the last warning."
    ]


@pytest.mark.parametrize("stderr", [None, object()])
def test_a_stderr_that_is_none_or_no_stream(
    monkeypatch: pytest.MonkeyPatch, stderr: object
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    selflog.warn("nobody hears this")


def test_a_closed_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    selflog.warn("nobody hears this")


def test_an_ascii_stderr_gets_other_characters_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    selflog.warn("the order of Bjørn")
    assert raw.getvalue().endswith(b"WARNING: the order of Bj\\xf8rn\n")


class Busy(io.StringIO):
    def write(self, text: str) -> int:
        raise RuntimeError("reentrant call")


def test_a_busy_stderr_is_written_past(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Busy())
    selflog.warn("from a signal")
    assert "from a signal" in capfd.readouterr().err


def test_a_busy_stderr_whose_descriptor_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(sys, "stderr", Busy())
    monkeypatch.setattr(os, "write", fail)
    selflog.warn("nobody hears this")


def test_what_changes_is_said_again_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for number in range(5):
        selflog.warn_throttled("key", f"{number} are late; wait.")
        now += 20
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in said] == ["0", "3"]
