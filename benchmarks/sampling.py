"""What sampling costs: signatures, decisions, and calls that are kept or left out.

python sampling.py CORE ROUNDS CALLS, where the environment switches sampling on, as
``parts/sampled.py`` does.
"""

import os
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import call

import sovdev_logger as log
from sovdev_logger._entry.levels import INFO
from sovdev_logger._sampling.lipservice_signatures import client_signature
from sovdev_logger._sampling.policy import Policy, uniform_policy
from sovdev_logger._sampling.process import process_sampler
from sovdev_logger._sampling.sampler import Sampler
from sovdev_logger._sampling.signature import signature_of

SEED = 20260131

MESSAGES: dict[str, Callable[[random.Random], str]] = {
    "a number": lambda r: (
        f"Could not reserve stock for the item in warehouse {r.randrange(10**6)}, the request "
        "will be tried again by the scheduler"
    ),
    "five values": lambda r: (
        f"Order {r.randrange(10**5)} for customer {r.randrange(10**4)} shipped from warehouse "
        f"{r.randrange(99)} in {r.random() * 99:.1f}ms, tracking id "
        f"{uuid.UUID(int=r.getrandbits(128))} ok"
    ),
    "a request": lambda r: (
        f"GET https://api.example.com/v1/users/{r.randrange(10**6)}?x=1 from 10.{r.randrange(255)}"
        f".0.7:{r.randrange(65535)} was answered with {r.randrange(200, 600)} after "
        f"{r.randrange(999)}ms"
    ),
    "words": lambda r: (
        "Could not reserve stock for the item in the warehouse, the request will be tried again "
        f"{r.choice(['soon', 'later'])} by the scheduler of orders"
    ),
}
"""Messages of about 120 characters, new in each call."""

LONG_CHARACTERS = 32 * 1024


def in_turn(messages: list[str], function: Callable[[str], Any]) -> Callable[[], None]:
    """Return a call that takes the next message each time."""
    at = 0

    def call_it() -> None:
        nonlocal at
        function(messages[at])
        at = (at + 1) % len(messages)

    return call_it


def time_in_turns(
    calls: dict[str, Callable[[], Any]], rounds: int, per_round: int
) -> dict[str, list[float]]:
    """Return the microseconds per call in each round, in an order that is new in every round."""
    order, names = random.Random(SEED), list(calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        order.shuffle(names)
        for name in names:
            call_it = calls[name]
            started = time.perf_counter_ns()
            for _ in range(per_round):
                call_it()
            found[name].append((time.perf_counter_ns() - started) / per_round / 1000)
    return {name: values[1:] for name, values in found.items()}


def tables(rounds: int, count: int) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join(
        [
            _signatures(rounds, count),
            _decisions(rounds, count),
            _calls(rounds, count),
            _adversarial(),
        ]
    )


def _signatures(rounds: int, count: int) -> str:
    rows = []
    for name, make in MESSAGES.items():
        messages = [make(random.Random(number)) for number in range(count)]
        functions = {"ours": signature_of, "steps": client_signature}
        found = time_in_turns(
            {one: in_turn(messages, function) for one, function in functions.items()}, rounds, count
        )
        rows.append(
            f"| {name}, {len(messages[0])} characters | {statistics.median(found['ours']):.2f} | "
            f"{statistics.median(found['steps']):.2f} | {_ratio(found, 'steps', 'ours')} |"
        )
    return _table(
        "Signature of a new message (goal: 5 µs, and 3 times as fast as the published steps)",
        "| message | µs | published steps, one `re.sub` after another, µs | times as fast |",
        rows,
    )


def _decisions(rounds: int, count: int) -> str:
    sampler = Sampler(Policy(severity_rates={"info": 0.2}))
    new = [f"User {number} logged in" for number in range(10 * count)]
    order = [MESSAGES["five values"](random.Random(number)) for number in range(count)]
    calls = {
        "same message": lambda: sampler.decide(INFO, "Service started"),
        "new message of 20 characters, known pattern": in_turn(
            new, lambda message: sampler.decide(INFO, message)
        ),
        "new message of 120 characters, known pattern": in_turn(
            order, lambda message: sampler.decide(INFO, message)
        ),
    }
    found = time_in_turns(calls, rounds, count)
    return _table(
        "Decision (goal: 1 µs for a known pattern)",
        "| decision about | µs |",
        [f"| {name} | {statistics.median(values):.2f} |" for name, values in found.items()],
    )


def _calls(rounds: int, count: int) -> str:
    log.sovdev_initialize(call.SERVICE, call.VERSION, call.PEERS)
    managed = process_sampler()
    assert managed is not None, "the environment switches sampling on"
    keep, count_sampled_out = uniform_policy(1.0), uniform_policy(0.0)

    def with_policy(policy: Policy) -> Callable[[], None]:
        def log_it() -> None:
            managed.sampler.set_policy(policy)
            log.sovdev_log(
                log.SOVDEV_LOGLEVELS.INFO,
                call.FUNCTION,
                call.MESSAGE,
                "BRREG",
                call.INPUT,
                call.RESPONSE,
            )

        return log_it

    def only(policy: Policy) -> Callable[[], None]:
        return lambda: managed.sampler.set_policy(policy)

    calls = {
        "kept": with_policy(keep),
        "left out": with_policy(count_sampled_out),
        "nothing": only(keep),
    }
    found = time_in_turns(calls, rounds, count)
    idle = statistics.median(found["nothing"])
    kept = [value - idle for value in found["kept"]]
    left_out = [value - idle for value in found["left out"]]
    ratio = statistics.median(one / other for one, other in zip(left_out, kept, strict=True))
    return _table(
        "sovdev_log, file only, all outputs sampled (goal: left out at most 0.25 × kept)",
        "| call | µs | × kept |",
        [
            f"| kept | {statistics.median(kept):.2f} | 1.00 |",
            f"| left out | {statistics.median(left_out):.2f} | {ratio:.2f} |",
        ],
    )


def _adversarial() -> str:
    pieces = ("a.", "1.", "a@", "a.a@", "a:", "f::", "a-", "1-", "/a", "\\a", "N,", "a+.-", "\"':")
    worst = max((min(_milliseconds(piece) for _ in range(5)), piece) for piece in pieces)
    dots = min(_milliseconds("a.") for _ in range(5))
    return _table(
        "32 KB of one thing (goal: 1 ms for `a.a.a…`)",
        "| text | ms |",
        [
            f"| `a.a.a…` | {dots:.2f} |",
            f"| the slowest of {len(pieces)}, `{worst[1]}` | {worst[0]:.2f} |",
        ],
    )


def _milliseconds(piece: str) -> float:
    text = (piece * LONG_CHARACTERS)[:LONG_CHARACTERS]
    started = time.perf_counter()
    signature_of(text)
    return (time.perf_counter() - started) * 1000


def _ratio(found: dict[str, list[float]], name: str, base: str) -> str:
    values = [one / other for one, other in zip(found[name], found[base], strict=True)]
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def _table(title: str, head: str, rows: list[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([f"## {title}", "", head, "|---|" + "--:|" * (columns - 1), *rows])


if __name__ == "__main__":
    core, rounds, count = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core)})
    print(tables(int(rounds), int(count)))
