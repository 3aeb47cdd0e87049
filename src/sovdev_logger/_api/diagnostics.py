"""A check of the environment: what is set, what is missing, and what looks like a mistake."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from sovdev_logger._safety.one_line import notice_line, one_line
from sovdev_logger._safety.redaction import redact_text
from sovdev_logger._settings.service import Settings, read_settings
from sovdev_logger._settings.variables import variable_names

_OUR_PREFIXES: Final = ("SOVDEV_", "LOG_", "ERROR_LOG_", "LIPSERVICE_", "LOGWELL_", "RELAY_")
_HIDDEN: Final = ("HEADERS", "API_KEY", "PSEUDONYM_KEY", "BEARER_TOKEN")


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """The result of ``sovdev_validate_config``.

    Attributes:
        settings: The variables that are set; each is one line without credentials.
        missing: Settings that most services want and that are not set, one sentence each.
        doubtful: Settings that are probably mistakes, one sentence each.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is doubtful."""
        return not self.doubtful


def sovdev_validate_config() -> ConfigReport:
    """Check the environment: what is set, what is missing, what is doubtful.

    Reads the environment and nothing else; works before ``sovdev_initialize``. Never raises.

    Specification: API, diagnostics.
    """
    try:
        return _report(os.environ)
    except Exception as error:  # noqa: BLE001 - a check that fails is an answer too
        problem = notice_line(f"the environment could not be checked: {error!r}")
        return ConfigReport(doubtful=(problem,))


def _report(environ: Mapping[str, str]) -> ConfigReport:
    settings = read_settings(environ)
    known = variable_names()
    return ConfigReport(
        settings={
            name: "(set, not shown)" if name.endswith(_HIDDEN) else one_line(redact_text(value))
            for name, value in sorted(environ.items())
            if value and (name in known or name.startswith("OTEL_"))
        },
        missing=_lines(*_missing(environ, settings)),
        doubtful=_lines(
            *(problem.message for problem in settings.problems),
            *_misspelt(environ, known),
            *_contradictions(settings),
        ),
    )


def _lines(*problems: str) -> tuple[str, ...]:
    """Return problems as lines without credentials: they quote what the variables hold."""
    return tuple(map(notice_line, problems))


def _missing(environ: Mapping[str, str], settings: Settings) -> list[str]:
    missing = []
    if not settings.otlp.enabled:
        missing.append("OTEL_EXPORTER_OTLP_ENDPOINT is not set: nothing is sent over OTLP.")
    if (
        settings.otlp.enabled
        and "deployment.environment.name" not in (settings.otlp.resource_attributes)
        and not environ.get("RUN_ENVIRONMENT")
    ):
        missing.append(
            "deployment.environment.name is not in OTEL_RESOURCE_ATTRIBUTES: "
            f"{settings.otlp.deployment_environment!r} is sent."
        )
    return missing


def _misspelt(environ: Mapping[str, str], known: frozenset[str]) -> list[str]:
    problems = []
    for name in environ:
        if name in known or not name.startswith(_OUR_PREFIXES):
            continue
        close = get_close_matches(name, known, n=1, cutoff=0.85)
        if close:
            problems.append(f"{name} is not a variable of the logger: is {close[0]} meant?")
    return problems


def _contradictions(settings: Settings) -> list[str]:
    remote = settings.otlp.logs or settings.logwell or settings.relay
    if settings.console or settings.file or remote:
        return []
    return ["LOG_TO_CONSOLE and LOG_TO_FILE are off and there is no OTLP endpoint: no output."]
