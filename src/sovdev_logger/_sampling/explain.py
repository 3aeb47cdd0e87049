"""What sampling would do to a log file: its patterns by volume, and what a policy keeps of each."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sovdev_logger._entry.levels import INFO, Level, find_level
from sovdev_logger._entry.log_types import JOB_STATUS
from sovdev_logger._entry.sample_rate import KEEP_ALL
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._sampling.policy import Policy
from sovdev_logger._sampling.signature import digest, pattern_of

MAX_PATTERNS: Final = 100_000
OTHERS: Final = "(more patterns)"

_LEVEL_WORD: Final = re.compile(
    r"\b(TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b", re.IGNORECASE
)


@dataclass(slots=True)
class PatternVolume:
    """One pattern of a file: how much there is of it, and how much would be kept, on average."""

    pattern: str
    count: int = 0
    size_bytes: int = 0
    kept: float = 0.0
    kept_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """All patterns of a file, the largest volume first."""

    policy: Policy
    patterns: list[PatternVolume]

    @property
    def count(self) -> int:
        """How many entries there are."""
        return sum(one.count for one in self.patterns)

    @property
    def size_bytes(self) -> int:
        """How large they are."""
        return sum(one.size_bytes for one in self.patterns)

    @property
    def kept(self) -> float:
        """How many entries would be kept, on average."""
        return sum(one.kept for one in self.patterns)

    @property
    def saved_share(self) -> float:
        """The share of the volume, 0 to 1, that would be left out."""
        kept_bytes = sum(one.kept_bytes for one in self.patterns)
        return 1 - kept_bytes / self.size_bytes if self.size_bytes else 0.0


def explain(lines: Iterable[bytes], policy: Policy) -> Explanation:
    """Apply a policy to the lines of a log file: entries in JSON, or plain text."""
    found: dict[str, PatternVolume] = {}
    for line in lines:
        if not line.strip():
            continue
        message, level, always = _read(line)
        pattern = pattern_of(message)
        if pattern not in found and len(found) >= MAX_PATTERNS:
            pattern = OTHERS
        volume = found.setdefault(pattern, PatternVolume(pattern))
        rate = KEEP_ALL
        if volume.count and not always and not level.is_error:
            of_pattern = policy.rate_of_pattern(digest(pattern), message)
            rate = policy.rate_of_level(level) if of_pattern is None else of_pattern
        volume.count += 1
        volume.size_bytes += len(line)
        volume.kept += rate
        volume.kept_bytes += rate * len(line)
    return Explanation(policy, sorted(found.values(), key=lambda one: -one.size_bytes))


def table(explanation: Explanation, rows: int, width: int) -> str:
    """Return an explanation as text, a line for each of the largest patterns."""
    sanitizer = Sanitizer()
    total = explanation.size_bytes or 1
    lines = [f"{'volume':>7} {'entries':>9} {'kept':>9} {'kept':>6}  pattern"]
    room = max(20, width - len(lines[0]) + len("pattern"))
    for one in explanation.patterns[:rows]:
        text = sanitizer.text(one.pattern)
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        lines.append(
            f"{one.size_bytes / total:>7.1%} {one.count:>9,} {one.kept:>9,.0f} "
            f"{one.kept / one.count:>6.0%}  {text}"
        )
    hidden = len(explanation.patterns) - rows
    if hidden > 0:
        lines.append(f"{'':>7} and {hidden:,} more patterns")
    policy = explanation.policy
    lines += [
        "",
        f"{explanation.count:,} entries, {explanation.size_bytes:,} bytes, "
        f"{len(explanation.patterns):,} patterns.",
        f"Policy {policy.version} ({policy.generated_by}) keeps {explanation.kept:,.0f} entries "
        f"and saves {explanation.saved_share:.1%} of the volume.",
    ]
    return "\n".join(lines)


def service_name_of(line: bytes) -> str | None:
    """Return which service an entry is of, None if it does not say."""
    found = _fields(line.decode("utf-8", "replace").strip()).get("service_name")
    return found if isinstance(found, str) and found.strip() else None


def _fields(text: str) -> Mapping[str, object]:
    """Return the fields of a line of JSON; none if it is no such line."""
    if not text.startswith("{"):
        return {}
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _read(line: bytes) -> tuple[str, Level, bool]:
    """Return a line's message and level, and whether it is kept in any case."""
    text = line.decode("utf-8", "replace").strip()
    fields = _fields(text)
    if not fields:
        word = _LEVEL_WORD.search(text)
        return text, (find_level(word[0]) if word else None) or INFO, False
    message = fields.get("message", fields.get("event", fields.get("msg")))
    level = find_level(fields.get("level", fields.get("levelname"))) or INFO
    always = "exception_message" in fields or fields.get("log_type") == JOB_STATUS
    return message if isinstance(message, str) else text, level, always
