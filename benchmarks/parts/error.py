"""An error with its traceback of eight frames, file only."""

from statistics import median

from lab import Lab
from report import Section, noise, ratio, ratio_text, table, verdict

PEERS = ["sovdev", "structlog", "hand-wired, orjson", "hand-wired", "loguru"]


def run(quick: bool) -> Section:
    with Lab(PEERS, pinned=True) as lab:
        found = lab.turns(7 if quick else 20, "errors", count=200 if quick else 300)
    rows = [
        [name, f"{median(found[name]):.1f}", ratio_text(found[name], found["loguru"])]
        for name in PEERS
    ]
    text = table(
        "An error with a traceback of 8 frames, file only (goal: at most 1.0 × loguru)",
        ["peer", "µs per call", "× loguru"],
        rows,
        [
            verdict("sovdev × loguru", ratio(found["sovdev"], found["loguru"]), 1.0),
            "Every exception is new to the logger. sovdev writes the line to its error file too.",
        ],
    )
    return Section(text, [noise("error: hand-wired", found["hand-wired"])])
