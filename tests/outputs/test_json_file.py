"""The rotating JSON file."""

import errno
import logging
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pythonjsonlogger.core import BaseJsonFormatter

from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.stdlib_records import record_from_entry
from sovdev_logger._outputs import json_file, rotation
from sovdev_logger._outputs.json_file import EntryFormatter, JsonFileHandler
from sovdev_logger._runtime import log_files
from sovdev_logger._settings.service import FileSettings
from support.entries import make_entry
from support.service import read_lines

MILLISECOND_NS = 1_000_000


class Log:
    """A handler on a file, with entries that are a millisecond apart unless said otherwise."""

    def __init__(
        self, path: Path, max_bytes: int = 10**9, backups: int = 5, **options: object
    ) -> None:
        self.path = path
        settings = FileSettings(path, max_bytes, backups)
        self.handler = JsonFileHandler(settings, lambda _: None, **options)  # type: ignore[arg-type]
        self.now_ns = 10**18

    def write(self, message: str, step_ns: int = 2 * MILLISECOND_NS) -> Entry:
        self.now_ns += step_ns
        entry = make_entry(message=message, time_ns=self.now_ns)
        self.handler.submit(entry)
        return entry

    def messages(self, path: Path | None = None) -> list[str]:
        return [line["message"] for line in read_lines(path or self.path)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path / "logs" / "app.log")
    yield made
    made.handler.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Log]:
    """A file that holds three entries, with two backups."""
    size = len(make_entry(message="number 0").line())
    made = Log(tmp_path / "app.log", max_bytes=3 * size, backups=2)
    yield made
    made.handler.close()


def test_an_entry_is_one_line_and_folders_are_made(log: Log) -> None:
    entry = log.write("first")
    assert log.path.read_bytes() == entry.line()


def test_nothing_is_opened_before_the_first_entry(log: Log) -> None:
    assert not log.path.parent.exists()


def test_entries_are_appended_to_what_is_there(log: Log) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(make_entry(message="earlier").line())
    log.write("later")
    assert log.messages() == ["earlier", "later"]


def test_the_formatter_is_a_python_json_logger_formatter(log: Log) -> None:
    assert isinstance(log.handler.formatter, BaseJsonFormatter)
    entry = make_entry()
    assert log.handler.formatter.format(record_from_entry(entry)).encode() + b"\n" == entry.line()


def test_the_formatter_serves_records_without_an_entry() -> None:
    record = logging.makeLogRecord({"msg": "plain %s", "args": ("text",), "order": 17})
    assert EntryFormatter("%(message)s").format(record) == '{"message":"plain text","order":17}'


def test_another_formatter_is_respected(log: Log) -> None:
    log.handler.setFormatter(logging.Formatter("%(levelname)s %(funcName)s %(message)s"))
    log.write("plain text")
    assert log.path.read_text() == "INFO place plain text\n"


def test_a_filter_is_respected(log: Log) -> None:
    log.handler.addFilter(lambda record: record.getMessage() != "not this")
    log.write("not this")
    log.write("this")
    assert log.messages() == ["this"]


def test_the_file_rotates_before_it_passes_its_limit(small: Log) -> None:
    for number in range(8):
        small.write(f"number {number}")
    assert small.messages() == ["number 6", "number 7"]
    assert small.messages(small.path.with_name("app.log.1")) == ["number 3", "number 4", "number 5"]
    assert small.messages(small.path.with_name("app.log.2")) == ["number 0", "number 1", "number 2"]


def test_what_exceeds_the_number_of_backups_goes(small: Log) -> None:
    for number in range(10):
        small.write(f"number {number}")
    assert not small.path.with_name("app.log.3").exists()
    assert small.messages(small.path.with_name("app.log.2"))[0] == "number 3"


@pytest.mark.parametrize(("limit", "backups"), [(0, 5), (100, 0)])
def test_a_limit_or_count_of_0_switches_rotation_off(
    tmp_path: Path, limit: int, backups: int
) -> None:
    log = Log(tmp_path / "app.log", limit, backups)
    for number in range(5):
        log.write(f"number {number}")
    log.handler.close()
    assert len(log.messages()) == 5
    assert not list(tmp_path.glob("app.log.*"))


def test_an_interrupted_shift_of_backups_costs_none(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    for number in (1, 2, 4, 5):  # a crash came after .3 was renamed to .4
        path.with_name(f"app.log.{number}").write_text(f"was {number}")
    path.write_text("was current")
    rotation.shift_backups(path, 5)
    texts = [path.with_name(f"app.log.{number}").read_text() for number in range(1, 6)]
    assert texts == ["was current", "was 1", "was 2", "was 4", "was 5"]


def test_an_entry_larger_than_the_limit_has_a_file_of_its_own(tmp_path: Path) -> None:
    log = Log(tmp_path / "app.log", max_bytes=100, backups=5)
    log.write("one")
    log.write("two")
    log.handler.close()
    assert (log.messages(), log.messages(tmp_path / "app.log.1")) == (["two"], ["one"])


@pytest.mark.parametrize("recreate", [False, True])
def test_a_file_that_was_renamed_is_reopened(log: Log, recreate: bool) -> None:
    log.write("before")
    moved = log.path.with_name("moved")
    log.path.rename(moved)
    if recreate:
        log.path.touch()
    log.write("after")
    assert (log.messages(moved), log.messages()) == (["before"], ["after"])


def test_what_is_written_before_a_rename_is_noticed_is_in_the_renamed_file(log: Log) -> None:
    log.write("before")
    moved = log.path.with_name("moved")
    log.path.rename(moved)
    log.write("at once", step_ns=10)
    log.write("later")
    assert (log.messages(moved), log.messages()) == (["before", "at once"], ["later"])


def test_a_clock_that_is_set_back_delays_nothing(log: Log) -> None:
    log.write("before")
    log.path.rename(log.path.with_name("moved"))
    log.write("after", step_ns=-(10**12))
    assert log.messages() == ["after"]


def test_a_removed_folder_is_made_again(log: Log) -> None:
    log.write("before")
    log.path.unlink()
    log.path.parent.rmdir()
    log.write("after")
    assert log.messages() == ["after"]


def test_a_truncated_file_is_written_on_from_its_start(log: Log) -> None:
    log.write("before")
    os.truncate(log.path, 0)
    log.write("after")
    assert log.messages() == ["after"]


def test_a_closed_handler_opens_again_with_the_next_entry(log: Log) -> None:
    log.write("before")
    log.handler.flush()
    log.handler.close()
    log.write("after")
    assert log.messages() == ["before", "after"]


def test_a_descriptor_that_became_somebody_elses_is_left_alone(log: Log, tmp_path: Path) -> None:
    log.write("before")
    number = log.handler._descriptor
    low = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    other = os.dup2(low, number)  # closes ours, as a program that turns into a daemon does
    os.close(low)
    try:
        log.write("after")
        assert log.messages() == ["before", "after"]
        assert (tmp_path / "other").read_bytes() == b""
        os.fstat(other)
    finally:
        os.close(other)


def test_a_closed_descriptor_costs_no_line(log: Log) -> None:
    log.write("before")
    os.close(log.handler._descriptor)
    log.write("at once", step_ns=1)
    log.write("then", step_ns=1)
    assert log.messages() == ["before", "at once", "then"]
    assert log.handler.status().dropped == 0


def test_close_leaves_a_number_that_became_somebody_elses(log: Log, tmp_path: Path) -> None:
    log.write("before")
    number = log.handler._descriptor
    with (tmp_path / "other").open("wb") as other:
        os.dup2(other.fileno(), number)
    try:
        log.handler.close()
        os.write(number, b"still open")
    finally:
        os.close(number)


def test_a_bad_descriptor_costs_nothing_after_the_next_look(log: Log) -> None:
    log.write("before")
    os.close(log.handler._descriptor)
    log.write("after")
    assert log.messages() == ["before", "after"]


def test_a_full_disk_is_counted_said_once_and_recovers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = True

    def write(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)

    log = Log(tmp_path / "app.log", write=write)
    for _ in range(3):
        log.write("lost")
    full = False
    log.write("kept")
    log.handler.close()
    assert log.messages() == ["kept"]
    assert log.handler.status().dropped == 3
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert "make room on the disk" in said


def test_a_line_that_a_full_disk_tore_does_not_tear_the_next(tmp_path: Path) -> None:
    parts = [10, 0]

    def write(descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data[: parts.pop(0)] if parts else data)

    log = Log(tmp_path / "app.log", write=write)
    log.write("torn")
    log.write("whole")
    log.write("next")
    log.handler.close()
    lines = log.path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    assert len(lines[0]) == 11
    assert b"whole" in lines[1]
    assert b"next" in lines[2]
    assert log.handler.status().dropped == 1


HALF = b'{"timestamp":"2026-'


def messages_after_half(path: Path) -> list[str]:
    half, _, rest = path.read_bytes().partition(b"\n")
    assert half == HALF
    path.write_bytes(rest)
    return [line["message"] for line in read_lines(path)]


def test_half_a_line_that_a_crash_left_is_ended_first(log: Log) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(HALF)
    log.write("first")
    log.write("second")
    assert messages_after_half(log.path) == ["first", "second"]


def test_half_a_line_that_another_process_leaves_is_ended_first(log: Log) -> None:
    log.write("before")
    with log.path.open("ab") as others:
        others.write(HALF)
    log.write("after")
    log.write("next")
    before, half, *_ = log.path.read_bytes().splitlines(keepends=True)
    assert (b"before" in before, half) == (True, HALF + b"\n")
    log.path.write_bytes(log.path.read_bytes().replace(half, b""))
    assert log.messages() == ["before", "after", "next"]


def test_what_is_written_piece_by_piece_is_waited_for_once(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    look = log_files.ends_inside_line

    def ends_inside_line(*arguments: Any, waits: bool) -> bool | None:
        asked.append(waits)
        return look(*arguments, waits=waits)

    monkeypatch.setattr(json_file, "ends_inside_line", ends_inside_line)
    log.write("0")
    for number in range(1, 4):
        with log.path.open("ab") as others:
            others.write(b".")
        log.write(str(number))
    assert asked == [True, False, False]
    lines = log.path.read_bytes().split(b"\n")
    assert [line == b"." for line in lines] == [False, True, False, True, False, True, False, False]


@pytest.mark.parametrize("time_ns", [0, 500_000, -500_000])
def test_an_entry_of_the_first_moment_of_1970_is_written(log: Log, time_ns: int) -> None:
    log.handler.submit(make_entry(message="old", time_ns=time_ns))
    assert log.messages() == ["old"]


def test_half_a_line_stays_in_the_file_that_was_renamed(tmp_path: Path) -> None:
    parts = [10, 0]

    def write(descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data[: parts.pop(0)] if parts else data)

    log = Log(tmp_path / "app.log", write=write)
    log.write("torn")
    log.path.rename(tmp_path / "moved")
    log.write("whole")
    log.handler.close()
    assert log.messages() == ["whole"]
    os.truncate(log.path, 0)  # copied and truncated, as logrotate does
    log.write("later")
    log.handler.close()
    assert log.messages() == ["later"]


def test_a_file_that_cannot_be_read_gets_an_empty_line_rather_than_two_entries_in_one(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(HALF)
    monkeypatch.setattr(log_files, "_open_for_reading", refuse_to_open)
    log.write("first")
    log.write("second")
    assert messages_after_half(log.path) == ["first", "second"]


def refuse_to_open(*_: object) -> int:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_what_another_process_wrote_between_two_parts_of_a_line_does_not_cost_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.log"
    parts = [10]

    def write(descriptor: int, data: bytes) -> int:
        written = os.write(descriptor, data[: parts[0]] if parts else data)
        if parts:
            parts.clear()
            with path.open("ab") as others:
                others.write(HALF + b"\n")
        return written

    log = Log(path, write=write)
    log.write("in two parts")
    log.write("next")
    log.handler.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[-2:]))
    assert log.messages() == ["in two parts", "next"]


def test_a_signal_handlers_last_words_begin_on_a_line_of_their_own(tmp_path: Path) -> None:
    signals = ["one"]

    def write(descriptor: int, data: bytes) -> int:
        if b"interrupted" in data and signals:
            signals.clear()
            written = os.write(descriptor, data[:10])
            interrupted.write("last words")
            interrupted.handler.write_parked()
            return written
        return os.write(descriptor, data)

    interrupted = Log(tmp_path / "app.log", write=write)
    interrupted.write("interrupted")
    interrupted.write("next")
    interrupted.handler.close()
    half, words, rest, *whole = interrupted.path.read_bytes().splitlines(keepends=True)
    interrupted.path.write_bytes(b"".join([words, *whole]))
    assert (len(half), rest.endswith(b"}\n")) == (11, True)
    assert interrupted.messages() == ["last words", "interrupted", "next"]


def test_a_short_write_is_finished(tmp_path: Path) -> None:
    parts = [10]

    def write(descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data[: parts.pop(0)] if parts else data)

    log = Log(tmp_path / "app.log", write=write)
    log.write("in two parts")
    log.handler.close()
    assert log.messages() == ["in two parts"]


def test_the_real_full_device(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(Path("/dev/full"), max_bytes=100)
    log.write("lost")
    log.write("lost")
    log.handler.close()
    assert log.handler.status().dropped == 2
    assert "make room on the disk" in capsys.readouterr().err
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_device_is_never_renamed_away() -> None:
    log = Log(Path("/dev/null"), max_bytes=10)
    for _ in range(3):
        log.write("gone")
    log.handler.close()
    assert log.handler.status().dropped == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert not Path("/dev/null.1").exists()


def test_a_pipe_that_nobody_reads_does_not_hold_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_file, "MAX_WAIT_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe")
    log = Log(tmp_path / "pipe")
    log.write("nobody reads")
    log.handler.close()
    assert log.handler.status().dropped == 1


def test_a_folder_where_the_file_should_be_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path)
    log.write("lost")
    log.handler.close()
    assert log.handler.status().dropped == 1
    assert "check LOG_FILE_PATH" in capsys.readouterr().err


def test_missing_rights_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    log = Log(tmp_path / "app.log", write=refuse)
    log.write("lost")
    log.handler.close()
    assert "give the process the right to write there" in capsys.readouterr().err


def test_threads_and_rotation_lose_and_tear_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "app.log", max_bytes=20_000, backups=100)

    def work(name: int) -> None:
        for number in range(200):
            log.handler.submit(make_entry(message=f"{name}/{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    log.handler.close()
    files = list(tmp_path.glob("app.log*"))
    written = [message for path in files for message in log.messages(path)]
    assert len(files) > 10
    assert sorted(written) == sorted(f"{n}/{i}" for n in range(8) for i in range(200))


def test_a_process_that_hangs_while_it_rotates_stops_nobody(small: Log) -> None:
    for number in range(3):
        small.write(f"number {number}")
    with rotation.rotation_lock(small.path) as is_held:
        assert is_held
        for number in range(3, 6):
            small.write(f"number {number}")
    small.write("rotated", step_ns=10**9)
    assert small.messages() == ["rotated"]
    rotated = small.messages(small.path.with_name("app.log.1"))
    assert rotated == [f"number {number}" for number in range(6)]


def test_a_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with rotation.rotation_lock(path):
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with rotation.rotation_lock(path) as is_held:
            assert is_held
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_child_does_not_unlock_for_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with rotation.rotation_lock(path):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with rotation.rotation_lock(path) as is_held:
            assert not is_held


def test_a_handler_that_ends_the_program_has_its_last_words_in_the_file(
    tmp_path: Path,
) -> None:
    def write(descriptor: int, data: bytes) -> int:
        if b"interrupted" in data:
            interrupted.write("last words")
            interrupted.handler.write_parked()
            raise SystemExit
        return os.write(descriptor, data)

    interrupted = Log(tmp_path / "app.log", write=write)
    with pytest.raises(SystemExit):
        interrupted.write("interrupted")
    interrupted.handler.close()
    assert interrupted.messages() == ["last words"]


def test_without_file_locks_rotation_still_works(
    small: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "CAN_LOCK", False)
    for number in range(4):
        small.write(f"number {number}")
    assert small.messages() == ["number 3"]


@pytest.mark.parametrize("variable", ["LOG_FILE_PATH", "ERROR_LOG_PATH"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room on the disk (see df and df -i), or set {}."),
        (errno.EACCES, "give the process the right to write there, or set {}."),
        (errno.EISDIR, "check {}."),
    ],
)
def test_a_warning_names_the_file_its_variable_and_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], variable: str, number: int, advice: str
) -> None:
    settings = FileSettings(tmp_path / "app.log", 0, 0, variable)
    handler = JsonFileHandler(settings, lambda _: None)
    error = OSError(number, os.strerror(number))
    handler.report(error)
    handler.close()
    expected = f"cannot write {tmp_path}/app.log: {error.strerror}; {advice.format(variable)}"
    assert expected in capsys.readouterr().err
