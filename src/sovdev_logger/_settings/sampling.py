"""What a user can set about sampling, and where LipService is."""

from dataclasses import dataclass, field, replace
from typing import Final

from sovdev_logger._settings.endpoint import base_url, credential_refusal
from sovdev_logger._settings.reader import EnvironmentReader, whole_number

DEFAULT_POLICY_REFRESH_SECONDS: Final = 300.0
DEFAULT_PATTERN_REPORT_SECONDS: Final = 600.0
DEFAULT_TIMEOUT_SECONDS: Final = 10.0
DEFAULT_MAX_PATTERNS: Final = 10_000
INT32_MAX: Final = 2**31 - 1
MAX_NAME_CHARACTERS: Final = 255

_MODES: Final = ("off", "local", "lipservice")
_OUTPUTS: Final = ("remote", "all")
_PATTERNS: Final = ("message", "template")


@dataclass(frozen=True, slots=True)
class LipServiceSettings:
    """Where LipService is, who asks, and how often.

    Attributes:
        url: Its base, without ``/api/v1``.
        team_id: The team that the service belongs to there.
        api_key: Sent as a bearer token, for a proxy in front; the server itself asks for none.
    """

    url: str
    team_id: int
    api_key: str | None = field(default=None, repr=False)
    policy_refresh_seconds: float = DEFAULT_POLICY_REFRESH_SECONDS
    pattern_report_seconds: float = DEFAULT_PATTERN_REPORT_SECONDS
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How entries are sampled.

    Attributes:
        fallback_rate: The one rate while no server has sent a policy; None for the defaults.
        everywhere: Whether the console and the files leave out what is left out, too.
    """

    fallback_rate: float | None = None
    everywhere: bool = False
    by_trace: bool = False
    from_template: bool = False
    max_patterns: int = DEFAULT_MAX_PATTERNS
    lipservice: LipServiceSettings | None = None


def read_sampling(env: EnvironmentReader) -> SamplingSettings | None:
    """Read the sampling variables; None when sampling is off, also because it cannot be on."""
    mode = env.choice("SOVDEV_SAMPLING", _MODES)
    if mode == "off":
        return None
    lipservice = read_lipservice(env) if mode == "lipservice" else None
    if mode == "lipservice" and lipservice is None:
        return None
    return SamplingSettings(
        fallback_rate=_fallback_rate(env),
        everywhere=env.choice("SOVDEV_SAMPLING_OUTPUTS", _OUTPUTS) == "all",
        by_trace=env.flag("SOVDEV_SAMPLING_BY_TRACE", default=False),
        from_template=env.choice("SOVDEV_SAMPLING_PATTERNS", _PATTERNS) == "template",
        max_patterns=env.whole_number(
            "SOVDEV_SAMPLING_MAX_PATTERNS", DEFAULT_MAX_PATTERNS, minimum=1
        ),
        lipservice=lipservice,
    )


def _fallback_rate(env: EnvironmentReader) -> float | None:
    text = env.text("SOVDEV_SAMPLING_FALLBACK_RATE")
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if 0.0 <= rate <= 1.0:
        return rate
    env.report(
        "SOVDEV_SAMPLING_FALLBACK_RATE", text, "a number from 0 to 1", "the defaults are used"
    )
    return None


def read_lipservice(env: EnvironmentReader) -> LipServiceSettings | None:
    """Read where LipService is; None, with a problem noted, when that is not usable."""
    url, team = env.text("LIPSERVICE_URL"), env.text("LIPSERVICE_TEAM_ID")
    for name, value in (("LIPSERVICE_URL", url), ("LIPSERVICE_TEAM_ID", team)):
        if value is None:
            env.note(
                name,
                f"{name} is not set: SOVDEV_SAMPLING=lipservice needs it; sampling is off and "
                "everything is kept.",
            )
    if url is None or team is None:
        return None
    try:
        return check_lipservice(
            LipServiceSettings(
                url=url,
                team_id=_team_id(team),
                api_key=env.text("LIPSERVICE_API_KEY"),
                policy_refresh_seconds=env.positive(
                    "LIPSERVICE_POLICY_REFRESH_INTERVAL", DEFAULT_POLICY_REFRESH_SECONDS, "seconds"
                ),
                pattern_report_seconds=env.positive(
                    "LIPSERVICE_PATTERN_REPORT_INTERVAL", DEFAULT_PATTERN_REPORT_SECONDS, "seconds"
                ),
            )
        )
    except ValueError as error:
        env.note("LIPSERVICE", f"{error}; sampling is off and everything is kept.")
        return None


def _team_id(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise ValueError(f"LIPSERVICE_TEAM_ID={text[:40]!r} is not usable: expected a whole number")
    return number


def check_lipservice(settings: LipServiceSettings) -> LipServiceSettings:
    """Return settings that can be used.

    Raises:
        ValueError: The URL, the team or the key cannot be used; the message says why. A key is
            sent over TLS or to this machine, nowhere else.
    """
    url = base_url(settings.url, "the URL of LipService").removesuffix("/api/v1")
    key = settings.api_key
    if key and not (key.isascii() and key.isprintable()):
        raise ValueError("the API key of LipService is not usable: expected printable ASCII")
    refusal = credential_refusal("the API key of LipService", url)
    if key and refusal is not None:
        raise ValueError(f"{refusal}; use an https:// URL, or leave LIPSERVICE_API_KEY out")
    if not 0 <= settings.team_id <= INT32_MAX:
        raise ValueError(f"the team id {settings.team_id} is not usable: expected 0 to 2147483647")
    return replace(settings, url=url)
