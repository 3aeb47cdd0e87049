"""Answers to "is it set up?" and "does the collector take it?", without logging anything."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.otlp import SIGNALS
from sovdev_logger._settings.service import Settings, read_settings

VARIABLES: Final = (
    "LOG_TO_CONSOLE",
    "LOG_TO_FILE",
    "LOG_FILE_PATH",
    "ERROR_LOG_PATH",
    "LOG_FILE_MAX_BYTES",
    "LOG_FILE_BACKUP_COUNT",
    "ERROR_LOG_MAX_BYTES",
    "ERROR_LOG_BACKUP_COUNT",
    "SOVDEV_LOG_LEVEL",
    "SOVDEV_CONSOLE_FORMAT",
    "SOVDEV_REDACTION",
    "SOVDEV_MAX_FIELD_BYTES",
    "SOVDEV_EXIT_TIMEOUT_SECONDS",
    "SOVDEV_SPOOL",
    "SOVDEV_SPOOL_DIR",
    "SOVDEV_SPOOL_MAX_BYTES",
    "SOVDEV_QUEUE_MAX_RECORDS",
    "SOVDEV_QUEUE_MAX_BYTES",
    "SOVDEV_SAMPLING",
    "SOVDEV_SAMPLING_OUTPUTS",
    "SOVDEV_SAMPLING_BY_TRACE",
    "SOVDEV_SAMPLING_PATTERNS",
    "SOVDEV_SAMPLING_MAX_PATTERNS",
    "SOVDEV_SAMPLING_FALLBACK_RATE",
    "LIPSERVICE_URL",
    "LIPSERVICE_API_KEY",
    "LIPSERVICE_TEAM_ID",
    "LIPSERVICE_POLICY_REFRESH_INTERVAL",
    "LIPSERVICE_PATTERN_REPORT_INTERVAL",
    "RELAY_TARGETS",
    "RELAY_QUEUE_SIZE",
    "RELAY_SUBMIT_TIMEOUT",
    "RELAY_FLUSH_TIMEOUT",
    "RELAY_STALL_TIMEOUT",
    "RELAY_ACK_EVERY_N",
    "RELAY_MAX_IN_FLIGHT",
    "RELAY_DROP_ON_FULL",
    "RELAY_AUTH_REQUIRED",
    "RELAY_BEARER_TOKEN",
    "RELAY_BEARER_TOKEN_ENV",
    "RELAY_HEADERS",
    "RELAY_TLS",
    "RELAY_TLS_CA",
    "RELAY_TLS_CERT",
    "RELAY_TLS_KEY",
    "RELAY_TLS_SERVER_NAME",
    "LOGWELL_ENDPOINT",
    "LOGWELL_API_KEY",
    "LOGWELL_BATCH_SIZE",
    "LOGWELL_FLUSH_INTERVAL",
    "LOGWELL_QUEUE_SIZE",
    "LOGWELL_MAX_RETRIES",
    "LOGWELL_CAPTURE_SOURCE_LOCATION",
    "NAME_APP",
    "RUN_ENVIRONMENT",
    "PATH_TO_LOGS",
    "LOG_MAX_SIZE",
    "LOG_MAX_FILES",
    "SERVICE_VERSION",
    "NO_COLOR",
    "FORCE_COLOR",
)
"""The variables that are ours, beside the standard ones that start with ``OTEL_``."""

_OUR_PREFIXES: Final = ("SOVDEV_", "LOG_", "ERROR_LOG_", "LIPSERVICE_", "LOGWELL_", "RELAY_")
_HIDDEN: Final = ("HEADERS", "API_KEY", "BEARER_TOKEN")
_REACHED: Final = frozenset({200, 202, 204})


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """What ``sovdev_validate_config`` found.

    Attributes:
        settings: The variables that are set; header values are not shown.
        missing: What is not set although most services want it, one sentence each.
        doubtful: What is set and cannot be meant, one sentence each.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is doubtful."""
        return not self.doubtful


@dataclass(frozen=True, slots=True)
class SignalResult:
    """How one signal's endpoint answered.

    Attributes:
        signal: ``logs``, ``metrics`` or ``traces``.
        endpoint: The URL, None when the signal is off.
        reached: A collector answered: 200, 202, 204, or 400 for the empty request.
        accepted: It also took the request.
        status: The HTTP status, None when there was no answer.
        message: What that means, and what to do about it.
        elapsed_seconds: How long the answer took.
    """

    signal: str
    endpoint: str | None
    reached: bool
    accepted: bool
    status: int | None
    message: str
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """What ``sovdev_test_otlp_connection`` found, one result a signal."""

    logs: SignalResult
    metrics: SignalResult
    traces: SignalResult

    @property
    def ok(self) -> bool:
        """Whether every signal that is on was accepted, and at least one is on."""
        results = [one for one in (self.logs, self.metrics, self.traces) if one.endpoint]
        return bool(results) and all(one.accepted for one in results)


def sovdev_validate_config() -> ConfigReport:
    """Check the environment: what is set, what is missing, what is doubtful.

    Reads the environment and nothing else; works before ``sovdev_initialize``. Never raises.

    Specification: API, diagnostics.
    """
    try:
        return _report(os.environ)
    except Exception as error:  # noqa: BLE001 - a check that fails is an answer too
        return ConfigReport(doubtful=(f"the environment could not be checked: {error!r}",))


def sovdev_test_otlp_connection(timeout: float = 5.0) -> ConnectionReport:
    """Send an empty request to the endpoint of each signal, and say how it answered.

    Args:
        timeout: Seconds for all of it, whatever the collectors do.

    Never raises. Nothing is logged; works before ``sovdev_initialize``.

    Specification: API, diagnostics.
    """
    settings = read_settings(os.environ)
    found = {
        signal: _failed(signal, target.url if target else None, "no answer within the timeout.")
        for signal in SIGNALS
        for target in [getattr(settings.otlp, signal)]
    }
    threads = [
        threading.Thread(target=_test_signal, args=(signal, settings, timeout, found), daemon=True)
        for signal in SIGNALS
    ]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return ConnectionReport(**found.copy())


def _report(environ: Mapping[str, str]) -> ConfigReport:
    settings = read_settings(environ)
    return ConfigReport(
        settings={
            name: "(set, not shown)" if name.endswith(_HIDDEN) else value
            for name, value in sorted(environ.items())
            if value and (name in VARIABLES or name.startswith("OTEL_"))
        },
        missing=tuple(_missing(environ, settings)),
        doubtful=(
            *(problem.message for problem in settings.problems),
            *_misspelt(environ),
            *_contradictions(settings),
        ),
    )


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


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    found = []
    for name in environ:
        if name in VARIABLES or not name.startswith(_OUR_PREFIXES):
            continue
        close = get_close_matches(name, VARIABLES, n=1, cutoff=0.85)
        if close:
            found.append(f"{name} is not a variable of the logger: is {close[0]} meant?")
    return found


def _contradictions(settings: Settings) -> list[str]:
    remote = settings.otlp.logs or settings.logwell or settings.relay
    if settings.console or settings.file or remote:
        return []
    return ["LOG_TO_CONSOLE and LOG_TO_FILE are off and there is no OTLP endpoint: no output."]


def _test_signal(
    signal: str, settings: Settings, timeout: float, found: dict[str, SignalResult]
) -> None:
    target: HttpEndpoint | None = getattr(settings.otlp, signal)
    if target is None:
        problems = [one.message for one in settings.problems if one.variable.startswith("OTEL_")]
        why = " ".join(problems) or "OTEL_EXPORTER_OTLP_ENDPOINT is not set."
        found[signal] = _failed(signal, None, f"{signal} are off: {why}")
        return
    try:
        found[signal] = _ask(signal, target, timeout)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        found[signal] = _failed(signal, target.url, repr(error))


def _ask(signal: str, target: HttpEndpoint, timeout: float) -> SignalResult:
    # Imported here: a service without OTLP has no use for an HTTP client.
    from sovdev_logger._delivery.http_transport import HttpTransport  # noqa: PLC0415

    started = time.monotonic()
    transport = HttpTransport(target)
    try:
        answer = transport.post(b"", timeout_seconds=timeout)
    finally:
        transport.close()
    status = answer.status
    return SignalResult(
        signal=signal,
        endpoint=target.url,
        reached=status in _REACHED or status == 400,  # noqa: PLR2004
        accepted=status in _REACHED,
        status=status,
        message=_meaning(status, answer.error, target),
        elapsed_seconds=time.monotonic() - started,
    )


def _meaning(status: int | None, error: str | None, target: HttpEndpoint) -> str:
    host = urlsplit(target.url).hostname
    if status is None:
        return f"no answer: {error}; check the address, and that the collector at {host} runs."
    if status in _REACHED:
        return "reached."
    meanings = {
        400: "reached, but the request was refused: check that this is an OTLP endpoint.",
        401: "the credentials were not accepted: check OTEL_EXPORTER_OTLP_HEADERS.",
        403: "the credentials do not allow this: check OTEL_EXPORTER_OTLP_HEADERS.",
        404: "nothing is at this path, or the proxy needs a Host header: check the path, and "
        "Host=... in OTEL_EXPORTER_OTLP_HEADERS.",
    }
    return meanings.get(status, f"answered with HTTP {status}.")


def _failed(signal: str, endpoint: str | None, message: str) -> SignalResult:
    return SignalResult(
        signal, endpoint, reached=False, accepted=False, status=None, message=message
    )
