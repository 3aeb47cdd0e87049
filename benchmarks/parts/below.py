"""Calls below the level: what a logger costs where it is not wanted."""

from statistics import median

from lab import Lab
from report import Section, noise, ratio, ratio_text, table, verdict

BASE = "stdlib, disabled"
PEERS = [BASE, "sovdev", "structlog, disabled", "loguru, disabled"]
GOAL = 1.2


def run(quick: bool) -> Section:
    with Lab(PEERS, pinned=True, variables={"SOVDEV_LOG_LEVEL": "warn"}) as lab:
        found = lab.turns(9 if quick else 25, "below", count=50_000)
    rows = [
        [name, f"{median(found[name]):.0f}", ratio_text(found[name], found[BASE])] for name in PEERS
    ]
    text = table(
        "Below the level (goal: at most 1.2 × stdlib's disabled `logger.debug`)",
        ["peer", "ns per call", "× stdlib"],
        rows,
        [
            verdict("sovdev × stdlib", ratio(found["sovdev"], found[BASE]), GOAL),
            'sovdev gets all six arguments, the others `debug("x")`; the loop is in all of them.',
        ],
    )
    return Section(text, [noise("below: stdlib", found[BASE])])
