"""The sanitizer of a service, and what it replaced, rule by rule."""

from collections.abc import Mapping
from typing import Final

from sovdev_logger._runtime.atomic_counter import AtomicCounter
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.own_rules import OwnRules, OwnRulesSanitizer
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._settings.service import Settings

_MOST_COUNTED: Final = 1000
"""A call adds no more than this to one rule: counting is bounded whatever is logged."""


class RedactionCounts:
    """Counts what each rule replaced. Thread and signal safe: it holds no lock."""

    def __init__(self) -> None:
        self._counters: dict[str, AtomicCounter] = {}

    def count(self, rule: str, number: int) -> None:
        """Add what a rule replaced."""
        counter = self._counters.get(rule) or self._counters.setdefault(rule, AtomicCounter())
        for _ in range(min(number, _MOST_COUNTED)):
            counter.increment()

    def read(self) -> Mapping[str, int]:
        """Return the number of each rule that replaced anything."""
        return {rule: counter.value() for rule, counter in sorted(self._counters.items())}

    def reset(self) -> None:
        """Start from zero: in a forked child the counts are the parent's."""
        self._counters = {}


def make_sanitizer(settings: Settings, counts: RedactionCounts) -> Sanitizer:
    """Return the sanitizer that the settings ask for."""
    if settings.own_rules is None or not settings.redact:
        return Sanitizer(settings.max_field_bytes, redact=settings.redact, count=counts.count)
    rules = OwnRules(settings.own_rules, warn_once)
    return OwnRulesSanitizer(settings.max_field_bytes, rules, counts.count)
