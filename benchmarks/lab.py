"""Where peers are measured: each in a process of its own, with a receiver in another."""

import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 20260131


class Worker:
    """One peer's process, asked for one task at a time."""

    def __init__(self, name: str, folder: Path, endpoint: str, core: str, env: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), name, str(folder), endpoint, core],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._name = name

    def do(self, task: str, **options: Any) -> Any:
        """Return what the task measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, **options}) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self._name} ended early; see stderr")
        return json.loads(line)

    def end(self) -> None:
        """Kill it: what it still holds is of no interest."""
        self._process.kill()
        self._process.wait()


class Lab:
    """The peers of one part, at work by turns.

    Args:
        names: The peers.
        endpoint: A receiver's URL where the peers shall send OTLP too.
        pinned: Keep all of them on one core, on systems that can.
        variables: More environment variables.
    """

    def __init__(
        self,
        names: list[str],
        *,
        endpoint: str = "",
        pinned: bool = False,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.names = names
        self._endpoint = endpoint
        self._core = one_core() if pinned else ""
        self._variables = variables or {}
        self._order = random.Random(SEED)
        self._open = ExitStack()
        self.workers: dict[str, Worker] = {}

    def __enter__(self) -> "Lab":
        root = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        for number, name in enumerate(self.names):
            folder = root / str(number)
            folder.mkdir()
            endpoint = endpoint_of(self._endpoint, name)
            env = environment(name, folder, endpoint) | self._variables
            worker = Worker(name, folder, endpoint, self._core, env)
            self._open.callback(worker.end)
            self.workers[name] = worker
        for worker in self.workers.values():
            worker.answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def turns(self, rounds: int, task: str, **options: Any) -> dict[str, list[Any]]:
        """Return what each peer measured in each round; the order is new in every round.

        A round before the first one warms up and is not returned.
        """
        names = list(self.names)
        found: dict[str, list[Any]] = {name: [] for name in names}
        for _ in range(rounds + 1):
            self._order.shuffle(names)
            for name in names:
                found[name].append(self.workers[name].do(task, **options))
        return {name: values[1:] for name, values in found.items()}


def environment(name: str, folder: Path, endpoint: str) -> dict[str, str]:
    """Return the environment of a peer; variables choose this library's outputs."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "SOVDEV_", "LOG_", "LOGFIRE_"))
    }
    if name != "sovdev":
        return kept
    kept |= {
        "LOG_TO_CONSOLE": "false",
        "LOG_FILE_PATH": str(folder / "sovdev.log"),
        "ERROR_LOG_PATH": str(folder / "error.log"),
    }
    if endpoint:
        kept |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}
    return kept


def endpoint_of(receiver_url: str, name: str) -> str:
    """Return where that peer sends to, so that the receiver can tell peers apart."""
    return f"{receiver_url}/{name.replace(' ', '-').replace(',', '')}" if receiver_url else ""


@contextmanager
def receiver(*options: str) -> Iterator[str]:
    """Start a receiver and give its URL."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "receiver.py"), *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def arrived(receiver_url: str, name: str) -> int:
    """Return how many entries of that peer came since this was last asked."""
    with urllib.request.urlopen(f"{endpoint_of(receiver_url, name)}/count") as answer:  # noqa: S310
        return int(answer.read())


def one_core() -> str:
    """Return the number of a core, or nothing where a process cannot be kept on one."""
    if not hasattr(os, "sched_getaffinity"):
        return ""
    return str(min(os.sched_getaffinity(0)))
