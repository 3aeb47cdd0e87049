"""What a peer is asked to do in its own process, and what is measured meanwhile."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import call

SPIN_NS = 150_000
"""The end of a wait is spun: a sleep comes back late by about as much."""

CHUNK = 20
"""Calls between two looks at the clock."""


def calls(peer: Any, milliseconds: int) -> dict[str, float]:
    """Return the microseconds of a call and of its CPU, over as many as fit in the time.

    Turns are equally long, so that what else the machine does hits each peer alike.
    """
    cpu, started = time.thread_time_ns(), time.perf_counter_ns()
    count, ended = call_until(peer, started + milliseconds * 1_000_000)
    used = time.thread_time_ns() - cpu
    return {"wall": (ended - started) / count / 1000, "cpu": used / count / 1000}


def call_until(peer: Any, until: int) -> tuple[int, int]:
    """Return how many calls were made by then, and the time after the last one."""
    log, count = peer.call, 0
    while True:
        for _ in range(CHUNK):
            log()
        count += CHUNK
        now = time.perf_counter_ns()
        if now >= until:
            return count, now


def singles(peer: Any, count: int) -> list[int]:
    """Return the nanoseconds of each call."""
    log, clock, times = peer.call, time.perf_counter_ns, []
    for _ in range(count):
        started = clock()
        log()
        times.append(clock() - started)
    return times


def burst(peer: Any, count: int) -> dict[str, float]:
    """Return CPU of all threads until flushed, and the caller's time, in microseconds per call."""
    log = peer.call
    cpu, started = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(count):
        log()
    wall = time.perf_counter_ns() - started
    peer.flush()
    used = time.process_time_ns() - cpu
    return {"cpu": used / count / 1000, "wall": wall / count / 1000}


def paced(peer: Any, per_second: int, seconds: float) -> list[int]:
    """Return the nanoseconds of each call, made by an absolute schedule."""
    log, clock, times = peer.call, time.perf_counter_ns, []
    step = 1_000_000_000 // per_second
    due = clock()
    for _ in range(int(per_second * seconds)):
        due += step
        spare = due - clock() - SPIN_NS
        if spare > 0:
            time.sleep(spare / 1e9)
        while clock() < due:
            pass
        started = clock()
        log()
        times.append(clock() - started)
    peer.flush()
    return times


def errors(peer: Any, count: int) -> float:
    """Return the microseconds of logging an error; each was raised before, and is new."""
    failures, log = call.failures(count), peer.error
    started = time.perf_counter_ns()
    for failure in failures:
        log(failure)
    return (time.perf_counter_ns() - started) / count / 1000


def below(peer: Any, count: int) -> float:
    """Return the nanoseconds of a call below the level."""
    started = time.perf_counter_ns()
    peer.below(count)
    return (time.perf_counter_ns() - started) / count


def threads(peer: Any, milliseconds: int, together: int) -> dict[str, float]:
    """Return the microseconds of a call, and of its CPU, when so many threads log at once."""
    with ThreadPoolExecutor(together) as pool:
        gate = threading.Barrier(together)
        cpu = time.process_time_ns()
        until = time.perf_counter_ns() + milliseconds * 1_000_000

        def work(_: int) -> tuple[int, int, int]:
            gate.wait()
            return time.perf_counter_ns(), *call_until(peer, until)

        started, counts, ended = zip(*pool.map(work, range(together)), strict=True)
        used = time.process_time_ns() - cpu
    wall = max(ended) - min(started)
    return {"wall": wall / sum(counts) / 1000, "cpu": used / sum(counts) / 1000}


def growing(peer: Any, keys: int, count: int) -> dict[str, float]:
    """Return the microseconds of logging an input of so many keys, of orjson alone, its bytes."""
    import orjson

    value = large_input(keys)
    started = time.perf_counter_ns()
    for _ in range(count):
        peer.call_with(value)
    middle = time.perf_counter_ns()
    for _ in range(count):
        orjson.dumps(value)
    ended = time.perf_counter_ns()
    return {
        "call": (middle - started) / count / 1000,
        "orjson": (ended - middle) / count / 1000,
        "bytes": len(orjson.dumps(value)),
    }


def large_input(keys: int) -> dict[str, object]:
    """Return texts, numbers and flags by turns."""
    kinds: list[Callable[[int], object]] = [
        lambda number: f"Organisasjonsledd nummer {number}",
        lambda number: 971_000_000 + number,
        lambda number: number % 2 == 0,
        lambda number: f"Bygdøy allé {number}, 0257 Oslo",
    ]
    return {f"felt_{number}": kinds[number % len(kinds)](number) for number in range(keys)}


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task for task in (calls, singles, burst, paced, errors, below, threads, growing)
}
