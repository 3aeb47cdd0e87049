"""Sampling policies: rates by pattern and by level, validated on arrival."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from sovdev_logger._entry.levels import LEVELS, Level, find_level
from sovdev_logger._entry.sample_rate import KEEP_ALL
from sovdev_logger._runtime.selflog import warn_throttled
from sovdev_logger._sampling.lipservice_signatures import client_signature, server_signature

_MAX_PATTERN_RATES: Final = 100_000
_MAX_BOOST: Final = 1000.0
_SHORT_SIGNATURE: Final = 8
_SHOWN_CHARACTERS: Final = 40


class PolicyError(ValueError):
    """A policy is not usable; the message says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One set of rates from 0 to 1; a pattern's takes precedence over its level's.

    Attributes:
        version: The server's number for it, which need not increase; 0 for a default.
        global_rate: For levels without a rate of their own.
        severity_rates: By level name, lower case.
        pattern_rates: By signature.
        anomaly_boost: Factor of a rate while its pattern is unusually frequent.
        generated_by: Who made it: ``default``, ``rule-based``, ``llm``, or ``local``.
    """

    version: int = 0
    global_rate: float = KEEP_ALL
    severity_rates: Mapping[str, float] = field(default_factory=dict)
    pattern_rates: Mapping[str, float] = field(default_factory=dict)
    anomaly_boost: float = 1.0
    generated_by: str = "local"

    def rate_for_level(self, level: Level) -> float:
        """Return the rate of entries whose pattern has none; trace falls back to debug."""
        rates = self.severity_rates
        if level.name in rates:
            return rates[level.name]
        if level.name == "trace" and "debug" in rates:
            return rates["debug"]
        return self.global_rate

    def rate_for_pattern(self, signature: str, message: str) -> float | None:
        """Return the rate that the policy has for a pattern, None if it has none.

        Looks for our signature, that of LipService's client and that of its server, each in full
        and by its first 8 characters (specification: sampling, policies).

        Args:
            signature: The pattern's.
            message: One message of the pattern.
        """
        rates = self.pattern_rates
        if not rates:
            return None
        for name in (signature, client_signature(message), server_signature(message)):
            for key in (name, name[:_SHORT_SIGNATURE]):
                if key in rates:
                    return rates[key]
        return None


LOCAL_DEFAULTS: Final = Policy(
    severity_rates=MappingProxyType(
        {"trace": 0.05, "debug": 0.05, "info": 0.2, "warn": 0.5, "error": 1.0, "fatal": 1.0}
    ),
    anomaly_boost=2.0,
)


def uniform_policy(rate: float) -> Policy:
    """Return a policy with one rate for every entry that may be sampled out."""
    return Policy(global_rate=rate)


def parse_policy(answer: object) -> Policy:
    """Return the policy that a server's JSON holds.

    Rates outside 0 to 1 are clamped with a warning, unknown fields and levels are ignored, and
    missing fields are neutral; ``version`` and ``global_rate`` are required.

    Raises:
        PolicyError: It is not an object, a field is missing or has the wrong type.

    Specification: sampling, policies.
    """
    if not isinstance(answer, dict):
        raise PolicyError(f"expected a JSON object, got {type(answer).__name__}")
    for required in ("version", "global_rate"):
        if required not in answer:
            raise PolicyError(f"{required} is missing")
    version = answer["version"]
    if isinstance(version, bool) or not isinstance(version, int):
        raise PolicyError(f"version must be a whole number, not {_shown(version)}")
    boost = _number("anomaly_boost", answer.get("anomaly_boost", 1.0))
    return Policy(
        version=version,
        global_rate=_rate("global_rate", answer["global_rate"]),
        severity_rates=_severity_rates(_rates("severity_rates", answer)),
        pattern_rates=MappingProxyType(
            {key.lower(): rate for key, rate in _rates("pattern_rates", answer).items()}
        ),
        anomaly_boost=_bounded("anomaly_boost", boost, 1.0, _MAX_BOOST),
        generated_by=_text(answer.get("generated_by")) or "unknown",
    )


def _severity_rates(rates_by_name: Mapping[str, float]) -> Mapping[str, float]:
    rates: dict[str, float] = {}
    for name, rate in rates_by_name.items():
        level = find_level(name)
        if level is not None:
            # WARN and WARNING are one level; of both the higher rate applies.
            rates[level.name] = max(rate, rates.get(level.name, 0.0))
    return MappingProxyType(
        {level.name: rates[level.name] for level in LEVELS if level.name in rates}
    )


def _rates(name: str, answer: Mapping[str, Any]) -> dict[str, float]:
    rates = answer.get(name)
    if rates is None:
        return {}
    if not isinstance(rates, dict):
        raise PolicyError(f"{name} must be an object, not {_shown(rates)}")
    if len(rates) > _MAX_PATTERN_RATES:
        raise PolicyError(f"{name} has {len(rates)} entries, more than {_MAX_PATTERN_RATES}")
    return {str(key): _rate(f"{name}[{_shown(key)}]", rate) for key, rate in rates.items()}


def _rate(name: str, value: object) -> float:
    return _bounded(name, _number(name, value), 0.0, 1.0)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PolicyError(f"{name} must be a number, not {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    if math.isnan(number):
        raise PolicyError(f"{name} must be a number, not nan")
    return number


def _bounded(name: str, number: float, minimum: float, maximum: float) -> float:
    bounded = min(max(number, minimum), maximum)
    if bounded != number:
        warn_throttled(
            "sampling:bounds",
            f"the sampling policy has {name} = {number:g}, which is not between {minimum:g} and "
            f"{maximum:g}: {bounded:g} is used.",
        )
    return bounded


def _text(value: object) -> str | None:
    return value[:1000] if isinstance(value, str) else None


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN_CHARACTERS]
