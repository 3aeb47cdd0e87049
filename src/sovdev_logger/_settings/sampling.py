"""The variables of sampling, and where LipService is."""

from dataclasses import dataclass, replace
from typing import Final

from sovdev_logger._settings.endpoint import (
    BASE_URL,
    base_url,
    credential_refusal,
    is_network_trusted,
)
from sovdev_logger._settings.reader import (
    FLAG,
    SECONDS,
    TEXT,
    EnvironmentReader,
    Kind,
    Variable,
    choice,
    parse_whole_number,
    variable,
    whole_number,
)

DEFAULT_POLICY_REFRESH_SECONDS: Final = 300.0
DEFAULT_PATTERN_REPORT_SECONDS: Final = 600.0
DEFAULT_MAX_PATTERNS: Final = 10_000
INT32_MAX: Final = 2**31 - 1
MAX_NAME_CHARACTERS: Final = 255


def _rate(text: str) -> float | None:
    try:
        rate = float(text)
    except ValueError:
        return None
    return rate if 0.0 <= rate <= 1.0 else None


RATE: Final = Kind("a number from 0 to 1", _rate)
# A number that is too large has a message of its own, which the client's arguments share.
TEAM: Final = Kind("a whole number", parse_whole_number, is_strict=True)

SAMPLING: Final = Variable(
    "SOVDEV_SAMPLING", choice(off="off", local="local", lipservice="lipservice"), "off"
)
"""Send a share of what repeats, by local rates or by those of a LipService server."""


@dataclass(frozen=True, slots=True)
class LipServiceSettings:
    """Where LipService is, who asks, and how often."""

    url: str = variable("LIPSERVICE_URL", BASE_URL)
    """The LipService server, without ``/api/v1``; needed for ``lipservice``."""

    team_id: int = variable("LIPSERVICE_TEAM_ID", TEAM)
    """The team that the service belongs to there, at most 2147483647; needed for ``lipservice``."""

    api_key: str | None = variable("LIPSERVICE_API_KEY", TEXT, None, is_shown=False)
    """Bearer token for a proxy in front of the server; sent over TLS, to this machine, or over a
    trusted network."""

    policy_refresh_seconds: float = variable(
        "LIPSERVICE_POLICY_REFRESH_INTERVAL", SECONDS, DEFAULT_POLICY_REFRESH_SECONDS
    )
    """Seconds between two looks at the policy, give or take a tenth."""

    pattern_report_seconds: float = variable(
        "LIPSERVICE_PATTERN_REPORT_INTERVAL", SECONDS, DEFAULT_PATTERN_REPORT_SECONDS
    )
    """Seconds between two reports, give or take a tenth."""

    timeout_seconds: float = 10.0
    trusted_network: bool = False


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How entries are sampled."""

    fallback_rate: float | None = variable("SOVDEV_SAMPLING_FALLBACK_RATE", RATE, None)
    """The one rate while no server has sent a policy; unset, the local rates by level."""

    everywhere: bool = variable("SOVDEV_SAMPLING_OUTPUTS", choice(remote=False, all=True), False)
    """``remote``: the console and the files keep everything; ``all``: they are sampled, too."""

    by_trace: bool = variable("SOVDEV_SAMPLING_BY_TRACE", FLAG, False)
    """Keep or drop each trace as a whole."""

    from_template: bool = variable(
        "SOVDEV_SAMPLING_PATTERNS", choice(message=False, template=True), False
    )
    """``template``: a plain record's pattern is its format, not its message."""

    max_patterns: int = variable(
        "SOVDEV_SAMPLING_MAX_PATTERNS", whole_number(1), DEFAULT_MAX_PATTERNS
    )
    """Patterns that are told apart at a time."""

    lipservice: LipServiceSettings | None = None


def read_sampling(env: EnvironmentReader) -> SamplingSettings | None:
    """Read the sampling variables; None when sampling is off, also because it cannot be on."""
    mode = env.read(SAMPLING)
    if mode == "off":
        return None
    lipservice = read_lipservice(env) if mode == "lipservice" else None
    if mode == "lipservice" and lipservice is None:
        return None
    return env.settings(SamplingSettings, lipservice=lipservice)


def read_lipservice(env: EnvironmentReader) -> LipServiceSettings | None:
    """Read where LipService is; None, with a problem reported, when that is not usable."""
    missing = [name for name in ("LIPSERVICE_URL", "LIPSERVICE_TEAM_ID") if env.text(name) is None]
    for name in missing:
        env.report(
            name,
            f"{name} is not set: SOVDEV_SAMPLING=lipservice needs it; sampling is off and "
            "everything is kept.",
        )
    if missing:
        return None
    try:
        return check_lipservice(
            env.settings(LipServiceSettings, trusted_network=is_network_trusted(env))
        )
    except ValueError as error:
        env.report("LIPSERVICE", f"{error}; sampling is off and everything is kept.")
        return None


def check_lipservice(settings: LipServiceSettings) -> LipServiceSettings:
    """Return settings that can be used.

    Raises:
        ValueError: The URL, the team or the key cannot be used; the message says why. A key is
            sent over TLS, to this machine or over a trusted network, nowhere else.
    """
    url = base_url(settings.url, "the URL of LipService").removesuffix("/api/v1")
    key = settings.api_key
    if key and not (key.isascii() and key.isprintable()):
        raise ValueError("the API key of LipService is not usable: expected printable ASCII")
    refusal = credential_refusal(
        "the API key of LipService", url, trusted_network=settings.trusted_network
    )
    if key and refusal is not None:
        raise ValueError(refusal)
    if not 0 <= settings.team_id <= INT32_MAX:
        raise ValueError(f"the team id {settings.team_id} is not usable: expected 0 to 2147483647")
    return replace(settings, url=url)
