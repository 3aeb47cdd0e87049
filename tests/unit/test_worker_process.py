"""Whether a process is a worker, by what Linux says of it."""

from pathlib import Path

import pytest

from sovdev_logger._runtime import worker_process
from sovdev_logger._runtime.worker_process import is_worker_process

EXECUTED, FORKED = "4194304", "4194368"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (f"17 (python) S 1 17 17 0 -1 {FORKED} 905 0", True),
        (f"17 (python) S 1 17 17 0 -1 {EXECUTED} 905 0", False),
        (f"17 (a) S (b 1) S 1 17 17 0 -1 {FORKED} 905 0", True),
        ("17 (python) S", False),
        ("17 (python) S 1 17 17 0 -1 ? 905", False),
        (None, False),
    ],
)
def test_a_fork_that_runs_no_other_program_is_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str | None, expected: bool
) -> None:
    file = tmp_path / "stat"
    if status is not None:
        file.write_text(status)
    monkeypatch.setattr(worker_process, "_STATUS", file)
    assert is_worker_process() is expected
