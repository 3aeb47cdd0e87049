"""Compare a call with its floor and with a hand-wired logger, turn by turn in one process."""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 20260131
PACKAGES = ("sovdev-logger", "orjson", "python-json-logger", "opentelemetry-sdk")


def main() -> None:
    """Run each part in a process of its own and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part = PARTS[options.part]
        print(json.dumps(part(options.folder, options.endpoint, options.quick)))
        return
    text = "\n\n".join([describe_machine(), *(table(part, options.quick) for part in PARTS)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


def describe_machine() -> str:
    """Return what the figures were measured with."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}; seed {SEED}."


def table(part: str, quick: bool) -> str:
    """Run one part in a child process and return its Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        receiver = subprocess.Popen(
            [sys.executable, str(HERE / "receiver.py")], stdout=subprocess.PIPE, text=True
        )
        assert receiver.stdout is not None
        endpoint = f"http://127.0.0.1:{receiver.stdout.readline().strip()}"
        command = [sys.executable, __file__, "--part", part, "--folder", folder]
        command += ["--endpoint", endpoint, *(["--quick"] if quick else [])]
        try:
            child = subprocess.run(
                command,
                env=environment(part, Path(folder), endpoint),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        finally:
            receiver.kill()
            receiver.wait()
    return str(json.loads(child.stdout))


def environment(part: str, folder: Path, endpoint: str) -> dict[str, str]:
    """Return the variables that choose this library's outputs."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "LOG_TO_CONSOLE": "false",
        "LOG_FILE_PATH": str(folder / "sovdev.log"),
        "ERROR_LOG_PATH": str(folder / "error.log"),
    }
    if part == "otlp":
        variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}
    if part == "sampling":
        variables |= {"SOVDEV_SAMPLING": "local", "SOVDEV_SAMPLING_OUTPUTS": "all"}
    if part == "below":
        variables["SOVDEV_LOG_LEVEL"] = "warn"
    return variables


def in_turns(calls: dict[str, Any], rounds: int, per_round: int) -> dict[str, list[float]]:
    """Return the microseconds per call of each peer in each round."""
    order = random.Random(SEED)
    names = list(calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        order.shuffle(names)
        for name in names:
            call = calls[name]
            started = time.perf_counter_ns()
            for _ in range(per_round):
                call()
            found[name].append((time.perf_counter_ns() - started) / per_round / 1000)
    # The first round warms up.
    return {name: values[1:] for name, values in found.items()}


def percentiles(call: Any, count: int) -> str:
    """Return p50, p99 and p99.9 of single calls, in microseconds."""
    times = []
    for _ in range(count):
        started = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - started)
    times.sort()
    chosen = (times[int(count * share)] / 1000 for share in (0.5, 0.99, 0.999))
    return " / ".join(f"{one:.1f}" for one in chosen)


def ratios(found: dict[str, list[float]], name: str, base: str) -> str:
    """Return the median of the ratios within a round, and their range."""
    values = [one / other for one, other in zip(found[name], found[base], strict=True)]
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def part_file(folder: Path, _endpoint: str, quick: bool) -> str:
    """One core, file only."""
    from peers.floor import Floor
    from peers.handwired import Handwired
    from peers.sovdev import Sovdev

    pin_to_one_core()
    peers = {one.name: one for one in (Floor(folder), Sovdev(), Handwired(folder))}
    calls = {name: peer.call for name, peer in peers.items()}
    found = in_turns(calls, 7 if quick else 25, 4000)
    rows = [
        f"| {name} | {statistics.median(found[name]):.2f} | {ratios(found, name, 'floor')} | "
        f"{percentiles(calls[name], 20_000)} |"
        for name in peers
    ]
    return "\n".join(
        [
            "## File only, one core (goal: at most 4 × floor)",
            "",
            "| peer | µs per call | × floor | p50 / p99 / p99.9 µs |",
            "|---|--:|--:|--:|",
            *rows,
        ]
    )


def part_below(_folder: Path, _endpoint: str, quick: bool) -> str:
    """Calls below the level."""
    import logging

    from peers.sovdev import Sovdev

    pin_to_one_core()
    disabled = logging.getLogger("disabled")
    disabled.setLevel(logging.WARNING)
    calls = {"stdlib": lambda: disabled.debug("x"), "sovdev": Sovdev().below_level}
    found = in_turns(calls, 7 if quick else 25, 50_000)
    rows = [
        f"| {name} | {statistics.median(found[name]):.3f} | {ratios(found, name, 'stdlib')} |"
        for name in calls
    ]
    return "\n".join(
        [
            "## Below the level",
            "",
            "| peer | µs per call | × stdlib |",
            "|---|--:|--:|",
            *rows,
        ]
    )


def part_otlp(folder: Path, endpoint: str, quick: bool) -> str:
    """File, OTLP logs and metrics, at full speed until flushed."""
    from peers.handwired import HandwiredOtlp
    from peers.sovdev import Sovdev

    peers = {one.name: one for one in (Sovdev(), HandwiredOtlp(folder, endpoint))}
    records, order, names = 5000, random.Random(SEED), list(peers)
    cpu: dict[str, list[float]] = {name: [] for name in names}
    wall: dict[str, list[float]] = {name: [] for name in names}
    delivered: dict[str, int] = dict.fromkeys(names, 0)
    rounds = 3 if quick else 8
    for warm in range(rounds + 1):
        order.shuffle(names)
        for name in names:
            figures = one_turn(peers[name], records, endpoint)
            if warm:
                cpu[name].append(figures[0])
                wall[name].append(figures[1])
                delivered[name] += int(figures[2])
    rows = [
        f"| {name} | {statistics.median(cpu[name]):.1f} | {ratios(cpu, name, 'hand-wired')} | "
        f"{statistics.median(wall[name]):.1f} | {ratios(wall, name, 'hand-wired')} | "
        f"{100 * delivered[name] / (records * rounds):.1f} % |"
        for name in peers
    ]
    return "\n".join(
        [
            "## File, OTLP and metrics at full speed (goal: at most 0.5 × hand-wired CPU)",
            "",
            "| peer | CPU µs per record | × hand-wired | caller's µs per call | × hand-wired | delivered |",  # noqa: E501
            "|---|--:|--:|--:|--:|--:|",
            *rows,
        ]
    )


def part_sampling(_folder: Path, _endpoint: str, quick: bool) -> str:
    """Signatures, decisions, and calls that are kept or left out."""
    import sampling

    pin_to_one_core()
    return sampling.tables(in_turns, 3 if quick else 11)


def one_turn(peer: Any, records: int, endpoint: str) -> tuple[float, float, int]:
    """Return CPU and caller's microseconds per record, and how many arrived."""
    cpu, started = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(records):
        peer.call()
    called = time.perf_counter_ns() - started
    peer.flush()
    used = time.process_time_ns() - cpu
    with urllib.request.urlopen(f"{endpoint}/count") as answer:  # noqa: S310
        arrived = int(answer.read())
    return used / records / 1000, called / records / 1000, arrived


def pin_to_one_core() -> None:
    """Stay on one core where the system can be asked to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


PARTS = {
    "file": part_file,
    "below": part_below,
    "otlp": part_otlp,
    "sampling": part_sampling,
}

if __name__ == "__main__":
    main()
