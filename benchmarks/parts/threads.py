"""Four threads that log at once, file only."""

from statistics import median

from lab import Lab
from peers import TO_FILE as PEERS
from report import Section, noise, ratio, ratio_text, table, verdict

TOGETHER = 4
GOAL = 3.0


def run(quick: bool) -> Section:
    with Lab(PEERS) as lab:
        found = lab.turns(5 if quick else 15, "threads", milliseconds=30, together=TOGETHER)
    wall = {name: [turn["wall"] for turn in turns] for name, turns in found.items()}
    cpu = {name: [turn["cpu"] for turn in turns] for name, turns in found.items()}
    rows = [
        [
            name,
            f"{median(wall[name]):.2f}",
            ratio_text(wall[name], wall["floor"]),
            ratio_text(cpu[name], cpu["floor"]),
        ]
        for name in PEERS
    ]
    text = table(
        "4 threads at once, file only (goal: at most 3.0 × floor with 4 threads)",
        ["peer", "µs per call", "× floor", "CPU × floor"],
        rows,
        [
            verdict("sovdev × floor", ratio(wall["sovdev"], wall["floor"]), GOAL),
        ],
    )
    return Section(text, [noise("threads: floor", wall["floor"])])
