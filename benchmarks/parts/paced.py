"""Latency of a call at 2,000 a second with file, OTLP and metrics: a service under load."""

from lab import Lab, arrived, receiver
from peers import WITH_OTLP as PEERS
from report import Section, noise, percentile, percentiles, ratio, ratio_text, table, verdict

PER_SECOND = 2000
GOAL = 0.05


def run(quick: bool) -> Section:
    turns, seconds = (1, 0.6) if quick else (3, 1.5)
    with receiver() as url, Lab(PEERS, endpoint=url) as lab:
        found = lab.turns(turns, "paced", per_second=PER_SECOND, seconds=seconds)
        logged = int(PER_SECOND * seconds) * (turns + 1)
        share = {name: arrived(url, name) / logged for name in PEERS}
    p50 = {name: [percentile(turn, 0.5) for turn in found[name]] for name in PEERS}
    p99 = {name: [percentile(turn, 0.99) for turn in found[name]] for name in PEERS}
    rows = [
        [
            name,
            percentiles((one for turn in found[name] for one in turn), (0.5, 0.99)),
            ratio_text(p50[name], p50["hand-wired"]),
            ratio_text(p99[name], p99["hand-wired"]),
            f"{100 * share[name]:.1f} %",
        ]
        for name in PEERS
    ]
    text = table(
        "A call at 2,000 a second: file, OTLP and metrics (goal: p99 at most 0.05 × hand-wired)",
        ["peer", "p50 / p99 µs", "p50 × hand-wired", "p99 × hand-wired", "delivered"],
        rows,
        [verdict("sovdev's p99 × hand-wired", ratio(p99["sovdev"], p99["hand-wired"]), GOAL)],
    )
    return Section(text, [noise("paced: floor's p50", p50["floor"])] if turns > 1 else [])
