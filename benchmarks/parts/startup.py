"""What it costs to be there: the time of the import, and the memory of a service."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from lab import HERE, endpoint_of, environment, receiver
from report import Section, noise, ratio, ratio_text, table, verdict

SDK = """
import opentelemetry.exporter.otlp.proto.http._log_exporter
import opentelemetry.exporter.otlp.proto.http.metric_exporter
import opentelemetry.exporter.otlp.proto.http.trace_exporter
import opentelemetry.sdk._logs.export
import opentelemetry.sdk.metrics.export
import opentelemetry.sdk.trace.export
"""
PROGRAMS = {
    "bare interpreter": "",
    "import sovdev_logger": "import sovdev_logger",
    "import the SDK and its OTLP exporters": SDK,
}
IMPORT_GOAL = 0.35
MEGABYTE = 1_000_000
FILE_MEGABYTES = 8.0
FILE_PEERS = ["sovdev", "structlog", "hand-wired", "loguru"]
OTLP_PEERS = ["sovdev", "hand-wired", "loguru", "logfire"]


def run(quick: bool) -> Section:
    spent = imports(2 if quick else 10)
    memory = memory_table(1 if quick else 3)
    return Section(f"{import_table(spent)}\n\n{memory}", [noise("startup: bare", spent[""])])


def imports(rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of fresh processes, by their program."""
    spent: dict[str, list[float]] = {program: [] for program in PROGRAMS.values()}
    with tempfile.TemporaryDirectory() as folder:
        env = environment("", Path(folder), "")
        for _ in range(rounds + 1):
            for program, times in spent.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", program], env=env, cwd=folder, check=True)
                times.append((time.perf_counter() - started) * 1000)
    return {program: times[1:] for program, times in spent.items()}


def import_table(spent: dict[str, list[float]]) -> str:
    added = {
        program: [time - bare for time, bare in zip(times, spent[""], strict=True)]
        for program, times in spent.items()
    }
    rows = [
        [
            what,
            f"{median(spent[program]):.0f}",
            f"{median(added[program]):.0f}" if program else "",
            ratio_text(added[program], added[SDK]) if program else "",
        ]
        for what, program in PROGRAMS.items()
    ]
    found = ratio(added[PROGRAMS["import sovdev_logger"]], added[SDK])
    return table(
        "Import, in fresh processes (goal: at most 0.35 × the SDK and its OTLP exporters)",
        ["process", "ms", "more than bare", "× SDK"],
        rows,
        [verdict("sovdev × SDK", found, IMPORT_GOAL)],
    )


def memory_table(rounds: int) -> str:
    bare = bare_bytes()
    file = {name: resident(name, "", rounds, bare) for name in FILE_PEERS}
    with receiver() as url:
        otlp = {name: resident(name, url, rounds, bare) for name in OTLP_PEERS}
    kinds = [("file", file), ("file and OTLP", otlp)]
    rows = [
        [f"{name}, {'OTLP' if name == 'logfire' else kind}", *(f"{value:.1f}" for value in found)]
        for kind, peers in kinds
        for name, found in peers.items()
    ]
    return table(
        "Memory added to a bare interpreter (goals: file only at most 8 MB; with OTLP no more "
        "than hand-wired)",
        ["peer", "MB after import and initialise", "MB after one entry, flushed"],
        rows,
        [
            verdict("sovdev, file only, MB", file["sovdev"][0], FILE_MEGABYTES, digits=1),
            verdict(
                "sovdev × hand-wired, with OTLP, once an entry was sent",
                otlp["sovdev"][1] / otlp["hand-wired"][1],
                1.0,
            ),
            "Resident bytes.",
        ],
    )


def bare_bytes() -> float:
    """Return what a bare interpreter takes, the median of three."""
    return median(measure([], environment("", Path(), ""))[0] for _ in range(3))


def resident(name: str, receiver_url: str, rounds: int, bare: float) -> tuple[float, float]:
    """Return the megabytes that a peer adds, medians over fresh processes."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            endpoint = endpoint_of(receiver_url, name)
            env = environment(name, Path(folder), endpoint)
            found.append(measure([name, folder, endpoint], env))
    made, used = ((median(values) - bare) / MEGABYTE for values in zip(*found, strict=True))
    return made, used


def measure(arguments: list[str], env: dict[str, str]) -> tuple[int, int]:
    """Return the two figures of one process."""
    command = [sys.executable, str(HERE / "memory.py"), *arguments]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    made, used = done.stdout.split()
    return int(made), int(used)
