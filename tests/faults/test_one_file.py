"""Several processes, and programs of others, at the same file."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import breaks_with, finish, program, run, start
from support.service import read_lines

WRITE = program(
    """
    for number in range(int(sys.stdin.readline())):
        log.sovdev_log("info", "f", f"{os.getpid()}/{number}", None)
    """
)


@pytest.fixture
def entries_each(sized: Callable[..., int]) -> int:
    return sized(10_000, full=20_000, soak=50_000)


@breaks_with(
    rotation_has_no_lock="assert len(",
    file_loses_5_percent="len(written) ==",
)
def test_eight_processes_write_and_rotate_one_file(tmp_path: Path, entries_each: int) -> None:
    limits = {"LOG_FILE_MAX_BYTES": "1000000", "LOG_FILE_BACKUP_COUNT": "1000"}
    processes = [start(tmp_path, WRITE, limits) for _ in range(8)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{entries_each}\n")
        process.stdin.flush()
    for process in processes:
        _, err = finish(process, 110)
        assert (process.returncode, err) == (0, "")
    files = list(tmp_path.glob("dev.log*"))
    written = [entry["event_id"] for path in files for entry in read_lines(path)]
    assert len(written) == 8 * entries_each
    assert len(set(written)) == 8 * entries_each
    assert len(files) > 20
    # A process may finish the line that it began before it saw the rotation.
    assert max(path.stat().st_size for path in files) < 1_000_000 + 8 * 1000


def test_the_number_of_backups_holds(tmp_path: Path) -> None:
    limits = {"LOG_FILE_MAX_BYTES": "100000", "LOG_FILE_BACKUP_COUNT": "3"}
    processes = [start(tmp_path, WRITE, limits) for _ in range(4)]
    for process in processes:
        _, err = finish(process, 60, "3000\n")
        assert (process.returncode, err) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("dev.log*")) == [
        "dev.log",
        "dev.log.1",
        "dev.log.2",
        "dev.log.3",
    ]
    assert max(path.stat().st_size for path in tmp_path.glob("dev.log*")) < 110_000


@breaks_with(file_never_reopens="renamed >")
def test_a_file_that_others_rotate_is_reopened(tmp_path: Path) -> None:
    processes = [start(tmp_path, WRITE, LOG_FILE_MAX_BYTES="0") for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("20000\n")
        process.stdin.flush()
    done = threading.Event()
    renamed = 0

    def rename() -> None:
        nonlocal renamed
        while not done.wait(0.003):
            try:
                os.rename(tmp_path / "dev.log", tmp_path / f"dev.log.moved-{renamed:04d}")
                renamed += 1
            except FileNotFoundError:
                pass

    mover = threading.Thread(target=rename)
    mover.start()
    try:
        for process in processes:
            _, err = finish(process, 60)
            assert (process.returncode, err) == (0, "")
    finally:
        done.set()
        mover.join()
    written = [
        entry["event_id"] for path in tmp_path.glob("dev.log*") for entry in read_lines(path)
    ]
    assert (len(written), len(set(written))) == (40_000, 40_000)
    assert renamed > 5
    assert len(list(tmp_path.glob("dev.log*"))) > 5


@breaks_with(file_never_reopens='== ["kept"]')
def test_a_file_that_was_removed_is_made_again(tmp_path: Path) -> None:
    body = """
    log.sovdev_log("info", "f", "gone", None)
    os.remove("dev.log")
    time.sleep(0.002)  # longer than a removal may go unnoticed
    log.sovdev_log("info", "f", "kept", None)
    """
    run(tmp_path, program(body))
    assert [entry["message"] for entry in read_lines(tmp_path / "dev.log")] == ["kept"]
