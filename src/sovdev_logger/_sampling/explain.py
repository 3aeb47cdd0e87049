"""The patterns of a log file by volume, and how much of each a policy keeps."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sovdev_logger._entry.levels import INFO, Level, find_level
from sovdev_logger._entry.log_types import JOB_STATUS
from sovdev_logger._entry.sample_rate import KEEP_ALL
from sovdev_logger._safety.one_line import one_line
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
        return sum(pattern.count for pattern in self.patterns)

    @property
    def size_bytes(self) -> int:
        """How large they are."""
        return sum(pattern.size_bytes for pattern in self.patterns)

    @property
    def kept(self) -> float:
        """How many entries would be kept, on average."""
        return sum(pattern.kept for pattern in self.patterns)

    @property
    def saved_share(self) -> float:
        """The share of the volume, 0 to 1, that would be sampled out."""
        kept_bytes = sum(pattern.kept_bytes for pattern in self.patterns)
        return 1 - kept_bytes / self.size_bytes if self.size_bytes else 0.0


def explain(lines: Iterable[bytes], policy: Policy) -> Explanation:
    """Apply a policy to the lines of a log file: entries in JSON, or plain text."""
    volumes: dict[str, PatternVolume] = {}
    for line in lines:
        if not line.strip():
            continue
        message, level, always = _read(line)
        pattern = pattern_of(message)
        if pattern not in volumes and len(volumes) >= MAX_PATTERNS:
            pattern = OTHERS
        volume = volumes.setdefault(pattern, PatternVolume(pattern))
        rate = KEEP_ALL
        if volume.count and not always and not level.is_error:
            pattern_rate = policy.rate_for_pattern(digest(pattern), message)
            rate = policy.rate_for_level(level) if pattern_rate is None else pattern_rate
        volume.count += 1
        volume.size_bytes += len(line)
        volume.kept += rate
        volume.kept_bytes += rate * len(line)
    return Explanation(policy, sorted(volumes.values(), key=lambda volume: -volume.size_bytes))


def format_table(explanation: Explanation, rows: int, width: int) -> str:
    """Return an explanation as text, a line for each of the largest patterns."""
    sanitizer = Sanitizer()
    total = explanation.size_bytes or 1
    lines = [f"{'volume':>7} {'entries':>9} {'kept':>9} {'kept':>6}  pattern"]
    room = max(20, width - len(lines[0]) + len("pattern"))
    for volume in explanation.patterns[:rows]:
        text = one_line(sanitizer.text(volume.pattern))
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        lines.append(
            f"{volume.size_bytes / total:>7.1%} {volume.count:>9,} {volume.kept:>9,.0f} "
            f"{volume.kept / volume.count:>6.0%}  {text}"
        )
    hidden = len(explanation.patterns) - rows
    if hidden > 0:
        lines.append(f"{'':>7} and {hidden:,} more patterns")
    policy = explanation.policy
    origin = one_line(policy.generated_by)
    lines += [
        "",
        f"{explanation.count:,} entries, {explanation.size_bytes:,} bytes, "
        f"{len(explanation.patterns):,} patterns.",
        f"Policy {policy.version} ({origin}) keeps {explanation.kept:,.0f} entries "
        f"and saves {explanation.saved_share:.1%} of the volume.",
    ]
    return "\n".join(lines)


def service_name_in(line: bytes) -> str | None:
    """Return the service name of an entry, None if it has none."""
    name = _fields(line.decode("utf-8", "replace").strip()).get("service_name")
    return name if isinstance(name, str) and name.strip() else None


def _fields(text: str) -> Mapping[str, object]:
    """Return the fields of a line of JSON, none for any other line."""
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
