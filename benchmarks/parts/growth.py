"""An input that grows from 10 to 10,000 keys: what a byte of it costs, beside orjson's own cost."""

from statistics import median

from lab import Lab
from report import Section, noise, ratio, table, verdict

SIZES = (10, 100, 1_000, 10_000)
BYTES_A_ROUND = 400_000
BYTES_A_KEY = 33
GOAL = 2.0


def run(quick: bool) -> Section:
    rounds = 5 if quick else 15
    # An entry of the last size would be cut at the usual limit.
    variables = {"SOVDEV_MAX_FIELD_BYTES": str(16 * 1024 * 1024)}
    rows, found, spread = [], 0.0, []
    with Lab(["sovdev"], pinned=True, variables=variables) as lab:
        for keys in SIZES:
            count = max(1, BYTES_A_ROUND // (keys * BYTES_A_KEY))
            turns = lab.turns(rounds, "growing", keys=keys, count=count)["sovdev"]
            call, alone = ([turn[name] for turn in turns] for name in ("call", "orjson"))
            size = turns[0]["bytes"]
            found = ratio(call, alone)
            rows.append(
                [
                    f"{keys:,}",
                    f"{size:,}",
                    f"{median(call):.1f}",
                    f"{1000 * median(call) / size:.2f}",
                    f"{1000 * median(alone) / size:.2f}",
                    f"{found:.1f}",
                ]
            )
            spread = [noise("growth: orjson, 10,000 keys", alone)]
    text = table(
        "An input that grows (goal: linear, and at 10,000 keys within 2 × orjson's cost for it)",
        ["keys", "bytes", "µs per call", "ns per byte", "orjson alone, ns per byte", "× orjson"],
        rows,
        [
            verdict("sovdev × orjson at 10,000 keys", found, GOAL),
            "File only; `SOVDEV_MAX_FIELD_BYTES` is raised, as the last size is otherwise cut at "
            "65,536 bytes. orjson encodes and writes nothing; sovdev looks at every key and value "
            "for credentials, builds the entry and writes it.",
        ],
    )
    return Section(text, spread)
