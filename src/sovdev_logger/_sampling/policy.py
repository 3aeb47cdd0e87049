"""What is kept: rates by pattern, by level and for the rest, checked when they arrive."""

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
    """What arrived is no policy; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One set of rates, between 0 and 1; a pattern's goes before its level's.

    Attributes:
        version: The server's number for it; 0 for a default. It need not rise.
        global_rate: For levels without a rate of their own.
        severity_rates: By level name, lower case.
        pattern_rates: By signature.
        anomaly_boost: What a rate is multiplied by while a pattern comes unusually often.
        generated_by: Who made it: ``default``, ``rule-based``, ``llm``, or ``local``.
    """

    version: int = 0
    global_rate: float = KEEP_ALL
    severity_rates: Mapping[str, float] = field(default_factory=dict)
    pattern_rates: Mapping[str, float] = field(default_factory=dict)
    anomaly_boost: float = 1.0
    generated_by: str = "local"

    def rate_for_level(self, level: Level) -> float:
        """Return the rate of entries whose pattern has none; trace goes with debug."""
        rates = self.severity_rates
        if level.name in rates:
            return rates[level.name]
        if level.name == "trace" and "debug" in rates:
            return rates["debug"]
        return self.global_rate

    def rate_for_pattern(self, signature: str, message: str) -> float | None:
        """Return the rate that the policy has for a pattern, None when it has none.

        Looked up are our signature, the one of LipService's client and the one of its server, each
        whole and by its first 8 characters (specification: sampling, policies).

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
    """Return a policy with one rate for everything that may be left out."""
    return Policy(global_rate=rate)


def parse_policy(answer: object) -> Policy:
    """Return the policy that a server's JSON holds.

    Rates outside 0 to 1 are brought there with a warning, unknown fields and levels are ignored,
    and what a server leaves out is neutral; ``version`` and ``global_rate`` have to be there.

    Raises:
        PolicyError: It is no policy: not an object, or a field has the wrong type.

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


def _severity_rates(given: Mapping[str, float]) -> Mapping[str, float]:
    rates: dict[str, float] = {}
    for name, rate in given.items():
        level = find_level(name)
        if level is not None:
            # WARN and WARNING are one level; where both are given the one that keeps more counts.
            rates[level.name] = max(rate, rates.get(level.name, 0.0))
    return MappingProxyType({one.name: rates[one.name] for one in LEVELS if one.name in rates})


def _rates(name: str, answer: Mapping[str, Any]) -> dict[str, float]:
    given = answer.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise PolicyError(f"{name} must be an object, not {_shown(given)}")
    if len(given) > _MAX_PATTERN_RATES:
        raise PolicyError(f"{name} has {len(given)} entries, more than {_MAX_PATTERN_RATES}")
    return {str(key): _rate(f"{name}[{_shown(key)}]", rate) for key, rate in given.items()}


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


def _bounded(name: str, number: float, least: float, most: float) -> float:
    bounded = min(max(number, least), most)
    if bounded != number:
        warn_throttled(
            "sampling:bounds",
            f"the sampling policy has {name} = {number:g}, which is not between {least:g} and "
            f"{most:g}: {bounded:g} is used.",
        )
    return bounded


def _text(value: object) -> str | None:
    return value[:1000] if isinstance(value, str) else None


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN_CHARACTERS]
