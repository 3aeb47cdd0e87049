"""The system refuses what rotation needs: entries go on into the open file, and none is lost."""

import errno
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from support.failing_calls import FailingCalls
from support.processes import breaks_with, program, run
from support.service import read_lines

TESTS = str(Path(__file__).parents[1])
PREPARE = f"""
import errno
import textwrap
sys.path.insert(0, {TESTS!r})
from support.failing_calls import HALF, FailingCalls
failing = FailingCalls.of_this_program()
"""
SMALL = {"LOG_FILE_MAX_BYTES": "50000", "LOG_FILE_BACKUP_COUNT": "3"}
REFUSED = [
    ("open", errno.EMFILE, "Too many open files; close what the process no longer needs"),
    ("open", errno.EACCES, "Permission denied; give the process the right to write there"),
    ("open", errno.ENOSPC, "No space left on device; make room on the disk"),
    ("flock", errno.ENOLCK, "No locks available; this file system has no file locks"),
    ("flock", errno.EOPNOTSUPP, "Operation not supported; this file system has no file locks"),
    ("flock", errno.ENOSYS, "Function not implemented; this file system has no file locks"),
    ("rename", errno.EACCES, "Permission denied; give the process the right to write there"),
    ("rename", errno.EIO, "Input/output error; check LOG_FILE_PATH"),
]


def messages(folder: Path) -> list[str]:
    files = folder.glob("dev.log*")
    return [entry["message"] for path in files for entry in read_lines(path)]


@pytest.mark.parametrize(("call", "error", "said"), REFUSED)
def test_entries_go_on_over_the_limit_until_rotation_works_again(
    tmp_path: Path, failing: FailingCalls, call: str, error: int, said: str
) -> None:
    body = f"""
    from sovdev_logger._outputs import json_file
    def write(first, last):
        for number in range(first, last):
            log.sovdev_log("info", "f", f"m {{number}}", None)
    write(0, 10)
    rule = failing.fail({call!r}, os.getcwd(), {error})
    write(10, 2000)
    failing.stop()
    print(failing.seen(rule))
    json_file._RETRY_NS = 0
    write(2000, 2200)
    one = log.sovdev_status().outputs["file"]
    print(one.logged, one.delivered, one.dropped, one.healthy)
    """
    out, err = run(
        tmp_path, program(PREPARE) + textwrap.dedent(body), {**failing.variables(), **SMALL}
    )
    attempts, status = out.splitlines()
    assert status == "2200 2200 0 True"
    assert int(attempts) < 20  # once a second, not for each entry
    assert err.count("WARNING") == 1
    assert f"{tmp_path}/dev.log cannot be rotated: {said}" in err
    # All that was refused is in one file, which the later entries have rotated away.
    assert sorted(messages(tmp_path)) == sorted(f"m {number}" for number in range(2200))
    assert sorted(path.name for path in tmp_path.glob("dev.log*"))[:2] == ["dev.log", "dev.log.1"]


def test_a_file_that_cannot_be_opened_after_its_renaming_is_written_on(
    tmp_path: Path, failing: FailingCalls
) -> None:
    """Whoever renamed it: logrotate, or our own rotation."""
    body = """
    from sovdev_logger._outputs import json_file
    def write(first, last):
        for number in range(first, last):
            log.sovdev_log("info", "f", f"m {number}", None)
    write(0, 10)
    failing.fail("open", os.getcwd(), errno.EMFILE)
    os.rename("dev.log", "dev.log.moved")
    time.sleep(0.002)  # longer than a renaming may go unnoticed
    write(10, 500)
    failing.stop()
    json_file._RETRY_NS = 0
    time.sleep(0.002)
    write(500, 510)
    os.remove("dev.log")
    time.sleep(0.002)
    failing.fail("open", os.getcwd(), errno.EMFILE)
    write(510, 520)  # into a file without a name they would be lost without a word
    one = log.sovdev_status().outputs["file"]
    print(one.logged, one.delivered, one.dropped, one.healthy)
    """
    out, err = run(tmp_path, program(PREPARE) + textwrap.dedent(body), failing.variables())
    assert out == "520 510 10 False\n"
    assert "dev.log cannot be opened anew: Too many open files" in err
    assert sorted(messages(tmp_path)) == sorted(f"m {number}" for number in range(500))


ONE_CALL_FAILS = """
from sovdev_logger._outputs.json_file import JsonFileHandler
from sovdev_logger._settings.service import FileSettings
from support.entries import make_entry
import json, pathlib

def life(folder, call, step_ns):
    handler = JsonFileHandler(FileSettings(folder / "app.log", 3000, 1000), lambda _: None)
    for number in range(ENTRIES):
        may_be_lost = call == "write" or handler._descriptor == -1 or handler.status().dropped
        handler.submit(make_entry(message=str(number), time_ns=10**18 + number * step_ns))
        assert may_be_lost or not handler.status().dropped, call
        if number == ENTRIES // 2:
            handler.close()
    handler.close()
    return handler.status()

def readable(folder):
    found = []
    for path in folder.glob("app.log*"):
        for line in path.read_bytes().splitlines():
            try: found.append(json.loads(line)["message"])
            except ValueError: pass
    return found

def check(folder, call, error, number, step_ns):
    folder.mkdir()
    rule = failing.fail(call, folder, error, first=number, last=number)
    status = life(folder, call, step_ns)
    failing.stop()
    found = readable(folder)
    what = (call, error, number, step_ns, status.dropped_by_reason)
    assert status.logged == ENTRIES == status.delivered + status.dropped, what
    assert len(found) == len(set(found)) == status.delivered, (what, len(found))
    assert status.dropped <= 1, what
    for path in folder.iterdir(): path.unlink()
    folder.rmdir()
    return failing.failed(rule)

checked = 0
for call, errors in CALLS.items():
    for error in errors:
        for step_ns in (10, 2_000_000):
            number = 1
            while check(pathlib.Path(os.getcwd(), "app"), call, error, number, step_ns):
                number, checked = number + 1, checked + 1
print(checked)
"""


@breaks_with(file_is_closed_before_the_next_is_open="AssertionError: open")
def test_the_ledger_equals_the_file_whichever_call_fails(
    tmp_path: Path, failing: FailingCalls, sized: Callable[..., int]
) -> None:
    """Each call of a file's life fails once: at its opening, at a rotation, at its end."""
    entries = sized(18, full=60)
    calls = {
        "open": [errno.EMFILE, errno.ENOSPC],
        "stat": [errno.EIO, errno.ESTALE],
        "write": [errno.EIO, errno.ENOSPC, 0],
        "read": [errno.EIO],
        "rename": [errno.EACCES],
        "flock": [errno.ENOLCK],
        "close": [errno.EIO],
    }
    body = f"ENTRIES = {entries}\nCALLS = {calls}\n{ONE_CALL_FAILS}"
    out, _ = run(tmp_path, program(PREPARE) + body, failing.variables())
    assert int(out) > 100
