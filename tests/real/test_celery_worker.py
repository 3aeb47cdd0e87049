"""The worker of the example, started as its docstring says, with default settings."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import breaks_with, mutation, unmeasured
from support.service import read_lines

EXAMPLE = Path(__file__).parents[2] / "examples" / "celery" / "tasks.py"
WAIT_SECONDS = 60


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Worker:
    """``celery -A tasks worker`` in a folder of its own, with what it prints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tmp").mkdir(parents=True)
        shutil.copy(EXAMPLE, folder / "tasks.py")
        self.variables = {**unmeasured(), "TMPDIR": str(folder / "tmp")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        (self.folder / "worker.py").write_text(
            f"{mutation()}import sys\nfrom celery.__main__ import main\nsys.exit(main())\n"
        )
        with (self.folder / "printed.txt").open("wb") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "worker.py", "-A", "tasks", "worker", *arguments],
                env=self.variables,
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=printed,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return (self.folder / "printed.txt").read_text(encoding="utf-8")

    @property
    def log(self) -> str:
        path = self.folder / "logs" / "dev.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def messages(self) -> list[str]:
        return [entry["message"] for entry in read_lines(self.folder / "logs" / "dev.log")]

    def send(self, *arguments: str) -> None:
        command = [sys.executable, *arguments]
        subprocess.run(command, env=self.variables, cwd=self.folder, timeout=60, check=True)

    def stop(self) -> None:
        """End it warmly, and all of its processes whatever happens."""
        assert self.process is not None
        try:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(WAIT_SECONDS)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


FULL = pytest.mark.sized(least="full")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="prefork"),
        pytest.param(["--pool=threads"], id="threads", marks=FULL),
        pytest.param(["--pool=solo", "--loglevel=DEBUG"], id="debug", marks=FULL),
        pytest.param(["--logfile=celery.log"], id="logfile", marks=FULL),
    ],
)
@breaks_with(
    the_stderr_of_celery_comes_back="len(messages) <=",
    arguments_of_tasks_are_logged="not in worker.log",
)
def test_two_tasks_are_a_dozen_entries(tmp_path: Path, arguments: list[str]) -> None:
    worker = Worker(tmp_path / "worker")
    # Before the worker starts: it ends by a file of the broker that is not written to its end yet.
    worker.send("tasks.py")
    worker.send("-c", "import tasks; tasks.app.send_task('tasks.unknown', ('t0p-s3cret',))")
    worker.start(*arguments)
    try:
        for told in ("Task tasks.pay succeeded", "Task tasks.pay failed", "tasks.unknown"):
            wait_until(lambda: told in worker.log)  # noqa: B023
    finally:
        worker.stop()
    messages = worker.messages
    assert len(messages) <= 12
    told_of = Counter(message.partition("[")[0] for message in messages)
    assert told_of["Paying"] == told_of["Task tasks.pay"] == 2  # the latter are received
    assert told_of["Task tasks.pay succeeded"] == told_of["Task tasks.pay failed"] == 1
    assert '"args' not in worker.log
    assert "s3cret" not in worker.log
    assert len(worker.log) < 12_000
    assert len(worker.printed) < 20_000
    assert worker.printed.count("  Paying [") == 2
