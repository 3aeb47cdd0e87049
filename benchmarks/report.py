"""Figures as text: medians of ratios within a round, percentiles, tables."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Section:
    """What a part found, as Markdown, and how steady the machine was meanwhile."""

    text: str
    noise: list[str] = field(default_factory=list)


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(ones, others, strict=True))


def ratio_text(ones: Sequence[float], others: Sequence[float]) -> str:
    """Return the median of the ratios within a round, and their range."""
    values = [a / b for a, b in zip(ones, others, strict=True)]
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that so large a share is not above."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def percentiles(nanoseconds: Iterable[float], shares: Sequence[float]) -> str:
    """Return them in microseconds."""
    ordered = sorted(nanoseconds)
    return " / ".join(f"{percentile(ordered, share) / 1000:.1f}" for share in shares)


def noise(what: str, values: Sequence[float]) -> str:
    """Return how far turns of the same work were apart: the machine's doing, not a logger's."""
    middle = statistics.median(values)
    low, high = (100 * (percentile(values, share) / middle - 1) for share in (0.1, 0.9))
    return f"{what} {low:+.0f} % to {high:+.0f} %"


def verdict(what: str, found: float, limit: float, *, digits: int = 2) -> str:
    """Return a line that says whether a goal is met."""
    met = "met" if found <= limit else "**not met**"
    return f"{what}: {found:.{digits}f}, goal at most {limit:g}: {met}."


def table(
    heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]], remarks: Sequence[str] = ()
) -> str:
    """Return a heading, a table and what is to be said below it."""
    lines = [
        f"## {heading}",
        "",
        f"| {' | '.join(columns)} |",
        "|---|" + "--:|" * (len(columns) - 1),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    for remark in remarks:
        lines += ["", remark]
    return "\n".join(lines)
