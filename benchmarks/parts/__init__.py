"""The tables, one module each: ``run(quick)`` measures and returns a ``report.Section``."""

NAMES = (
    "file",
    "otlp",
    "paced",
    "error",
    "below",
    "threads",
    "startup",
    "growth",
    "outage",
    "sampled",
)
