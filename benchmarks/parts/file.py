"""File only, one core: what a call costs that writes one line."""

from statistics import median

from lab import Lab
from peers import TO_FILE as PEERS
from report import Section, noise, percentiles, ratio, ratio_text, table, verdict

GOAL = 3.0


def run(quick: bool) -> Section:
    with Lab(PEERS, pinned=True) as lab:
        rounds = 7 if quick else 25
        found = lab.turns(rounds, "calls", milliseconds=12)
        single = lab.turns(rounds, "singles", count=500)
    wall = {name: [turn["wall"] for turn in turns] for name, turns in found.items()}
    cpu = {name: [turn["cpu"] for turn in turns] for name, turns in found.items()}
    pooled = {name: [one for turn in turns for one in turn] for name, turns in single.items()}
    rows = [
        [
            name,
            f"{median(wall[name]):.2f}",
            ratio_text(wall[name], wall["floor"]),
            ratio_text(cpu[name], cpu["floor"]),
            percentiles(pooled[name], (0.5, 0.99, 0.999)),
        ]
        for name in PEERS
    ]
    text = table(
        "File only, one core (goal: at most 3.0 × floor, and below structlog's fast path)",
        ["peer", "µs per call", "× floor", "CPU × floor", "p50 / p99 / p99.9 µs"],
        rows,
        [
            *(
                verdict(f"sovdev × {other}", ratio(wall["sovdev"], wall[other]), goal)
                for other, goal in (("floor", GOAL), ("structlog", 1.0))
            ),
            "On a quiet machine wall and CPU agree; on a busy one CPU is the steadier.",
            "logfire is not in this table: it writes no JSON lines to a file.",
        ],
    )
    return Section(text, [noise("file: floor", wall["floor"])])
