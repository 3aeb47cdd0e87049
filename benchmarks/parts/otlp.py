"""File, OTLP and metrics at full speed: CPU of all threads until flushed, and the caller's time."""

from statistics import median

from lab import Lab, arrived, receiver
from peers import WITH_OTLP as PEERS
from report import Section, noise, ratio, ratio_text, table, verdict

GOAL = 0.15
BASE = "hand-wired"


def run(quick: bool) -> Section:
    rounds, records = (3, 2000) if quick else (6, 4000)
    with receiver() as url, Lab(PEERS, endpoint=url) as lab:
        found = lab.turns(rounds, "burst", count=records)
        share = {name: arrived(url, name) / (records * (rounds + 1)) for name in PEERS}
    cpu = {name: [turn["cpu"] for turn in turns] for name, turns in found.items()}
    wall = {name: [turn["wall"] for turn in turns] for name, turns in found.items()}
    rows = [
        [
            name,
            f"{median(cpu[name]):.1f}",
            ratio_text(cpu[name], cpu[BASE]),
            f"{median(wall[name]):.1f}",
            ratio_text(wall[name], wall[BASE]),
            f"{100 * share[name]:.1f} %",
        ]
        for name in PEERS
    ]
    text = table(
        "File, OTLP and metrics at full speed (goals: CPU and caller's time at most 0.15 × "
        "hand-wired, 100 % delivered)",
        [
            "peer",
            "CPU µs per record",
            "× hand-wired",
            "caller's µs per call",
            "× hand-wired",
            "delivered",
        ],
        rows,
        [
            verdict("sovdev's CPU × hand-wired", ratio(cpu["sovdev"], cpu[BASE]), GOAL),
            verdict("its caller × hand-wired", ratio(wall["sovdev"], wall[BASE]), GOAL),
            verdict("per cent not delivered", 100 * (1 - share["sovdev"]), 0, digits=1),
            "logfire writes no file here: it has no output of JSON lines.",
        ],
    )
    return Section(text, [noise("otlp: floor's CPU", cpu["floor"])])
