"""A collector that is down, or answers 503 for 3 s: what is lost, how long the program's end takes.

Each peer's program logs for two seconds and ends. Then the collector is there and the program runs
once more, as it would after a deploy; what it sends of the first run's counts as delivered. All
programs run at once: they mostly wait.
"""

import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import HERE, arrived, endpoint_of, environment, receiver
from report import Section, table, verdict

PEERS = ["sovdev", "structlog over stdlib", "hand-wired", "loguru", "logfire"]
ENTRIES = 1500
AFTERWARDS = 1
UNAVAILABLE_SECONDS = 3
PATIENCE_SECONDS = 120


def run(quick: bool) -> Section:
    heading = "Collector down; 503 for 3 s (goal: nothing lost, and the program ends in 6 s)"
    if quick:
        return Section(f"## {heading}\n\nLeft out of a quick run: peers take half a minute to end.")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        down = pool.submit(collector_down, Path(folder) / "down")
        unavailable = pool.submit(collector_unavailable, Path(folder) / "503")
        found = {"down": down.result(), "503 for 3 s": unavailable.result()}
    rows = [
        [
            f"{name}, {what}",
            str(ENTRIES),
            f"{seconds:.1f}",
            str(at_once),
            str(later),
            str(ENTRIES - at_once - later),
        ]
        for what, peers in found.items()
        for name, (seconds, at_once, later) in peers.items()
    ]
    ours = [peers["sovdev"] for peers in found.values()]
    text = table(
        heading,
        [
            "peer, collector",
            "logged",
            "seconds to end",
            "delivered by it",
            "by the next process",
            "lost",
        ],
        rows,
        [
            verdict("sovdev, lost", max(ENTRIES - one - two for _, one, two in ours), 0, digits=0),
            verdict("sovdev, seconds to end", max(one[0] for one in ours), 6.0, digits=1),
            "sovdev's spool is on, as it is by default; the others keep nothing on disk.",
        ],
    )
    return Section(text)


Found = dict[str, tuple[float, int, int]]
"""By peer: seconds to end, delivered by the process itself, delivered by the next one."""


def collector_down(folder: Path) -> Found:
    """Log to a port where nobody listens; then somebody does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    seconds = run_all(folder, f"http://127.0.0.1:{port}", ENTRIES)
    with receiver("--port", port) as url:
        run_all(folder, url, AFTERWARDS)
        later = {name: arrived(url, name) - AFTERWARDS for name in PEERS}
    return {name: (seconds[name], 0, later[name]) for name in PEERS}


def collector_unavailable(folder: Path) -> Found:
    """Log to a receiver that answers 503 for a while."""
    with receiver("--unavailable", str(UNAVAILABLE_SECONDS)) as url:
        seconds = run_all(folder, url, ENTRIES)
        at_once = {name: arrived(url, name) for name in PEERS}
        run_all(folder, url, AFTERWARDS)
        later = {name: arrived(url, name) - AFTERWARDS for name in PEERS}
    return {name: (seconds[name], at_once[name], later[name]) for name in PEERS}


def run_all(folder: Path, url: str, count: int) -> dict[str, float]:
    """Run all programs at once; return how many seconds each took to end after its work."""
    with ThreadPoolExecutor(len(PEERS)) as pool:
        ended = pool.map(lambda name: run_one(folder / name, url, name, count), PEERS)
        return dict(zip(PEERS, ended, strict=True))


def run_one(folder: Path, url: str, name: str, count: int) -> float:
    """Run one program."""
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = endpoint_of(url, name)
    command = [sys.executable, str(HERE / "program.py"), name, str(folder), endpoint, str(count)]
    done = subprocess.run(
        command,
        env=environment(name, folder, endpoint),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what exporters say about a collector that is not there
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return time.time() - float(done.stdout)
